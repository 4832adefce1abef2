"""Closing and opening a socket is believed only when the states that follow say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._connection import close, open_once, require_down
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import (
    BackendAnswerError,
    BackendUnavailable,
    StoreError,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.examination import Clock
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.models import (
    ConnectionState,
    Session,
)

UP, DOWN = ConnectionState.CONNECTED, ConnectionState.DISCONNECTED
CONNECTING, QR, UNKNOWN = ConnectionState.CONNECTING, ConnectionState.QR_REQUIRED, ConnectionState.UNKNOWN
CONFIRM, TIMEOUT = 2.5, 30.0


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.clock = Clock(lambda: self.seconds, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Scripted:
    """A backend whose state is a function of the time since the last call that changed something."""

    def __init__(self, time: Time, states: list[tuple[float, ConnectionState | Exception]]) -> None:
        self.time = time
        self.states = {"": states}
        self.now = ""
        self.since = time.seconds
        self.calls: list[str] = []

    def after(self, call: str, states: list[tuple[float, ConnectionState | Exception]]) -> Scripted:
        self.states[call] = states
        return self

    def get_session(self, session: str) -> Session:
        passed = self.time.seconds - self.since
        state = [state for begin, state in self.states[self.now] if passed >= begin][-1]
        if isinstance(state, Exception):
            raise state
        return Session("sandbox", session, state, raw_state=state.value.upper())

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self.states:
            self.now, self.since = call, self.time.seconds

    def disconnect(self, session: str) -> None:
        self._called("disconnect")

    def start(self, session: str) -> None:
        self._called("start")

    def list_sessions(self) -> list[Session]:
        return [self.get_session("26")]

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def time() -> Iterator[Time]:
    yield Time()


def test_an_open_socket_is_closed_and_watched(time: Time) -> None:
    backend = Scripted(time, [(0, UP)]).after("disconnect", [(0, UP), (1, DOWN)])
    changed, found = close(backend, "26", CONFIRM, TIMEOUT, time.clock)
    assert (changed, found.state, backend.calls) == (True, DOWN, ["disconnect"])
    assert time.seconds - backend.since >= 1 + CONFIRM


def test_a_closed_socket_is_not_closed_again(time: Time) -> None:
    backend = Scripted(time, [(0, DOWN)])
    assert close(backend, "26", CONFIRM, TIMEOUT, time.clock)[0] is False
    assert backend.calls == []


def test_a_reconnect_loop_that_passes_through_disconnected_is_closed(time: Time) -> None:
    backend = Scripted(time, [(0, DOWN), (2, CONNECTING)]).after("disconnect", [(0, DOWN)])
    assert close(backend, "26", CONFIRM, TIMEOUT, time.clock)[0] is True
    assert backend.calls == ["disconnect"]


@pytest.mark.parametrize("state", [UP, CONNECTING, QR, UNKNOWN])
def test_a_backend_that_says_ok_and_does_nothing_is_not_believed(time: Time, state: ConnectionState) -> None:
    backend = Scripted(time, [(0, state)]).after("disconnect", [(0, state)])
    with pytest.raises(BackendAnswerError, match="26 of sandbox was told to disconnect but is .* after 30 s"):
        close(backend, "26", CONFIRM, TIMEOUT, time.clock)


def test_a_socket_that_comes_back_by_itself_is_not_closed(time: Time) -> None:
    flaps: list[tuple[float, ConnectionState | Exception]] = [
        (float(second), DOWN if second % 2 else CONNECTING) for second in range(100)
    ]
    backend = Scripted(time, [(0, UP)]).after("disconnect", flaps)
    with pytest.raises(BackendAnswerError, match="Nothing was removed"):
        close(backend, "26", CONFIRM, TIMEOUT, time.clock)
    assert backend.calls == ["disconnect"]


def test_a_session_is_started_once_and_waited_for(time: Time) -> None:
    backend = Scripted(time, [(0, DOWN)]).after(
        "start", [(0, DOWN), (1, CONNECTING), (3, BackendUnavailable("busy")), (5, UP)]
    )
    started, found = open_once(backend, "26", TIMEOUT, time.clock)
    assert (started, found.state, backend.calls) == (True, UP, ["start"])


@pytest.mark.parametrize("state", [UP, CONNECTING])
def test_a_session_with_a_socket_is_not_started(time: Time, state: ConnectionState) -> None:
    backend = Scripted(time, [(0, state), (4, UP)])
    started, found = open_once(backend, "26", TIMEOUT, time.clock)
    assert (started, found.state, backend.calls) == (False, UP, [])


def test_a_session_that_asks_for_a_qr_code_is_not_waited_for(time: Time) -> None:
    backend = Scripted(time, [(0, DOWN)]).after("start", [(0, CONNECTING), (2, QR)])
    assert open_once(backend, "26", TIMEOUT, time.clock)[1].state is QR
    assert time.seconds - backend.since < 3


def test_a_session_that_does_not_come_up_is_started_only_once(time: Time) -> None:
    backend = Scripted(time, [(0, DOWN)]).after("start", [(0, DOWN)])
    started, found = open_once(backend, "26", TIMEOUT, time.clock)
    assert (started, found.state, backend.calls) == (True, DOWN, ["start"])
    assert time.seconds - backend.since >= TIMEOUT


def test_a_ban_of_before_is_not_taken_for_the_answer_to_the_start(time: Time) -> None:
    banned = ConnectionState.BANNED
    backend = Scripted(time, [(0, banned)]).after("start", [(0, banned), (2, UP)])
    assert open_once(backend, "26", TIMEOUT, time.clock)[1].state is UP
    backend = Scripted(time, [(0, banned)]).after("start", [(0, banned)])
    assert open_once(backend, "26", TIMEOUT, time.clock)[1].state is banned
    assert time.seconds - backend.since < TIMEOUT


@pytest.mark.parametrize("state", [UP, CONNECTING, QR, UNKNOWN])
def test_nothing_is_written_while_a_socket_may_be_alive(time: Time, state: ConnectionState) -> None:
    with pytest.raises(StoreError, match="not disconnected"):
        require_down(Scripted(time, [(0, state)]), "26")
    require_down(Scripted(time, [(0, DOWN)]), "26")
