"""Values of the credentials table's columns, whose types are each backend's own choice."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

# SQLAlchemy's types differ between the versions that Python 3.9 and the controller get.
Column = Any

# Above this an integer time is milliseconds (in seconds it would be the year 5138).
_MILLISECONDS_FROM = 10**11


def long_text(sa: Any) -> Any:
    """A text column for credentials: they outgrow MySQL's TEXT of 64 KiB."""
    from sqlalchemy.dialects.mysql import LONGTEXT

    return sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")


def _of_postgresql(column: Column) -> bool:
    return type(column.type).__module__.startswith("sqlalchemy.dialects.postgresql")


def _type_name(column: Column) -> str:
    return type(column.type).__name__.upper()


def keeps_value_only(dialect: str, column: Column) -> bool:
    """Whether the column keeps a JSON value instead of its text."""
    return _type_name(column) == "JSONB" or (dialect == "mysql" and _type_name(column) == "JSON")


def as_read(sa: Any, column: Column) -> Any:
    """The column as an expression that gives the driver's own value, and of JSON its text."""
    if _of_postgresql(column) and _type_name(column) in ("JSON", "JSONB"):
        return sa.cast(column, sa.Text)
    return sa.type_coerce(column, sa.types.NullType())


def as_written(sa: Any, column: Column, value: Any) -> Any:
    """``value`` as an expression that the column takes: bytes for credentials, str, a float for a time, or None."""
    kind = column.type
    if isinstance(value, float):
        return _time_as_written(sa, kind, value)
    if isinstance(value, bytes):
        if isinstance(kind, sa.LargeBinary):
            return value
        value = value.decode("utf-8")
    if value is None:
        return sa.null()
    text = sa.literal(value, sa.Text)
    if _of_postgresql(column) and _type_name(column) in ("JSON", "JSONB", "ENUM"):
        # PostgreSQL takes no text for these without a cast; other databases take nothing else.
        return sa.cast(text, kind)
    return text


def _time_as_written(sa: Any, kind: Any, value: float) -> Any:
    moment = datetime.fromtimestamp(value, timezone.utc)
    if isinstance(kind, sa.DateTime):
        return moment if kind.timezone else moment.replace(tzinfo=None)
    if isinstance(kind, sa.Integer):
        return int(value)
    return sa.literal(moment.isoformat(), sa.Text)


def creds_bytes(value: Any) -> bytes | None:
    """Credentials as the driver gives them (str, bytes or memoryview), as bytes."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bytes(value)


def epoch(value: Any) -> float | None:
    """Epoch seconds of what tables hold as a time: dates (UTC when they say nothing), ISO text, s or ms."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) / (1000 if value > _MILLISECONDS_FROM else 1)
    return None
