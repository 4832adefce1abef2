"""Sessions, errors and stores as the tests of the exporter need them."""

from __future__ import annotations

from session_exporter.store import BackendStore
from sessionmedic.health import Limits
from sessionmedic.logs.correlate import CryptoError
from sessionmedic.models import ConnectionState, Session

NOW = 1_800_000_000.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def session(id: str = "26", state: ConnectionState = ConnectionState.CONNECTED, **fields: object) -> Session:
    return Session("b", id, state, **fields)  # type: ignore[arg-type]


def error(session: str | None = "26", kind: str = "bad_mac", at: float = NOW, method: str = "explicit") -> CryptoError:
    return CryptoError(session, kind, at, method=method if session else "none")


def store(clock: Clock, *sessions: Session, **options: float) -> BackendStore:
    made = BackendStore("b", Limits(), clock, **options)
    if sessions:
        made.poll_succeeded(sessions)
    return made
