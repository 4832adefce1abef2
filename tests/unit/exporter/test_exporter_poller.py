"""One backend is asked in tiers, in time, and its failures are told once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from session_exporter.config import PollConfig
from session_exporter.poller import RECOVERY_SESSIONS, SOONEST_SECONDS, BackendPoller
from session_exporter.store import BackendStore
from sessionmedic.errors import BackendAnswerError, BackendUnavailable, SessionMedicError, UnknownSession
from sessionmedic.models import ConnectionState, Session
from tests.unit.exporter.exporter_cases import Clock, session, store

CONNECTED, DOWN, CONNECTING = ConnectionState.CONNECTED, ConnectionState.DISCONNECTED, ConnectionState.CONNECTING


class Backend:
    """Answers what it is told, and takes a while for it."""

    def __init__(self, clock: Clock, *sessions: Session) -> None:
        self.clock = clock
        self.sessions = {item.id: item for item in sessions}
        self.calls: list[str] = []
        self.seconds = 0.0
        self.failure: Exception | None = None
        self.show_failure: Exception | None = None

    def _called(self, call: str, failure: Exception | None) -> None:
        self.calls.append(call)
        self.clock.now += self.seconds
        if failure is not None:
            raise failure

    def list_sessions(self) -> list[Session]:
        self._called("list", self.failure)
        return list(self.sessions.values())

    def get_session(self, session: str) -> Session:
        self._called(f"show {session}", self.failure or self.show_failure)
        if session not in self.sessions:
            raise UnknownSession(f"no {session}")
        return self.sessions[session]

    def disconnect(self, session: str) -> None:
        raise AssertionError("the exporter only looks")

    start = disconnect

    def close(self) -> None:
        self.calls.append("close")


class DeepBackend(Backend):
    """Can also tell whether a session answers."""

    answers: dict[str, bool | None]

    def deep_check(self, session: str) -> bool | None:
        self._called(f"deep {session}", self.failure or self.show_failure)
        return self.answers.get(session, True)


class Case:
    """A poller, its backend and its store on a clock that the test moves."""

    def __init__(self, kind: type[Backend], *sessions: Session, **config: float) -> None:
        self.clock = Clock()
        self.backend = kind(self.clock, *sessions)
        self.store: BackendStore = store(self.clock)
        self.reports: list[tuple[str, bool]] = []
        self.poller = BackendPoller(
            self.store,
            self.backend,
            PollConfig(**config),  # type: ignore[arg-type]
            lambda backend, tier, seconds, ok: self.reports.append((tier, ok)),
            self.clock,
        )

    def run(self, seconds: float) -> list[str]:
        """The calls of the next ``seconds``, as the thread would make them."""
        self.backend.calls.clear()
        until = self.clock.now + seconds
        while True:
            wait = self.poller.step()
            if self.clock.now + wait > until:
                self.clock.now = max(self.clock.now, until)
                return self.backend.calls
            self.clock.now += wait


def test_one_bulk_call_a_cycle_however_many_sessions() -> None:
    case = Case(Backend, *(session(str(number)) for number in range(1000)))
    assert case.run(299) == ["list"] * 10
    assert len(case.store.sessions) == 1000


def test_it_asks_more_often_while_a_session_is_transitory() -> None:
    case = Case(Backend, session("1"), session("2", CONNECTING))
    assert case.run(29) == ["list"] * 3
    case.backend.sessions["2"] = session("2")
    case.run(1)
    assert case.run(59) == ["list"] * 1


def test_every_interval_is_an_option() -> None:
    case = Case(Backend, session(), connection_seconds=7.0)
    assert case.run(20) == ["list"] * 3


def test_what_a_log_names_is_asked_for_at_once_but_not_in_a_storm() -> None:
    case = Case(Backend, session())
    case.run(10)
    for _ in range(100):
        case.poller.wake()
    assert case.run(0.5) == ["list"]
    case.poller.wake()
    assert case.run(0.4) == []
    assert case.run(SOONEST_SECONDS) == ["list"]


# -- recovery ---------------------------------------------------------------------------------------------------------


def test_the_sessions_that_are_down_are_asked_for_one_by_one_each_minute() -> None:
    case = Case(Backend, session("1"), session("2", DOWN), session("3", DOWN, enabled=False), recovery_seconds=7.0)
    case.run(1)
    case.backend.sessions["2"] = session("2")
    assert case.run(10) == ["show 2"]
    assert case.store.sessions["2"].state is CONNECTED
    assert case.run(10) == []


def test_recovery_checks_are_bounded_and_can_be_switched_off() -> None:
    down = [session(str(number), DOWN) for number in range(100)]
    shown = [call for call in Case(Backend, *down).run(60) if call.startswith("show")]
    assert len(shown) == RECOVERY_SESSIONS
    assert not any(call.startswith("show") for call in Case(Backend, *down, recovery_seconds=0.0).run(200))


def test_a_session_that_is_gone_meanwhile_is_no_failure() -> None:
    case = Case(Backend, session("2", DOWN), recovery_seconds=7.0)
    case.run(1)
    case.backend.sessions.clear()
    case.run(7)
    assert case.store.readable()
    assert ("recovery", False) not in case.reports


def test_an_error_about_one_session_does_not_make_the_backend_down_but_has_it_polled() -> None:
    case = Case(Backend, session("2", DOWN), recovery_seconds=7.0)
    case.run(1)
    case.backend.show_failure = BackendAnswerError("HTTP 500")
    assert case.run(8) == ["show 2", "list"]
    assert case.store.readable()


# -- deep -------------------------------------------------------------------------------------------------------------


def deep_case(*sessions: Session, **config: float) -> Case:
    case = Case(DeepBackend, *sessions, **config)
    assert isinstance(case.backend, DeepBackend)
    case.backend.answers = {}
    return case


def test_connected_sessions_are_deeply_checked_every_two_minutes() -> None:
    case = deep_case(session("1"), session("2", DOWN, enabled=False))
    case.backend.answers = {"1": False}  # type: ignore[attr-defined]
    assert [call for call in case.run(121) if call != "list"] == ["deep 1"]
    assert case.store.not_answering() == ["1"]


def test_one_that_did_not_answer_is_asked_again_by_the_recovery_check() -> None:
    case = deep_case(session("1"), recovery_seconds=130.0)
    case.backend.answers = {"1": False}  # type: ignore[attr-defined]
    case.run(121)
    case.backend.answers = {}  # type: ignore[attr-defined]
    assert [call for call in case.run(10) if call != "list"] == ["deep 1"]
    assert case.store.not_answering() == []


def test_no_verdict_is_no_failure() -> None:
    case = deep_case(session("1"), session("2"))
    case.backend.answers = {"1": None}  # type: ignore[attr-defined]
    assert [call for call in case.run(121) if call != "list"] == ["deep 1", "deep 2"]
    assert case.store.not_answering() == []


def test_the_bulk_call_is_on_time_however_long_the_deep_checks_take() -> None:
    case = deep_case(*(session(str(number)) for number in range(100)), deep_seconds=20.0)
    case.backend.seconds = 1.0
    calls = case.run(95)
    assert calls.count("list") == 4
    assert len({call for call in calls if call.startswith("deep")}) > 80


def test_a_backend_without_deep_check_is_not_asked() -> None:
    assert set(Case(Backend, session()).run(1000)) == {"list"}


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [BackendUnavailable("It is away.", "Start it."), RuntimeError("a bug")])
def test_a_failing_backend_is_down_told_once_asked_on_and_up_again(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    case = Case(Backend, session())
    case.run(1)
    case.backend.failure = failure
    case.run(100)
    assert not case.store.readable()
    assert case.store.problem
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    assert case.run(29) == ["list"] * 3
    case.backend.failure = None
    case.run(10)
    assert case.store.readable()
    assert caplog.records[-1].getMessage() == "Backend b can be read again."
    assert {("connection", False), ("connection", True)} == set(case.reports)


def test_another_problem_is_told_as_well(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Backend, session())
    for problem in ("It is away.", "It is away.", "It answered HTML."):
        case.backend.failure = BackendUnavailable(problem)
        case.run(10)
    assert [record.getMessage() for record in caplog.records] == [
        "Backend b cannot be read: It is away.",
        "Backend b cannot be read: It answered HTML.",
    ]


def test_while_it_is_down_nothing_else_is_asked() -> None:
    case = deep_case(session("1"), session("2", DOWN), recovery_seconds=5.0, deep_seconds=5.0)
    case.run(1)
    case.backend.failure = SessionMedicError("away")
    case.run(30)
    assert set(case.run(100)) == {"list"}


def test_the_thread_ends_when_told_and_gives_up_its_connections() -> None:
    case = Case(Backend, session())
    stop = threading.Event()
    polled: Callable[..., Any] = case.backend.list_sessions
    seen = threading.Event()

    def seen_polled() -> list[Session]:
        seen.set()
        sessions: list[Session] = polled()
        return sessions

    case.backend.list_sessions = seen_polled  # type: ignore[method-assign]
    thread = threading.Thread(target=case.poller.run, args=(stop,))
    thread.start()
    assert seen.wait(10)
    stop.set()
    case.poller.wake()
    thread.join(10)
    assert not thread.is_alive()
    assert case.backend.calls[-1] == "close"
