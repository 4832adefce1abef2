"""One log line an event, the same for all services.

Text: ``[2024-01-15 10:30:45] [INFO] [SESSION] [instance-id] message`` in UTC, category and instance left out when there
is none. JSON by option. Through stdlib logging: ``logger.info("...", extra={"category": REMEDY, "session": "26"})``.

What is logged may come from alerts and backends, so control characters are escaped (a message cannot forge a second
line), and registered secrets as well as passwords in URLs are replaced.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, TextIO

from .errors import ConfigError
from .names import shown

SESSION = "SESSION"
RECONNECT = "RECONNECT"
HEALTH = "HEALTH"
MEMORY = "MEMORY"
REMEDY = "REMEDY"
CATEGORIES = (SESSION, RECONNECT, HEALTH, MEMORY, REMEDY)
FORMATS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

HIDDEN = "***"
# Shorter ones would blank ordinary words.
_SHORTEST_SECRET = 4

# C0, DEL, C1, the Unicode line ends, and the marks that make a terminal show a line in another order.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_URL_PASSWORD = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*(?=@)")
_secrets: set[str] = set()


def register_secret(value: str) -> None:
    """From now on ``value`` is replaced in whatever is logged or recorded by this process."""
    if len(value) >= _SHORTEST_SECRET:
        _secrets.add(value)


def redact(text: str) -> str:
    """``text`` without registered secrets and without passwords in URLs."""
    # Longest first, so that a secret that is part of another leaves nothing of it.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _URL_PASSWORD.sub(HIDDEN, text)


def one_line(text: str, limit: int = 0) -> str:
    """``text`` as one line: control characters escaped, cut to ``limit`` characters when that is given."""
    flat = _CONTROL.sub(_escaped, text)
    return flat if not limit or len(flat) <= limit else flat[: limit - 3] + "..."


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def timestamp(at: float) -> str:
    """Epoch seconds as ``2024-01-15 10:30:45`` in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


class _Formatter(logging.Formatter):
    def _text(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}: {self.formatException(record.exc_info)}"
        return one_line(redact(message))

    @staticmethod
    def _extra(record: logging.LogRecord, name: str) -> str:
        return one_line(redact(str(getattr(record, name, "") or "")), 128)


class TextFormatter(_Formatter):
    """``[time] [LEVEL] [CATEGORY] [session] message``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = [timestamp(record.created), record.levelname]
        fields += [value for name in ("category", "session") if (value := self._extra(record, name))]
        return "".join(f"[{field}] " for field in fields) + self._text(record)


class JsonFormatter(_Formatter):
    """An object with time, level, logger, message, and category and session where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": f"{timestamp(record.created).replace(' ', 'T')}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
        }
        event.update((name, value) for name in ("category", "session") if (value := self._extra(record, name)))
        event["message"] = self._text(record)
        return json.dumps(event, ensure_ascii=False)


def configure(format: str = "text", level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to ``stream`` (stderr when not given), and nowhere else.

    :raises ConfigError: the format or the level is not known.
    """
    if format not in FORMATS:
        raise ConfigError(f"log_format {shown(format)} is not known.", f"Use one of {', '.join(FORMATS)}.")
    if level.upper() not in LEVELS:
        raise ConfigError(f"The log level {shown(level)} is not known.", f"Use one of {', '.join(LEVELS)}.")
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(TextFormatter() if format == "text" else JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
