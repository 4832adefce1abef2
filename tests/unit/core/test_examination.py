"""Examining and verifying with real log files, a scripted backend and a clock that the test moves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from sessionmedic.config import BackendConfig, LogSource
from sessionmedic.errors import BackendUnavailable, UnknownSession
from sessionmedic.examination import Clock, examine, verify
from sessionmedic.health import Limits
from sessionmedic.models import ConnectionState, HealthState, Session

NOW = 1_795_222_400.0
State = ConnectionState


class Backend:
    """Shows states in turn; the last one stays."""

    def __init__(self, *states: "State | Exception") -> None:
        self._states: Iterator[State | Exception] = iter(states)
        self._state: State | Exception = State.UNKNOWN

    def get_session(self, session: str) -> Session:
        self._state = next(self._states, self._state)
        if isinstance(self._state, Exception):
            raise self._state
        return Session("loja", session, self._state, raw_state=self._state.value.upper())

    def list_sessions(self) -> "list[Session]":
        raise AssertionError("one session is asked for by its id")

    def disconnect(self, session: str) -> None:
        raise AssertionError("looking changes nothing")

    start = disconnect

    def close(self) -> None:
        pass


class World:
    """A log file and a clock; ``happen`` is called at every sleep."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "backend.log"
        self.log.touch()
        self.config = BackendConfig("loja", log_sources=(LogSource(str(self.log), "stdout"),))
        self.time = NOW
        self.happen: Callable[[], None] = lambda: None
        self.clock = Clock(lambda: self.time, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds
        self.happen()

    def _write(self, **fields: object) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps({"level": 50, "time": self.time * 1000, **fields}) + "\n")

    def fail(self, message: str, session: int = 26, error: str = "Invalid PreKey ID", sent: float = 0.0) -> None:
        self._write(
            whatsappId=session,
            messageId=message,
            remoteJid="15550001111@s.whatsapp.net",
            messageTimestamp=int(sent or self.time),
            error=error,
            msg="failed to decrypt message",
        )

    def connection(self, word: str, code: "int | None" = None) -> None:
        self._write(whatsappId=26, statusCode=code, msg=f"Socket loja-26 Connection Update {word}")

    def receive(self, number: int, session: int = 26) -> None:
        self._write(whatsappId=session, received=number, msg="messages received")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_five_errors_in_the_window_are_corrupted(world: World) -> None:
    for number in range(5):
        world.fail(f"3EB0{number}")
    for number in range(4):
        world.fail(f"3EC0{number}", session=27)
    found = examine(Backend(State.CONNECTED), world.config, "26", clock=world.clock)
    assert found.health.state is HealthState.CORRUPTED
    assert found.evidence.errors == {"invalid_prekey": 5}
    assert found.evidence.peers == {"15550001111.0": 5}
    assert examine(Backend(State.CONNECTED), world.config, "27", clock=world.clock).health.state is HealthState.DEGRADED


def test_old_errors_and_those_before_a_verified_repair_do_not_count(world: World) -> None:
    world.time = NOW - 301
    for number in range(5):
        world.fail(f"3EB0{number}")
    world.time = NOW - 100
    for number in range(5):
        world.fail(f"3EC0{number}")
    world.time = NOW
    backend = Backend(State.CONNECTED)
    assert examine(backend, world.config, "26", clock=world.clock).evidence.total == 5
    assert examine(backend, world.config, "26", verified_at=NOW - 50, clock=world.clock).health.healthy


def test_an_old_message_redelivered_after_a_repair_does_not_count(world: World) -> None:
    for number in range(5):
        world.fail(f"3EB0{number}", sent=NOW - 60)
    assert examine(Backend(State.CONNECTED), world.config, "26", verified_at=NOW - 50, clock=world.clock).health.healthy


def test_a_transitory_state_is_watched_before_it_is_called_stuck(world: World) -> None:
    assert examine(Backend(State.CONNECTING), world.config, "26", clock=world.clock).health.state is HealthState.STUCK
    assert 30 <= world.time - NOW <= 33
    recovering = Backend(*[State.CONNECTING] * 10, State.CONNECTED)
    assert examine(recovering, world.config, "26", clock=world.clock).health.healthy
    limits = Limits(stuck_seconds=2)
    before = world.time
    assert examine(
        Backend(State.CONNECTING), world.config, "26", limits=limits, clock=world.clock
    ).health.should_cleanup
    assert world.time - before < 5


def test_a_session_that_does_not_exist(world: World) -> None:
    found = examine(Backend(UnknownSession("no")), world.config, "99", clock=world.clock)
    assert (found.health.state, found.session) == (HealthState.NOT_FOUND, None)


def test_a_disconnected_session_that_was_logged_out_is_terminal(world: World) -> None:
    backend = Backend(State.DISCONNECTED)
    world.connection("close", 401)
    found = examine(backend, world.config, "26", clock=world.clock)
    assert (found.state, found.health.state) == (State.LOGGED_OUT, HealthState.DISCONNECTED)
    world.connection("connecting")
    assert examine(backend, world.config, "26", clock=world.clock).state is State.LOGGED_OUT
    world.connection("open")
    world.connection("close", 408)
    assert examine(backend, world.config, "26", clock=world.clock).state is State.DISCONNECTED


def test_a_logout_while_verifying_ends_the_wait(world: World) -> None:
    world.happen = lambda: world.connection("close", 401)
    backend = Backend(State.CONNECTING, State.CONNECTING, State.DISCONNECTED)
    result = verify(backend, world.config, "26", NOW, 5, 60, world.clock)
    assert not result.ok and result.seconds <= 3


