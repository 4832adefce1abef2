# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: close a session's socket and open one, each proven by the state that follows.

An HTTP 200 proves nothing: real backends answer it and do nothing, or reconnect on their own a moment later.
"""

from __future__ import annotations

import time

from .sessionmedic.backends.base import Backend
from .sessionmedic.config import BackendConfig
from .sessionmedic.errors import BackendAnswerError, BackendUnavailable, StoreError, TerminalSession
from .sessionmedic.examination import Clock, read_evidence
from .sessionmedic.models import TERMINAL, TRANSITORY, ConnectionState, Session

POLL_SECONDS = 0.25

# No process of the backend holds, or is about to hold, a socket for the account.
DOWN = TERMINAL | {ConnectionState.DISCONNECTED, ConnectionState.AUTH_FAILURE}


def close(
    backend: Backend, session: str, confirm_seconds: float, timeout_seconds: float, clock: Clock
) -> tuple[bool, Session]:
    """Close the socket of ``session`` unless it is closed, and see that it stays closed for ``confirm_seconds``.

    Returns whether the backend had to be asked, and the session as it was seen last.

    :raises BackendAnswerError: a socket may still be alive after ``timeout_seconds``.
    """
    found = backend.get_session(session)
    if found.state in DOWN:
        found, stayed = _watch(backend, found, confirm_seconds, clock)
        if stayed:
            return False, found
    backend.disconnect(session)
    deadline = clock.now() + timeout_seconds
    while clock.now() < deadline:
        found = backend.get_session(session)
        if found.state in DOWN:
            found, stayed = _watch(backend, found, confirm_seconds, clock)
            if stayed:
                return True, found
        clock.sleep(POLL_SECONDS)
    raise BackendAnswerError(
        f"Session {session} of {found.backend} was told to disconnect but is {found.raw_state or found.state.value} "
        f"after {timeout_seconds:g} s.",
        "Nothing was removed; look into the backend's log, or restart the backend.",
    )


def _watch(backend: Backend, found: Session, seconds: float, clock: Clock) -> tuple[Session, bool]:
    # Reconnect loops pass through "disconnected" every 2 s or faster.
    until = clock.now() + seconds
    while clock.now() < until:
        clock.sleep(POLL_SECONDS)
        found = backend.get_session(found.id)
        if found.state not in DOWN:
            return found, False
    return found, True


def open_once(backend: Backend, session: str, timeout_seconds: float, clock: Clock) -> tuple[bool, Session]:
    """Start ``session`` with one call, unless a socket is there already, and wait until it is connected.

    Returns whether it was started, and the session as it was seen last: connected, needing a person, or still not
    connected after ``timeout_seconds``.
    """
    found = backend.get_session(session)
    started = found.state is not ConnectionState.CONNECTED and found.state not in TRANSITORY
    if started:
        # Each further start call may add one more socket that fights the others for the account.
        backend.start(session)
    deadline = clock.now() + timeout_seconds
    down_until = clock.now() + min(5.0, timeout_seconds)
    while True:
        try:
            found = backend.get_session(session)
        except BackendUnavailable:
            # A backend may be too busy to answer while it opens a socket; the deadline decides.
            pass
        if found.state is ConnectionState.CONNECTED or found.state is ConnectionState.QR_REQUIRED:
            return started, found
        if found.state in TERMINAL and clock.now() >= down_until:
            return started, found
        if clock.now() >= deadline:
            return started, found
        clock.sleep(POLL_SECONDS)


def require_down(backend: Backend, session: str) -> None:
    """:raises StoreError: a socket of the session may be alive, which would write over what is changed."""
    found = backend.get_session(session)
    if found.state not in DOWN:
        raise StoreError(
            f"Session {session} of {found.backend} is {found.raw_state or found.state.value}, not disconnected.",
            "Nothing was changed; disconnect it first.",
        )


def with_reason(config: BackendConfig, session: Session) -> Session:
    """``session`` with what the log tells of why it is disconnected, where the backend does not say it."""
    now = time.time()
    return read_evidence(config, session.id, now, now).explain(session)


def refuse_terminal(session: Session, allow_qr: bool) -> None:
    """:raises TerminalSession: a start would be refused, or would harm the account.

    :param allow_qr: a person is there to link a device that was removed; a ban or a conflict is refused all the same.
    """
    if session.state in TERMINAL and not (allow_qr and session.state is ConnectionState.LOGGED_OUT):
        raise TerminalSession(
            f"Session {session.id} of {session.backend} is {session.state.value} and is not started.",
            "A person must look at the phone and the account.",
        )
