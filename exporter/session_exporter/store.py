"""The sessions of one backend: what logs and polls say of them, and which are forgotten."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import IntFlag
from typing import Any

from sessionmedic.health import Limits
from sessionmedic.logs.correlate import CryptoError
from sessionmedic.logs.reader import ConnectionChanged, Event, MessagesReceived
from sessionmedic.models import HealthState, Session, StateGroup
from sessionmedic.service_log import HEALTH, RECONNECT, SESSION

from .series import Credentials, SessionSeries

# Ids that only logs name: more than this a backend has not got, and each costs series.
MAX_UNLISTED = 1000
CHUNK_SESSIONS = 64

_log = logging.getLogger(__name__)


class Aspect(IntFlag):
    """What of a session changed: families of metrics are rendered anew only for what did."""

    NONE = 0
    IDENTITY = 1
    STATE = 2
    HEALTH = 4
    ERRORS = 8
    MESSAGES = 16
    CONNECTED_AT = 32
    MEMORY = 64
    CREDENTIALS = 128
    ALL = 255


class Chunk:
    """A few sessions whose lines are rendered and kept together."""

    __slots__ = ("changed", "sessions")

    def __init__(self) -> None:
        self.sessions: list[SessionSeries] = []
        self.changed = Aspect.ALL


class BackendStore:
    """All that is known of one backend. Its methods take ``lock``, which readers of several values hold as well.

    :param forget_seconds: how long a session is kept that the backend no longer lists.
    :param timeout_seconds: a check that takes longer counts as failed while it still runs.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        clock: Callable[[], float],
        forget_seconds: float = 600.0,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.limits = limits
        self.lock = threading.RLock()
        self.sessions: dict[str, SessionSeries] = {}
        self.chunks: list[Chunk] = []
        self.unattributed: Counter[str] = Counter()
        self.attributions: Counter[str] = Counter()
        self.polled_at: float | None = None
        self.problem = "Not asked yet."
        # Grows with whatever the state file should hold; ``urgent`` when a counter grew that no log can tell again.
        self.revision = 0
        self.urgent = False
        self.memory_bytes: dict[str, int] = {}
        self.started_at: float | None = None
        self._clock = clock
        self._forget_seconds = forget_seconds
        self._timeout_seconds = timeout_seconds
        self._reachable = False
        self._shown_readable = False
        self._checking_since: float | None = None
        self._chunk_of: dict[str, Chunk] = {}
        self._to_judge: set[SessionSeries] = set()
        self._unlisted = 0

    # -- logs ---------------------------------------------------------------------------------------------------

    def count(self, events: Iterable[Event]) -> bool:
        """Count what logs said; whether a session was named that is not known yet."""
        named_new = False
        with self.lock:
            for event in events:
                named_new |= event.session is not None and event.session not in self.sessions
                if isinstance(event, CryptoError):
                    self._count_error(event)
                elif isinstance(event, MessagesReceived):
                    self._count_messages(event)
                else:
                    self._connection_changed(event)
        return named_new

    def _count_error(self, error: CryptoError) -> None:
        series = None if error.session is None else self._named_by_log(error.session)
        if series is None:
            self.unattributed[error.kind] += 1
            self.attributions["none"] += 1
            self.revision += 1
            return
        self.attributions[error.method] += 1
        series.count(error)
        self._touch(series, Aspect.ERRORS)

    def _count_messages(self, event: MessagesReceived) -> None:
        series = self._named_by_log(event.session)
        if series is not None:
            series.messages = (series.messages or 0) + event.number
            self._touch(series, Aspect.MESSAGES)

    def _connection_changed(self, event: ConnectionChanged) -> None:
        series = self._named_by_log(event.session)
        if series is not None and event.word != "connecting":
            series.close_code = event.code
            self._touch(series, Aspect.NONE)

    def _named_by_log(self, session: str) -> SessionSeries | None:
        series = self.sessions.get(session)
        if series is None and self._unlisted < MAX_UNLISTED:
            series = self._add(session)
        elif series is not None and series.listed is None:
            # It is alive in the logs: it stays.
            series.gone_since = self._clock()
        return series

    # -- polls --------------------------------------------------------------------------------------------------

    def check_begins(self) -> None:
        """The backend is asked something."""
        with self.lock:
            self._checking_since = self._clock()

    def check_ended(self) -> None:
        """The answer came, or we gave up."""
        with self.lock:
            self._checking_since = None

    def poll_failed(self, problem: str) -> None:
        """:param problem: one sentence without secrets."""
        with self.lock:
            self._reachable = False
            self.problem = problem
            self.polled_at = self._clock()

    def poll_succeeded(self, sessions: Iterable[Session]) -> None:
        """The backend lists ``sessions``, and no others."""
        with self.lock:
            now = self._clock()
            self._reachable = True
            self.problem = ""
            self.polled_at = now
            listed = {session.id: session for session in sessions}
            for session in listed.values():
                self._observe(session, now)
            for series in list(self.sessions.values()):
                if series.id not in listed:
                    self._not_listed(series, now)
            self._unlisted = sum(series.listed is None for series in self.sessions.values())

    def observed(self, session: Session) -> None:
        """One session was asked for by itself."""
        with self.lock:
            if session.id in self.sessions:
                self._observe(session, self._clock())

    def answered(self, session: str, answering: bool | None) -> None:
        """Result of a deep check."""
        with self.lock:
            series = self.sessions.get(session)
            if series is not None and series.answering is not answering:
                series.answering = answering
                self._touch(series, Aspect.NONE)

    def _observe(self, session: Session, now: float) -> None:
        series = self.sessions.get(session.id) or self._add(session.id)
        before, spell, reconnects = series.listed, series.spell, series.reconnects
        series.observe(session, now)
        changed = Aspect.CONNECTED_AT if series.connected_at == now else Aspect.NONE
        if (
            before is None
            or series.state is not before.state
            or series.is_in_new_spell(spell)
            or reconnects != series.reconnects
        ):
            changed |= Aspect.STATE
        if before is None or (before.name, before.company, before.enabled) != (
            session.name,
            session.company,
            session.enabled,
        ):
            changed |= Aspect.IDENTITY
        if reconnects != series.reconnects:
            self.urgent = True
            _log.info("%s: connected again", self.name, extra={"category": RECONNECT, "session": session.id})
        elif before is not None and series.state is not before.state:
            change = f"{before.state.value} -> {series.state.value}"
            _log.info("%s: %s", self.name, change, extra={"category": SESSION, "session": session.id})
        self._touch(series, changed)

    def _not_listed(self, series: SessionSeries, now: float) -> None:
        if series.listed is not None:
            series.gone(now)
            self._touch(series, Aspect.ALL)
        elif series.gone_since is not None and now - series.gone_since > self._forget_seconds:
            self._forget(series)

    # -- repairs ------------------------------------------------------------------------------------------------

    def verified(self, marks: Mapping[str, float]) -> None:
        """:param marks: session to epoch seconds of its last verified repair."""
        with self.lock:
            for session, at in marks.items():
                series = self.sessions.get(session)
                if series is not None and series.window.verified(at):
                    self._touch(series, Aspect.NONE)

    # -- memory -------------------------------------------------------------------------------------------------

    def measured(self, memory_bytes: Mapping[str, int], started_at: float | None) -> None:
        """Memory of the backend's process by kind, and when it started; empty and None when not known."""
        with self.lock:
            self.memory_bytes = dict(memory_bytes)
            self.started_at = started_at

    # -- credentials --------------------------------------------------------------------------------------------

    def listed_sessions(self) -> list[str]:
        """Ids of the sessions that the backend lists."""
        with self.lock:
            return [series.id for series in self.sessions.values() if series.listed is not None]

    def credentials_of(self, session: str) -> Credentials | None:
        """What was found last."""
        with self.lock:
            series = self.sessions.get(session)
            return None if series is None else series.credentials

    def found_credentials(self, session: str, found: Credentials | None) -> None:
        """What is known of a session's credentials now; None when they cannot be looked at."""
        with self.lock:
            series = self.sessions.get(session)
            if series is not None and series.credentials != found:
                series.credentials = found
                self._chunk_of[session].changed |= Aspect.CREDENTIALS

    # -- what is shown ------------------------------------------------------------------------------------------

    def readable(self) -> bool:
        """Whether the backend's answers can be relied on now."""
        return self._reachable and not self._hangs()

    def was_asked(self) -> bool:
        """Whether it is known by now if the backend can be read."""
        return self.polled_at is not None or self._hangs()

    def result(self) -> str:
        """What the last check came to, for people."""
        with self.lock:
            if self._hangs():
                return "It does not answer in time."
            age = "" if self.polled_at is None else f" ({self._clock() - self.polled_at:.0f} s ago)"
            return (self.problem or "up") + age

    def _hangs(self) -> bool:
        since = self._checking_since
        return since is not None and self._clock() - since > self._timeout_seconds

    def select(self, groups: Collection[StateGroup]) -> list[Session]:
        """The enabled sessions that the backend lists in a state of one of ``groups``."""
        with self.lock:
            return [
                series.listed
                for series in self.sessions.values()
                if series.listed is not None
                and series.listed.enabled
                and series.spell is not None
                and series.spell.group in groups
            ]

    def not_answering(self) -> list[str]:
        """Sessions that are connected and failed their last deep check."""
        with self.lock:
            return [series.id for series in self.sessions.values() if series.answering is False]

    def refresh(self) -> bool:
        """Bring what depends on time up to date; returns ``readable``. Call it with ``lock`` held."""
        now = self._clock()
        readable = self.readable()
        if readable is not self._shown_readable:
            self._shown_readable = readable
            for chunk in self.chunks:
                chunk.changed = Aspect.ALL
        if not readable:
            # Neither shown nor known: a session that was not asked for is not missing.
            return False
        for series in list(self._to_judge):
            before = series.health
            if series.judge(now, self.limits):
                self._chunk_of[series.id].changed |= Aspect.HEALTH
                self._tell_health(series, before)
            if not series.changes_with_time:
                self._to_judge.discard(series)
        return True

    def _tell_health(self, series: SessionSeries, before: HealthState | None) -> None:
        # At the first look ten thousand healthy sessions are no event.
        if (
            series.health is None
            or before is series.health
            or (before is None and series.health is HealthState.HEALTHY)
        ):
            return
        was = f"{before.value} -> " if before is not None else ""
        _log.info(
            "%s: %s%s (%s)",
            self.name,
            was,
            series.health.value,
            series.reason,
            extra={"category": HEALTH, "session": series.id},
        )

    # -- persistence --------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        with self.lock:
            return {
                "sessions": {series.id: series.to_json() for series in self.sessions.values()},
                "unattributed": dict(self.unattributed),
                "attributions": dict(self.attributions),
            }

    def restore(self, data: Mapping[str, Any]) -> None:
        """:raises KeyError, TypeError, ValueError: not what ``to_json`` gave."""
        with self.lock:
            for session, saved in data["sessions"].items():
                self._add(str(session)).restore(saved)
            self.unattributed.update({str(kind): int(n) for kind, n in data["unattributed"].items()})
            self.attributions.update({str(method): int(n) for method, n in data["attributions"].items()})

    # -- bookkeeping --------------------------------------------------------------------------------------------

    def _add(self, session: str) -> SessionSeries:
        series = SessionSeries(session, self.limits, self._clock())
        self.sessions[session] = series
        self._unlisted += 1
        if not self.chunks or len(self.chunks[-1].sessions) >= CHUNK_SESSIONS:
            self.chunks.append(Chunk())
        chunk = self.chunks[-1]
        chunk.sessions.append(series)
        self._chunk_of[session] = chunk
        self._touch(series, Aspect.ALL)
        return series

    def _forget(self, series: SessionSeries) -> None:
        del self.sessions[series.id]
        self._to_judge.discard(series)
        chunk = self._chunk_of.pop(series.id)
        chunk.sessions.remove(series)
        chunk.changed = Aspect.ALL
        if not chunk.sessions:
            self.chunks.remove(chunk)

    def _touch(self, series: SessionSeries, changed: Aspect) -> None:
        self._chunk_of[series.id].changed |= changed
        self._to_judge.add(series)
        if changed & ~Aspect.CONNECTED_AT:
            self.revision += 1
