from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from sessionmedic import service_log
from sessionmedic.errors import ConfigError

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ")


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What was logged; the process' own logging and secrets come back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(service_log, "_secrets", set())
    stream = io.StringIO()
    service_log.configure("text", "INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


log = logging.getLogger("test")


def test_a_line_has_time_level_category_session_and_message(out: io.StringIO) -> None:
    log.info("Session is %s", "sick", extra={"category": service_log.HEALTH, "session": "26"})
    log.warning("no category", extra={"session": "26"})
    log.error("nothing but this")
    log.debug("not shown")
    lines = [LINE.sub("[T] ", line) for line in out.getvalue().splitlines()]
    assert lines == [
        "[T] [INFO] [HEALTH] [26] Session is sick",
        "[T] [WARNING] [26] no category",
        "[T] [ERROR] nothing but this",
    ]


def test_the_time_is_utc() -> None:
    assert service_log.timestamp(1705314645.9) == "2024-01-15 10:30:45"


def test_a_message_cannot_forge_a_line_or_an_order(out: io.StringIO) -> None:
    log.info(
        "a\n[2024-01-15 10:30:45] [INFO] forged\r\x1b[2J\x00\x85\u2028\u202e end",
        extra={"session": "26\n27", "category": "X\ny"},
    )
    text = out.getvalue()
    assert text.count("\n") == 1 and text.splitlines() == [text[:-1]]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    assert r"a\n[2024-01-15 10:30:45] [INFO] forged\r\x1b[2J\x00\x85\u2028\u202e end" in text
    assert r"[X\ny] [26\n27] " in text


def test_ordinary_text_of_any_language_stays_as_it_is(out: io.StringIO) -> None:
    log.info("Sessão 26 – 会话 🙂")
    assert "Sessão 26 – 会话 🙂" in out.getvalue()


def test_an_exception_is_one_line(out: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("It failed")
    assert out.getvalue().count("\n") == 1
    assert r"ValueError: first\nsecond" in out.getvalue()


def test_secrets_are_replaced_also_in_exceptions_and_fields(out: io.StringIO) -> None:
    service_log.register_secret("s3cret")
    service_log.register_secret("s3cret-and-more")
    service_log.register_secret("abc")
    try:
        raise ValueError("with s3cret-and-more")
    except ValueError:
        log.exception("token=s3cret", extra={"session": "s3cret"})
    log.info("redis://user:pass@host:6379/0 and postgresql://u:p%40@h/d and http://host:80/a@b abc")
    text = out.getvalue()
    assert "s3cret" not in text and "and-more" not in text
    assert "redis://***@host:6379/0 and postgresql://***@h/d and http://host:80/a@b abc" in text


def test_json_is_an_object_a_line(out: io.StringIO) -> None:
    service_log.configure("json", "INFO", out)
    service_log.register_secret("s3cret")
    log.info('quote " and\nline s3cret', extra={"category": service_log.REMEDY, "session": "26"})
    log.info("bare")
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "INFO",
        "logger": "test",
        "category": "REMEDY",
        "session": "26",
        "message": r'quote " and\nline ***',
    }
    assert set(second) == {"time", "level", "logger", "message"}


@pytest.mark.parametrize(("format", "level"), [("xml", "INFO"), ("text", "LOUD")])
def test_an_unknown_format_or_level_is_named(out: io.StringIO, format: str, level: str) -> None:
    with pytest.raises(ConfigError, match="xml|LOUD"):
        service_log.configure(format, level)
