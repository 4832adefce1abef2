"""Examine a session by its state, its errors and its messages; verify that a repair worked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Callable

from .backends.base import Backend
from .config import BackendConfig
from .errors import BackendAnswerError, BackendUnavailable, UnknownSession
from .health import DEFAULT_LIMITS, Limits, classify
from .logs.correlate import CryptoError
from .logs.reader import ConnectionChanged, Event, MessagesReceived
from .logs.tail import LogTail
from .models import TERMINAL, ConnectionState, Health, HealthState, Session, StateGroup, explained, new_spell

POLL_SECONDS = 1.0
# "Connected" proves nothing: sessions whose every message fails say it too.
NO_LOGS = "connected, but its logs cannot all be read, so nothing tells whether messages decrypt"


@dataclass
class Evidence:
    """What the logs say of one session since ``since`` (epoch seconds).

    :ivar errors: kind to number of messages that failed.
    :ivar peers: failing peers' addresses to number of failures.
    :ivar decrypted: messages decrypted; None where no source counts them.
    :ivar watched: peers whose failures count also where no record names the session: those that failed before.
    :ivar close_code: Baileys' reason of the last close, also an older one; None while or when it was opened after.
    """

    since: float
    watched: frozenset[str] = frozenset()
    errors: dict[str, int] = field(default_factory=dict)
    peers: dict[str, int] = field(default_factory=dict)
    decrypted: int | None = None
    last_error_at: float | None = None
    last_message_at: float | None = None
    close_code: int | None = None
    logs_readable: bool = False

    @property
    def total(self) -> int:
        return sum(self.errors.values())

    def add(self, session: str, events: Iterable[Event]) -> None:
        """Take the events of ``session``. Errors of messages sent before ``since`` do not count."""
        for event in events:
            if event.session != session and not self._is_of_watched_peer(event):
                continue
            if isinstance(event, ConnectionChanged):
                if event.word != "connecting":
                    self.close_code = event.code
            elif isinstance(event, MessagesReceived):
                # That a source counts at all is known from any such line, also an old one.
                self.decrypted = self.decrypted or 0
                if event.at >= self.since:
                    self.decrypted += event.number
                    self.last_message_at = max(event.at, self.last_message_at or 0.0)
            elif event.at >= self.since and (event.sent_at is None or event.sent_at >= int(self.since)):
                self._add_error(event)

    def _is_of_watched_peer(self, event: Event) -> bool:
        return isinstance(event, CryptoError) and event.session is None and event.peer in self.watched

    def explain(self, session: Session) -> Session:
        """``session`` with what the log tells of why it is disconnected."""
        return replace(session, state=explained(session.state, self.close_code))

    def _add_error(self, event: CryptoError) -> None:
        self.errors[event.kind] = self.errors.get(event.kind, 0) + 1
        if event.peer:
            self.peers[event.peer] = self.peers.get(event.peer, 0) + 1
        self.last_error_at = max(event.at, self.last_error_at or 0.0)


@dataclass(frozen=True)
class Examination:
    """What we know of a session now."""

    session: Session | None
    health: Health
    evidence: Evidence

    @property
    def state(self) -> ConnectionState:
        return self.session.state if self.session else ConnectionState.UNKNOWN


@dataclass(frozen=True)
class Verification:
    """Whether a repair worked.

    :ivar proven: messages were seen to decrypt, not only no errors.
    :ivar terminal: the session came to a state that no remedy may touch.
    """

    ok: bool
    reason: str
    proven: bool
    seconds: float
    evidence: Evidence
    terminal: bool = False


class Clock:
    """Wall clock and sleep; tests pass their own."""

    def __init__(self, now: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> None:
        self.now = now
        self.sleep = sleep


def read_evidence(config: BackendConfig, session: str, since: float, now: float) -> Evidence:
    """The evidence at the end of the logs."""
    evidence = Evidence(since)
    tail = LogTail(config)
    evidence.add(session, tail.read(now))
    evidence.add(session, tail.drain(now))
    evidence.logs_readable = tail.readable
    return evidence


def examine(
    backend: Backend,
    config: BackendConfig,
    session: str,
    verified_at: float = 0.0,
    limits: Limits = DEFAULT_LIMITS,
    clock: Clock | None = None,
) -> Examination:
    """Look at ``session`` by API and logs.

    A transitory state is watched for up to ``limits.stuck_seconds``, because one look cannot tell slow from stuck.

    :param verified_at: epoch seconds of the last verified repair: older errors do not count.
    """
    clock = clock or Clock()
    now = clock.now()
    evidence = read_evidence(config, session, max(now - limits.window_seconds, verified_at), now)
    try:
        found = evidence.explain(backend.get_session(session))
    except UnknownSession as error:
        return Examination(None, Health(HealthState.NOT_FOUND, error.message), evidence)
    spell = new_spell(found.state, now)
    while spell.group is StateGroup.TRANSITORY and now - spell.since <= limits.stuck_seconds:
        clock.sleep(POLL_SECONDS)
        now = clock.now()
        found = evidence.explain(backend.get_session(session))
        spell = spell.observe(found.state, now)
    health = classify(found.state, spell, evidence.total, now, limits)
    if health.healthy and not evidence.logs_readable:
        health = Health(HealthState.UNKNOWN, NO_LOGS)
    return Examination(found, health, evidence)


def verify(
    backend: Backend,
    config: BackendConfig,
    session: str,
    since: float,
    settle_seconds: float,
    timeout_seconds: float,
    clock: Clock | None = None,
    peers: Iterable[str] = (),
) -> Verification:
    """Wait until the session has been connected, without a new error, for ``settle_seconds``.

    Where messages are counted, one must decrypt in that time; when none comes at all until the time is over, a quiet
    connection is taken as verified but not as proven. A terminal state ends the wait at once.

    :param since: epoch seconds of the reconnect; errors of messages sent before do not count.
    :param peers: addresses of the peers that failed before the remedy.
    """
    clock = clock or Clock()
    began = clock.now()
    evidence = Evidence(since, frozenset(peers))
    tail = LogTail(config)
    calm_since: float | None = None
    word = "the backend has not answered"
    while True:
        now = clock.now()
        evidence.add(session, tail.read(now))
        evidence.logs_readable = tail.readable
        try:
            found = evidence.explain(backend.get_session(session))
            word = found.raw_state or found.state.value
            if found.state in TERMINAL or found.state is ConnectionState.QR_REQUIRED:
                why = f"the session is now {found.state.value}"
                return Verification(False, why, False, now - began, evidence, found.state in TERMINAL)
            connected = found.state is ConnectionState.CONNECTED
        except (BackendUnavailable, BackendAnswerError) as error:
            connected, word = False, error.message
        if not connected:
            calm_since = None
        elif calm_since is None:
            calm_since = now
        calm_from = max(calm_since or now, evidence.last_error_at or 0.0)
        decrypting = (evidence.last_message_at or 0.0) > calm_from
        calm = connected and now - calm_from >= settle_seconds
        if calm and not evidence.logs_readable:
            return Verification(False, NO_LOGS, False, now - began, evidence)
        if calm and (decrypting or evidence.decrypted is None):
            return Verification(True, "connected, no new errors", decrypting, now - began, evidence)
        if now - began >= timeout_seconds:
            if calm and not evidence.total:
                return Verification(
                    True, "connected, no new errors, no message came to prove it", False, now - began, evidence
                )
            why = word if not connected else f"{evidence.total} new errors, and it is not calm"
            return Verification(False, f"after {timeout_seconds:g} s: {why}", False, now - began, evidence)
        clock.sleep(min(POLL_SECONDS, max(0.05, settle_seconds / 4)))
