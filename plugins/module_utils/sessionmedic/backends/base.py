"""What every backend adapter can do."""

from __future__ import annotations

from typing import Protocol

from ..models import Session


class Backend(Protocol):
    """A backend of WhatsApp sessions.

    Every method raises BackendUnavailable, BackendAuthError or BackendAnswerError when the backend cannot be asked.
    A success answer proves nothing: callers look at the sessions again.
    """

    def list_sessions(self) -> list[Session]:
        """All sessions, by one bulk call."""

    def get_session(self, session: str) -> Session:
        """One session. :raises UnknownSession: the backend does not have it."""

    def disconnect(self, session: str) -> None:
        """Close the session's socket and keep its credentials; no error when it was closed."""

    def start(self, session: str) -> None:
        """Ask once for a connection. Never repeated: each start call may add another socket."""

    def close(self) -> None:
        """Give up connections."""
