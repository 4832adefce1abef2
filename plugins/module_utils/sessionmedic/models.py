"""Sessions, the states of their connection and of their health."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ConnectionState(str, Enum):
    """What the backend says of the connection, in our words (label ``state`` of whatsapp_session_connection)."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    RECONNECTING = "reconnecting"
    INITIALIZING = "initializing"
    LOADING = "loading"
    QR_REQUIRED = "qr_required"
    DISCONNECTED = "disconnected"
    AUTH_FAILURE = "auth_failure"
    CONFLICT = "conflict"
    LOGGED_OUT = "logged_out"
    BANNED = "banned"
    UNKNOWN = "unknown"


class HealthState(str, Enum):
    """Label ``state`` of whatsapp_session_health."""

    HEALTHY = "healthy"
    DISCONNECTED = "disconnected"
    DEGRADED = "degraded"
    STUCK = "stuck"
    CORRUPTED = "corrupted"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


class StateGroup(str, Enum):
    """Groups in which time is counted: real backends flap inside a group every 2 s or faster."""

    CONNECTED = "connected"
    TRANSITORY = "transitory"
    WAITING = "waiting"
    TERMINAL = "terminal"
    DOWN = "down"
    UNKNOWN = "unknown"


TRANSITORY = frozenset(
    {
        ConnectionState.CONNECTING,
        ConnectionState.RECONNECTING,
        ConnectionState.INITIALIZING,
        ConnectionState.LOADING,
    }
)
# Never reconnected by a remedy: another login would be refused, or would harm the account.
TERMINAL = frozenset({ConnectionState.CONFLICT, ConnectionState.LOGGED_OUT, ConnectionState.BANNED})

# Baileys' DisconnectReason (facts: auth_folder.txt) of closes after which the backend gives up, and shows the same
# "disconnected" as for any other.
CLOSE_CODES = {401: ConnectionState.LOGGED_OUT, 403: ConnectionState.BANNED, 440: ConnectionState.CONFLICT}

# A close between two tries belongs to the tries (ticketz flaps OPENING and PENDING about every 2 s).
FLAP_SECONDS = 60.0


@dataclass(frozen=True)
class Session:
    """One session as its backend lists it.

    ``updated_at`` is epoch seconds where the backend says it; backends refresh it at every flap, so it is not
    "time in state".
    """

    backend: str
    id: str
    state: ConnectionState
    name: str = ""
    company: str = ""
    raw_state: str = ""
    enabled: bool = True
    updated_at: float | None = None


@dataclass(frozen=True)
class Health:
    """The verdict on a session: state, one sentence why, and whether its records should be cleaned."""

    state: HealthState
    reason: str
    should_cleanup: bool = False

    @property
    def healthy(self) -> bool:
        return self.state is HealthState.HEALTHY


@dataclass(frozen=True)
class StateSpell:
    """How long a session has been in its group of states.

    :param group: the group.
    :param since: epoch seconds at which the group was entered.
    :param transitory_until: epoch seconds of the last transitory observation, so that a short close between two
        tries does not end the spell.
    """

    group: StateGroup
    since: float
    transitory_until: float = 0.0

    def observe(self, state: ConnectionState, now: float) -> StateSpell:
        """The spell after ``state`` was seen at ``now``."""
        last = now if state in TRANSITORY else self.transitory_until
        group = group_of(state, now - last if last else None)
        if group is self.group:
            return StateSpell(group, self.since, last)
        return StateSpell(group, now, last)


def group_of(state: ConnectionState, seconds_since_transitory: float | None = None) -> StateGroup:
    """The group of a state; ``seconds_since_transitory`` is None when it was never transitory."""
    if state is ConnectionState.CONNECTED:
        return StateGroup.CONNECTED
    if state in TRANSITORY:
        return StateGroup.TRANSITORY
    if state is ConnectionState.QR_REQUIRED:
        return StateGroup.WAITING
    if state in TERMINAL:
        return StateGroup.TERMINAL
    if state is ConnectionState.UNKNOWN:
        return StateGroup.UNKNOWN
    if seconds_since_transitory is not None and seconds_since_transitory <= FLAP_SECONDS:
        return StateGroup.TRANSITORY
    return StateGroup.DOWN


def explained(state: ConnectionState, close_code: int | None) -> ConnectionState:
    """``state``, or why it is disconnected, by the code of the last close that the log tells."""
    if state in (ConnectionState.DISCONNECTED, ConnectionState.AUTH_FAILURE) and close_code is not None:
        return CLOSE_CODES.get(close_code, state)
    return state


def new_spell(state: ConnectionState, now: float) -> StateSpell:
    """The spell of a session that is seen for the first time."""
    return StateSpell(group_of(state), now, now if state in TRANSITORY else 0.0)
