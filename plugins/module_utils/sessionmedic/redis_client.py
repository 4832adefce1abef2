"""Connections to Redis, and its failures as our own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from . import libraries
from .errors import ConfigError, StateUnavailable

# redis-py's own types differ between the versions that Python 3.9 and the controller get.
Client = Any

CONNECT_TIMEOUT = 3.0
ANSWER_TIMEOUT = 5.0


def place(url: str) -> str:
    """Host and port of a URL, for messages: a URL may carry a password."""
    parts = urlsplit(url)
    return f"{parts.hostname or parts.path or '?'}:{parts.port or 6379}"


def connect(url: str, *, decode: bool = True) -> Client:
    """A client for ``url`` that gives up after 3 s (connecting) and 5 s (an answer); nothing is sent yet.

    :raises ConfigError: the URL is not a Redis URL.
    """
    package = libraries.redis()
    try:
        client: Client = package.Redis.from_url(
            url,
            decode_responses=decode,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            health_check_interval=30,
        )
    except ValueError:
        raise ConfigError("redis_url is not a Redis URL.", "Write it as redis://host:6379/0.") from None
    return client


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Turn redis' own errors inside the block into StateUnavailable, which names the host only."""
    package = libraries.redis()
    try:
        yield
    except package.exceptions.RedisError as error:
        raise StateUnavailable(
            f"Redis at {place(url)} cannot be used ({type(error).__name__}).",
            "Start it, or correct REDIS_URL; a by-hand repair may use -e lock=local.",
        ) from None
