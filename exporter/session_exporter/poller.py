"""Ask one backend again and again, in a thread of its own, so that one that hangs delays no other."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from sessionmedic.backends.base import Backend
from sessionmedic.errors import SessionMedicError, UnknownSession
from sessionmedic.models import StateGroup
from sessionmedic.service_log import HEALTH

from .config import PollConfig
from .store import BackendStore

# A log that names a new session asks for a poll; a log full of such names must not make a storm of polls.
SOONEST_SECONDS = 1.0
# Recovery checks ask for sessions one by one.
RECOVERY_SESSIONS = 20

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class CheckReport(Protocol):
    """Takes the result of each check: backend, tier, seconds, whether the backend answered."""

    def __call__(self, backend: str, tier: str, seconds: float, ok: bool) -> None: ...


class BackendPoller:
    """Three tiers of checks of one backend.

    * connection: one bulk call;
    * recovery: the sessions that are down, one by one, and those that failed the deep check;
    * deep: every connected session is asked whether it really answers, where the backend has a way to tell.

    :param clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        store: BackendStore,
        backend: Backend,
        config: PollConfig,
        report: CheckReport,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._backend = backend
        self._config = config
        self._report = report
        self._clock = clock
        self._deep_check: Callable[[str], bool | None] | None = getattr(backend, "deep_check", None)
        self._polled_at = float("-inf")
        self._deep_at = clock() + config.deep_seconds
        self._recovery_at = clock() + config.recovery_seconds
        self._deep_queue: deque[str] = deque()
        self._failing = False
        self._wake = threading.Event()
        self._wanted = False

    def wake(self) -> None:
        """Poll soon: something new was heard of."""
        self._wanted = True
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``; call ``wake`` after setting it."""
        while not stop.is_set():
            self._wake.clear()
            wait = self.step()
            self._wake.wait(wait)
        self._backend.close()

    def step(self) -> float:
        """Do what is due, the bulk call first; returns the seconds until something is due again."""
        if self._clock() >= self._poll_due():
            self._poll()
        if not self._failing:
            self._check_recovery()
            self._check_deep()
        return max(0.0, self._next_due() - self._clock())

    def _poll_due(self) -> float:
        if self._wanted:
            return self._polled_at + SOONEST_SECONDS
        quick = self._failing or self._store.select({StateGroup.TRANSITORY})
        seconds = self._config.connection_seconds
        return self._polled_at + (min(seconds, self._config.transitory_seconds) if quick else seconds)

    def _next_due(self) -> float:
        due = [self._poll_due()]
        if not self._failing:
            if self._config.recovery_seconds:
                due.append(self._recovery_at)
            if self._config.deep_seconds and self._deep_check is not None:
                due.append(self._clock() if self._deep_queue else self._deep_at)
        return min(due)

    # -- tiers --------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        self._wanted = False
        self._polled_at = self._clock()
        sessions = self._ask("connection", self._backend.list_sessions)
        if sessions is not None:
            self._store.poll_succeeded(sessions)

    def _check_recovery(self) -> None:
        if not self._config.recovery_seconds or self._clock() < self._recovery_at:
            return
        self._recovery_at = self._clock() + self._config.recovery_seconds
        down = [session.id for session in self._store.select({StateGroup.DOWN})]
        for session in down[:RECOVERY_SESSIONS]:
            if not self._check_one(session):
                return
        if self._deep_check is not None:
            self._deep_queue.extendleft(set(self._store.not_answering()) - set(self._deep_queue))

    def _check_one(self, session: str) -> bool:
        """Ask for one session; False when the backend cannot be asked."""
        try:
            found = self._ask("recovery", lambda: self._backend.get_session(session))
        except UnknownSession:
            # The next bulk call will no longer list it.
            return True
        if found is not None:
            self._store.observed(found)
        return found is not None

    def _check_deep(self) -> None:
        check = self._deep_check
        if check is None or not self._config.deep_seconds:
            return
        if not self._deep_queue and self._clock() >= self._deep_at:
            self._deep_at = self._clock() + self._config.deep_seconds
            self._deep_queue.extend(session.id for session in self._store.select({StateGroup.CONNECTED}))
        # The bulk call is on time even when there are more sessions than can be asked between two of them.
        while self._deep_queue and self._clock() < self._poll_due():
            session = self._deep_queue.popleft()
            try:
                answer = self._ask("deep", partial(_wrapped, check, session))
            except UnknownSession:
                continue
            if answer is None:
                self._deep_queue.clear()
                return
            self._store.answered(session, answer[0])

    def _ask(self, tier: str, call: Callable[[], Answer]) -> Answer | None:
        """The answer, or None when there is none.

        Only the bulk call decides whether the backend is down; when another check fails it is made at once.
        """
        began = self._clock()
        self._store.check_begins()
        problem: str | None = None
        try:
            return call()
        except UnknownSession:
            raise
        except SessionMedicError as error:
            problem = error.message
            if tier == "connection" and (not self._failing or problem != self._store.problem):
                _log.error("Backend %s cannot be read: %s", self._store.name, error, extra={"category": HEALTH})
        except Exception:
            # An adapter that stumbles over an answer must not end the thread that watches its backend.
            problem = "The check failed unexpectedly; see the exporter's log."
            if not self._failing:
                _log.exception("Backend %s: check %s failed unexpectedly.", self._store.name, tier)
        finally:
            self._store.check_ended()
            self._report(self._store.name, tier, self._clock() - began, problem is None)
            if tier == "connection":
                self._note(problem)
        self._wanted = tier != "connection"
        return None

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self._store.poll_failed(problem)
        elif self._failing:
            _log.info("Backend %s can be read again.", self._store.name, extra={"category": HEALTH})
        self._failing = problem is not None


def _wrapped(check: Callable[[str], bool | None], session: str) -> tuple[bool | None]:
    """A deep check's answer, told apart from no answer: it may be None itself."""
    return (check(session),)
