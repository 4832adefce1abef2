"""One repair a session at a time, everywhere: a lock with a fencing number in Redis, or a file on one machine.

The value of a lock is ``<fencing number>:<owner>``. A holder that was cut off finds another value, or none, at its next
step and stops there; the fencing number grows with every acquisition, so an old holder is never mistaken for the new.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Protocol

from .errors import LockHeld, LockLost, StoreError
from .names import check_name
from .redis_client import Client, answering, connect

# Longer than the longest single step (a poll until connected, or the settling time), which extends it when it starts.
DEFAULT_TTL = 300.0

# The number is taken only with the lock, in one step: a refused try must not use one up.
_ACQUIRE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, redis.call('GET', KEYS[1])} end
local value = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[1]
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
return {1, value}
"""
_EXTEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Locks(Protocol):
    """Where locks are kept. Times to live are seconds."""

    def acquire(self, backend: str, session: str, owner: str, ttl: float = DEFAULT_TTL) -> str:
        """Take the lock and return its value. :raises LockHeld: somebody has it."""

    def holder(self, backend: str, session: str) -> str | None:
        """The owner of the lock now, or None."""

    def extend(self, backend: str, session: str, value: str, ttl: float = DEFAULT_TTL) -> None:
        """Check that the lock is still ours and give it ``ttl`` more. :raises LockLost: it is not."""

    def release(self, backend: str, session: str, value: str) -> bool:
        """Give it back; False when it was no longer ours."""


def owner_of(value: str) -> str:
    """The owner part of a lock value."""
    return value.partition(":")[2]


def _held(backend: str, session: str, value: str | None) -> LockHeld:
    return LockHeld(
        f"Session {session} of {backend} is being repaired by {owner_of(value or '') or 'somebody else'}.",
        "Wait until it is done.",
    )


def _lost(backend: str, session: str) -> LockLost:
    return LockLost(
        f"The lock of session {session} of {backend} is no longer ours; nothing more is changed.",
        "See who repairs it now in the list of remediations, then run again.",
    )


class RedisLocks:
    """Locks shared by every node that uses the Redis at ``url``."""

    def __init__(self, url: str, client: Client | None = None) -> None:
        self._url = url
        self._client: Client = client if client is not None else connect(url)

    @staticmethod
    def key(backend: str, session: str) -> str:
        return f"sessionmedic:lock:{check_name(backend, 'backend name')}:{check_name(session)}"

    def acquire(self, backend: str, session: str, owner: str, ttl: float = DEFAULT_TTL) -> str:
        key = self.key(backend, session)
        with answering(self._url):
            taken, value = self._client.eval(
                _ACQUIRE, 2, key, key.replace(":lock:", ":fence:", 1), owner, int(ttl * 1000)
            )
        if not taken:
            raise _held(backend, session, value)
        return str(value)

    def holder(self, backend: str, session: str) -> str | None:
        with answering(self._url):
            value = self._client.get(self.key(backend, session))
        return owner_of(value) if value else None

    def extend(self, backend: str, session: str, value: str, ttl: float = DEFAULT_TTL) -> None:
        with answering(self._url):
            ours = self._client.eval(_EXTEND, 1, self.key(backend, session), value, int(ttl * 1000))
        if not ours:
            raise _lost(backend, session)

    def release(self, backend: str, session: str, value: str) -> bool:
        with answering(self._url):
            return bool(self._client.eval(_RELEASE, 1, self.key(backend, session), value))


class LocalLocks:
    """Locks as files of one machine, for by-hand runs without Redis (``-e lock=local``).

    :param folder: made with mode 0700 when missing.
    :param clock: epoch seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def _path(self, backend: str, session: str) -> Path:
        # '@' is in the alphabet of names, '+' is not: no two pairs share a file.
        return self._folder / f"{check_name(backend, 'backend name')}+{check_name(session)}.lock"

    def _read(self, path: Path) -> tuple[str, float] | None:
        try:
            record = json.loads(path.read_text("utf-8"))
            return str(record["value"]), float(record["until"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            # Half a record is a lock whose writer died while writing: its age decides.
            return "0:unknown", path.stat().st_mtime + DEFAULT_TTL

    def _write(self, path: Path, value: str, ttl: float) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps({"value": value, "until": self._clock() + ttl}), "utf-8")
            temporary.replace(path)
        except OSError as error:
            raise StoreError(f"The lock file {path} cannot be written ({error.strerror}).", "Use Redis.") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else of this folder looks at or changes a lock meanwhile; the kernel ends it when we die."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            guard = os.open(self._folder / ".guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"The folder of locks {self._folder} cannot be used ({error.strerror}).", "Use Redis."
            ) from None
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield
        finally:
            os.close(guard)

    def acquire(self, backend: str, session: str, owner: str, ttl: float = DEFAULT_TTL) -> str:
        path = self._path(backend, session)
        with self._alone():
            held = self._read(path)
            if held is not None and held[1] > self._clock():
                raise _held(backend, session, held[0])
            value = f"{time.time_ns()}:{owner}"
            self._write(path, value, ttl)
        return value

    def holder(self, backend: str, session: str) -> str | None:
        held = self._read(self._path(backend, session))
        return owner_of(held[0]) if held is not None and held[1] > self._clock() else None

    def extend(self, backend: str, session: str, value: str, ttl: float = DEFAULT_TTL) -> None:
        path = self._path(backend, session)
        with self._alone():
            held = self._read(path)
            if held is None or held[0] != value or held[1] <= self._clock():
                raise _lost(backend, session)
            self._write(path, value, ttl)

    def release(self, backend: str, session: str, value: str) -> bool:
        path = self._path(backend, session)
        with self._alone():
            held = self._read(path)
            if held is None or held[0] != value:
                return False
            path.unlink(missing_ok=True)
        return True


def local_folder() -> Path:
    """Where a by-hand run keeps its lock files: the machine's lock folder for root, else the user's."""
    if os.geteuid() == 0:
        return Path("/run/lock/sessionmedic")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "sessionmedic/locks"


def locks_for(where: str) -> Locks:
    """Locks at ``where``: ``local``, or a Redis URL."""
    return LocalLocks(local_folder()) if where == "local" else RedisLocks(where)
