"""Backends that misbehave are down, and nobody else is harmed; repairs and secrets."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from sessionmedic import brakes
from tests.http_backend import ScriptedBackend
from tests.integration.exporter.conftest import ListedSessions
from tests.integration.exporter.exporter_service import Exporter, append, eventually, failure, silent_backend
from tests.services import RedisServer
from tests.unit.stores.auth_state import creds

POLL = {"connection_seconds": 0.3, "transitory_seconds": 0.3, "timeout_seconds": 1.0}


def up(exporter: Exporter) -> dict[str, float]:
    return {
        dict(labels)["backend"]: value
        for (name, labels), value in exporter.metrics().items()
        if name == "whatsapp_backend_up"
    }


ANSWERS: dict[str, tuple[Callable[[str, str, Any], tuple[int, Any]], str]] = {
    "HTML": (lambda *_: (200, b"<!DOCTYPE html><html><body>login</body></html>"), "answered HTML"),
    "500": (lambda *_: (500, {"error": "ERR_INTERNAL"}), "answered HTTP 500"),
    "half a JSON document": (lambda *_: (200, b'[{"id": 26, "name": "lo'), "answered no whole JSON document"),
    "not a list": (lambda *_: (200, {"id": 26}), "did not answer a list"),
    "401": (lambda *_: (401, {"error": "ERR_SESSION_EXPIRED"}), "refuses our login"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_backend_that_answers_rubbish_is_down_its_sessions_unknown_and_the_other_one_read(
    tmp_path: Path, backend: ListedSessions, name: str
) -> None:
    answer, problem = ANSWERS[name]
    with ScriptedBackend(lambda *_: (200, [{"id": 26, "status": "CONNECTED"}])) as other:
        backends = [{"name": "shop", "url": backend.url}, {"name": "other", "url": other.url}]
        with Exporter(tmp_path, {"poll": POLL, "backends": backends}) as exporter:
            eventually(lambda: up(exporter) == {"shop": 1, "other": 1}, "both are up")
            other.answer = answer
            eventually(lambda: up(exporter) == {"shop": 1, "other": 0}, "the other one is down")
            own = {"backend": "other", "session": "26"}
            assert exporter.value("whatsapp_session_health", **own, state="unknown") == 1
            assert exporter.value("whatsapp_session_connection", **own, state="unknown") == 1
            assert exporter.value("whatsapp_session_recent_errors", **own) is None
            assert exporter.value("whatsapp_session_health", backend="shop", session="26", state="healthy") == 1
            assert problem in exporter.request("GET", "/")[1].decode()
            other.answer = lambda *_: (200, [{"id": 26, "status": "CONNECTED"}])
            eventually(lambda: up(exporter) == {"shop": 1, "other": 1}, "it is up again")
            assert exporter.value("whatsapp_session_health", **own, state="healthy") == 1
    log = exporter.log_path.read_text()
    assert log.count("Backend other cannot be read: ") == 1
    assert log.count("Backend other can be read again.") == 1


def test_a_backend_that_hangs_is_down_in_time_and_delays_no_other(tmp_path: Path, backend: ListedSessions) -> None:
    log = tmp_path / "out.log"
    log.touch()
    with silent_backend() as url:
        hanging = {"name": "hangs", "url": url, "log_sources": [{"path": str(log)}]}
        backends = [hanging, {"name": "shop", "url": backend.url}]
        with Exporter(tmp_path, {"poll": POLL, "backends": backends}) as exporter:
            assert up(exporter) == {"hangs": 0, "shop": 1}
            calls = len(backend.calls)
            began = time.monotonic()
            eventually(lambda: len(backend.calls) >= calls + 10, "ten more polls of the other one")
            assert time.monotonic() - began < 10 * (POLL["connection_seconds"] + 1.0)
            assert "does not answer in time" in exporter.request("GET", "/")[1].decode()
            append(log, failure("26", 1))
            began = time.monotonic()
            exporter.stop()
            assert time.monotonic() - began < 15
            saved = json.loads((exporter.folder / "state/state.json").read_bytes())
            assert saved["backends"]["hangs"]["sources"].keys() == {str(log)}


def test_a_backend_that_is_not_there_is_down(tmp_path: Path) -> None:
    backends = [{"name": "away", "url": "http://127.0.0.1:9"}]
    with Exporter(tmp_path, {"poll": POLL, "backends": backends}) as exporter:
        assert up(exporter) == {"away": 0}


def test_it_logs_in_again_when_its_token_ends(tmp_path: Path) -> None:
    tokens = ["first"]

    def answer(method: str, path: str, headers: Any) -> tuple[int, Any]:
        if path == "/auth/login":
            return 200, {"token": tokens[-1]}
        if headers.get("Authorization") != f"Bearer {tokens[-1]}":
            return 403, {"error": "ERR_SESSION_EXPIRED"}
        return 200, [{"id": 26, "status": "CONNECTED"}]

    with ScriptedBackend(answer) as backend:
        auth = {"type": "login", "username": "admin", "password": "marked-secret-password"}
        config = {"poll": POLL, "backends": [{"name": "shop", "url": backend.url, "auth": auth}]}
        with Exporter(tmp_path, config) as exporter:
            tokens.append("second")
            eventually(lambda: backend.calls.count("POST /auth/login") == 2, "the second login")
            calls = len(backend.calls)
            eventually(lambda: len(backend.calls) > calls + 3, "more polls")
            assert up(exporter) == {"shop": 1}
            assert backend.calls.count("POST /auth/login") == 2


# -- repairs --------------------------------------------------------------------------------------------------------


def test_a_verified_repair_empties_the_window_also_of_old_messages_that_fail_again(
    tmp_path: Path, backend: ListedSessions
) -> None:
    log = tmp_path / "out.log"
    log.touch()
    own = {"backend": "shop", "session": "26"}
    with RedisServer(tmp_path / "redis", password="marked-secret-redis") as server:
        config = {
            "redis_url": server.url,
            "backends": [{"name": "shop", "url": backend.url, "log_sources": [{"path": str(log)}]}],
        }
        with Exporter(tmp_path, config) as exporter, redis.Redis.from_url(server.url, decode_responses=True) as client:
            sent_before = int(time.time()) - 60
            append(log, b"".join(failure("26", serial) for serial in range(5)))
            eventually(lambda: exporter.value("whatsapp_session_recent_errors", **own) == 5, "five errors")
            brakes.mark_verified(client, "shop", "26", time.time())
            eventually(lambda: exporter.value("whatsapp_session_recent_errors", **own) == 0, "an empty window")
            assert exporter.value("whatsapp_session_health", **own, state="healthy") == 1
            append(log, b"".join(failure("26", serial, messageTimestamp=sent_before) for serial in range(5, 10)))
            append(log, failure("26", 10, messageTimestamp=int(time.time()) + 1))
            eventually(lambda: exporter.value("whatsapp_session_recent_errors", **own) == 1, "one new error")
            assert exporter.value("whatsapp_session_errors_total", **own, kind="invalid_prekey") == 11
            server.stop()
            away = "session_exporter_verified_marks_readable"
            eventually(lambda: exporter.value(away) == 0, "Redis is away")
            append(log, failure("26", 11))
            eventually(lambda: exporter.value("whatsapp_session_recent_errors", **own) == 2, "errors still count")
            exporter.stop()
            server.start()
            exporter.start()
            assert exporter.value(away) == 1
            # The marks were read before the first scrape.
            assert exporter.value("whatsapp_session_recent_errors", **own) == 2
    log_text = exporter.log_path.read_text()
    assert log_text.count("Marks of verified repairs cannot be read") == 1
    assert "marked-secret" not in log_text


def test_credentials_that_a_backend_keeps_in_redis_are_judged(tmp_path: Path, backend: ListedSessions) -> None:
    with RedisServer(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        data = creds()
        client.set("sessions:26:creds", data)
        client.set("sessions:2:creds", data[:100])
        shop = {"name": "shop", "url": backend.url, "redis_url": server.url}
        config = {"poll": {**POLL, "credentials_seconds": 0.3}, "backends": [shop]}
        with Exporter(tmp_path, config) as exporter:
            valid = "whatsapp_session_credentials_valid"
            eventually(lambda: exporter.value(valid, backend="shop", session="26") == 1, "valid credentials")
            assert exporter.value(valid, backend="shop", session="2") == 0
            size = "whatsapp_session_credentials_bytes"
            assert exporter.value(size, backend="shop", session="26") == len(data)
            server.stop()
            eventually(lambda: exporter.value(valid, backend="shop", session="26") is None, "nothing is known")


# -- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_and_no_message_text_is_written_anywhere(tmp_path: Path) -> None:
    marked = "marked-secret"

    def answer(method: str, path: str, headers: Any) -> tuple[int, Any]:
        if path == "/auth/login":
            return 200, {"token": f"{marked}-token"}
        if len(backend.calls) % 3 == 0:
            return 500, f"<html>{marked}-page of {headers.get('Authorization')}</html>".encode()
        row = {"id": 26, "name": "loja", "status": "CONNECTED", "session": f"{marked}-creds", "token": f"{marked}-api"}
        return 200, [row]

    log = tmp_path / "out.log"
    log.touch()
    with ScriptedBackend(answer) as backend:
        auth = {"type": "login", "username": "admin", "password": f"{marked}-password"}
        shop = {
            "name": "shop",
            "url": backend.url,
            "auth": auth,
            "redis_url": f"redis://:{marked}-redis@127.0.0.1:1/0",
            "database_url": f"postgresql://u:{marked}-database@127.0.0.1:1/x",
            "log_sources": [{"path": str(log)}],
        }
        config = {
            "redis_url": f"redis://:{marked}-marks@127.0.0.1:1/0",
            "poll": POLL,
            "log_level": "DEBUG",
            "backends": [shop],
        }
        with Exporter(tmp_path / "run", config) as exporter:
            for serial in range(20):
                append(log, failure("26", serial, message={"conversation": f"{marked}-message"}))
                append(log, f"Closing session: SessionEntry {{\n  privKey: <{marked}-key>\n}}\n".encode())
                append(log, f"ERROR whatsappId=26 Bad MAC {marked}-line\n".encode())
            eventually(lambda: len(backend.calls) > 20, "many polls, some of them failing")
            shown = exporter.request("GET", "/metrics")[1] + exporter.request("GET", "/")[1]
            state = exporter.folder / "state/state.json"
            eventually(state.exists, "the state file")
            arguments = Path(f"/proc/{exporter.pid}/cmdline").read_bytes()
    assert marked.encode() not in shown + arguments
    written = [path for path in exporter.folder.rglob("*") if path.is_file() and path != exporter.config_path]
    assert {path.name for path in written} == {"state.json", "lock", "session-exporter.log"}
    for path in written:
        assert marked.encode() not in path.read_bytes(), path


# -- the command ------------------------------------------------------------------------------------------------------


def run(exporter: Exporter, *more: str) -> subprocess.CompletedProcess[str]:
    exporter.prepare()
    return subprocess.run([*exporter.command(), *more], capture_output=True, text=True, timeout=60, check=False)


def test_check_config_says_yes_or_no(tmp_path: Path) -> None:
    good = run(Exporter(tmp_path, {"backends": [{"name": "shop"}]}), "--check-config")
    assert (good.returncode, good.stderr) == (0, "")
    assert not (tmp_path / "state").exists()
    bad = run(Exporter(tmp_path, {"backends": [{"name": "shop", "colour": "red"}]}), "--check-config")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.count("\n") == 1
    assert "exporter.yml: backends[0] (shop).colour is not a known key" in bad.stderr


def test_a_wrong_configuration_ends_it_with_2(tmp_path: Path) -> None:
    ended = run(Exporter(tmp_path, {"backends": []}))
    assert ended.returncode == 2
    assert "backends is empty" in ended.stderr


def test_an_occupied_address_or_state_folder_ends_it_with_1_and_a_sentence(
    tmp_path: Path, backend: ListedSessions
) -> None:
    config = {"backends": [{"name": "shop", "url": backend.url}]}
    with Exporter(tmp_path / "a", config) as first:
        second = Exporter(tmp_path / "b", {**config, "state_path": str(first.folder / "state")})
        ended = run(second)
        assert ended.returncode == 1
        assert "Another session-exporter uses state_path" in ended.stderr
        second = Exporter(tmp_path / "c", config)
        second.port = first.port
        ended = run(second)
        assert ended.returncode == 1
        assert f"Cannot listen on 127.0.0.1 port {first.port}" in ended.stderr
        assert "Traceback" not in ended.stderr