def test_without_readable_logs_nothing_is_called_healthy(world: World) -> None:
    world.log.unlink()
    assert examine(Backend(State.CONNECTED), world.config, "26", clock=world.clock).health.state is HealthState.UNKNOWN
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 30, world.clock)
    assert not result.ok and "logs cannot all be read" in result.reason


def test_without_log_sources_connected_proves_nothing(world: World) -> None:
    config = BackendConfig("loja")
    assert examine(Backend(State.CONNECTED), config, "26", clock=world.clock).health.state is HealthState.UNKNOWN
    assert not verify(Backend(State.CONNECTED), config, "26", NOW, 5, 30, world.clock).ok


def test_one_of_two_logs_that_is_missing_spoils_the_verdict(world: World, tmp_path: Path) -> None:
    sources = (LogSource(str(tmp_path / "missing.log"), "stdout"), LogSource(str(world.log), "stderr"))
    config = BackendConfig("loja", log_sources=sources)
    assert not verify(Backend(State.CONNECTED), config, "26", NOW, 5, 30, world.clock).ok


@pytest.mark.parametrize(("peers", "ok"), [(["15550001111.0"], False), (["15550009999.0"], True)])
def test_failures_of_the_peers_that_failed_count_without_a_session(world: World, peers: "list[str]", ok: bool) -> None:
    stack = "at async 15550001111.0 [as awaitable]"

    def fail_unnamed() -> None:
        world.receive(1)
        world._write(key={"id": f"3EB0{world.time}"}, err={"message": "Bad MAC", "stack": stack}, msg="x")

    world.happen = fail_unnamed
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 30, world.clock, peers=peers)
    assert result.ok is ok


def test_verified_when_messages_decrypt_for_the_settling_time(world: World) -> None:
    world.receive(20)
    world.happen = lambda: world.receive(2)
    result = verify(
        Backend(State.CONNECTING, State.CONNECTING, State.CONNECTED), world.config, "26", NOW, 5, 60, world.clock
    )
    assert (result.ok, result.proven) == (True, True)
    assert 7 <= result.seconds <= 9
    assert result.evidence.decrypted and result.evidence.decrypted >= 10


def test_not_verified_while_messages_fail(world: World) -> None:
    numbers = iter(range(1000))

    def both() -> None:
        world.fail(f"3EB0{next(numbers):04}")
        world.receive(2)

    world.happen = both
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 30, world.clock)
    assert not result.ok and "new errors" in result.reason
    assert result.seconds >= 30


def test_errors_at_first_are_forgiven_when_calm_follows(world: World) -> None:
    numbers = iter(range(1000))

    def rekeying() -> None:
        world.receive(1)
        if next(numbers) < 4:
            world.fail(f"3EB0{world.time}")

    world.happen = rekeying
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 60, world.clock)
    assert result.ok and result.proven and result.seconds >= 8


def test_messages_sent_before_the_remedy_do_not_spoil_it(world: World) -> None:
    def backlog() -> None:
        world.fail(f"3EB0{world.time}", sent=NOW - 30)
        world.receive(1)

    world.happen = backlog
    assert verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 60, world.clock).ok


def test_a_quiet_session_is_verified_at_the_end_but_not_proven(world: World) -> None:
    world.time = NOW - 3600
    world.receive(20)
    world.time = NOW
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 20, world.clock)
    assert (result.ok, result.proven) == (True, False)
    assert result.seconds >= 20


def test_where_nothing_counts_messages_calm_is_enough(world: World) -> None:
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 60, world.clock)
    assert (result.ok, result.proven) == (True, False)
    assert result.seconds < 8


@pytest.mark.parametrize("state", [State.LOGGED_OUT, State.BANNED, State.CONFLICT, State.QR_REQUIRED])
def test_a_state_that_needs_a_person_ends_the_wait(world: World, state: State) -> None:
    result = verify(Backend(State.CONNECTING, state), world.config, "26", NOW, 5, 60, world.clock)
    assert not result.ok and state.value in result.reason
    assert result.terminal is (state is not State.QR_REQUIRED)
    assert result.seconds <= 2


def test_flapping_is_not_settled(world: World) -> None:
    backend = Backend(*[State.CONNECTED, State.CONNECTED, State.RECONNECTING] * 40)
    result = verify(backend, world.config, "26", NOW, 5, 30, world.clock)
    assert not result.ok


def test_a_backend_that_restarts_meanwhile_is_waited_for(world: World) -> None:
    backend = Backend(BackendUnavailable("down"), BackendUnavailable("down"), State.CONNECTED)
    assert verify(backend, world.config, "26", NOW, 5, 60, world.clock).ok
    result = verify(Backend(BackendUnavailable("down")), world.config, "26", NOW, 5, 10, world.clock)
    assert not result.ok and "down" in result.reason


def test_rotation_and_truncation_while_watching(world: World) -> None:
    world.receive(1)
    steps = iter(range(100))

    def rotate() -> None:
        step = next(steps)
        if step == 1:
            world.log.rename(world.log.with_suffix(".1"))
            world.log.touch()
        if step == 3:
            world.log.write_text("")
        world.receive(2)

    world.happen = rotate
    result = verify(Backend(State.CONNECTED), world.config, "26", NOW, 5, 60, world.clock)
    assert result.ok and result.proven
