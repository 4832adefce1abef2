"""What logs and polls say of the sessions of a backend, and what is shown of it."""

from __future__ import annotations

import json
import logging

import pytest

from session_exporter.series import KIND_INDEX
from session_exporter.store import CHUNK_SESSIONS, MAX_UNLISTED, Aspect, BackendStore
from sessionmedic.health import Limits
from sessionmedic.logs.reader import MessagesReceived
from sessionmedic.models import ConnectionState, HealthState, StateGroup
from tests.unit.exporter.exporter_cases import NOW, Clock, error, session, store


@pytest.fixture
def clock() -> Clock:
    return Clock()


def health(made: BackendStore, id: str = "26") -> HealthState | None:
    with made.lock:
        made.refresh()
    return made.sessions[id].health


# -- health and window ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "expected"), [(0, HealthState.HEALTHY), (4, HealthState.DEGRADED), (5, HealthState.CORRUPTED)]
)
def test_five_recent_errors_are_corruption_and_four_are_not(clock: Clock, errors: int, expected: HealthState) -> None:
    made = store(clock, session())
    made.count([error() for _ in range(errors)])
    assert health(made) is expected
    assert made.sessions["26"].recent == errors
    assert made.sessions["26"].errors[KIND_INDEX["bad_mac"]] == errors


def test_health_returns_when_the_window_has_passed(clock: Clock) -> None:
    made = store(clock, session())
    made.count([error() for _ in range(5)])
    assert health(made) is HealthState.CORRUPTED
    clock.now += 301
    assert health(made) is HealthState.HEALTHY
    assert made.sessions["26"].errors[KIND_INDEX["bad_mac"]] == 5


def test_a_verified_repair_empties_the_window_and_leaves_the_counter(clock: Clock) -> None:
    made = store(clock, session())
    made.count([error() for _ in range(5)])
    made.verified({"26": NOW + 1, "99": NOW + 1})
    assert health(made) is HealthState.HEALTHY
    assert sum(made.sessions["26"].errors) == 5


def test_a_session_that_connects_for_too_long_is_stuck_without_another_poll(clock: Clock) -> None:
    made = store(clock, session(state=ConnectionState.CONNECTING))
    assert health(made) is HealthState.DEGRADED
    clock.now += 30.5
    assert health(made) is HealthState.STUCK


def test_a_session_that_does_not_answer_is_degraded_until_it_does(clock: Clock) -> None:
    made = store(clock, session())
    made.answered("26", False)
    assert health(made) is HealthState.DEGRADED
    assert made.not_answering() == ["26"]
    made.answered("26", True)
    assert health(made) is HealthState.HEALTHY


def test_an_answer_is_forgotten_when_the_session_disconnects(clock: Clock) -> None:
    made = store(clock, session())
    made.answered("26", False)
    made.poll_succeeded([session(state=ConnectionState.CONNECTING)])
    made.poll_succeeded([session()])
    assert health(made) is HealthState.HEALTHY


def test_changes_of_health_are_logged_with_reason_and_session_but_not_ten_thousand_healthy_ones(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = store(clock, session(), session("2"))
    health(made)
    assert caplog.records == []
    made.count([error() for _ in range(5)])
    health(made)
    (record,) = caplog.records
    assert record.getMessage() == "b: healthy -> corrupted (5 crypto errors in 300 s)"
    assert (record.category, record.session) == ("HEALTH", "26")  # type: ignore[attr-defined]


# -- who is there -----------------------------------------------------------------------------------------------------


def test_an_error_of_a_session_that_is_not_listed_yet_counts_and_asks_for_a_poll(clock: Clock) -> None:
    made = store(clock, session("2"))
    assert made.count([error("26")])
    assert not made.count([error("26")])
    assert health(made) is HealthState.NOT_FOUND
    assert made.sessions["26"].recent == 2
    made.poll_succeeded([session("2"), session("26")])
    assert health(made) is HealthState.DEGRADED


def test_an_error_of_no_session_is_unattributed(clock: Clock) -> None:
    made = store(clock, session())
    made.count([error(None, "invalid_prekey"), error(method="message_id")])
    assert made.unattributed == {"invalid_prekey": 1}
    assert made.attributions == {"none": 1, "message_id": 1}
    assert list(made.sessions) == ["26"]


def test_a_session_that_is_gone_is_not_found_and_forgotten_after_the_grace(clock: Clock) -> None:
    made = store(clock, session("2"), session("26"), forget_seconds=600.0)
    clock.now += 30
    made.poll_succeeded([session("2")])
    assert health(made) is HealthState.NOT_FOUND
    clock.now += 600
    made.poll_succeeded([session("2")])
    assert "26" in made.sessions
    clock.now += 1
    made.poll_succeeded([session("2")])
    assert list(made.sessions) == ["2"]
    assert [series.id for chunk in made.chunks for series in chunk.sessions] == ["2"]


def test_a_session_that_comes_back_within_the_grace_keeps_its_counters(clock: Clock) -> None:
    made = store(clock, session())
    made.count([error()])
    made.poll_succeeded([])
    clock.now += 500
    made.poll_succeeded([session()])
    clock.now += 500
    made.poll_succeeded([session()])
    assert sum(made.sessions["26"].errors) == 1


def test_an_unlisted_session_stays_while_logs_name_it(clock: Clock) -> None:
    made = store(clock, session("2"), forget_seconds=600.0)
    made.count([error("26")])
    clock.now += 500
    made.count([error("26")])
    clock.now += 500
    made.poll_succeeded([session("2")])
    assert "26" in made.sessions


def test_a_log_full_of_invented_ids_does_not_fill_the_memory(clock: Clock) -> None:
    made = store(clock, session())
    made.count([error(f"s{number}") for number in range(MAX_UNLISTED + 50)])
    assert len(made.sessions) == MAX_UNLISTED + 1
    assert made.unattributed == {"bad_mac": 50}
    made.count([error("26")])
    assert sum(made.sessions["26"].errors) == 1


def test_messages_are_counted_where_a_log_says_so(clock: Clock) -> None:
    made = store(clock, session(), session("2"))
    made.count([MessagesReceived("26", 3, NOW), MessagesReceived("26", 4, NOW)])
    assert (made.sessions["26"].messages, made.sessions["2"].messages) == (7, None)


# -- time in a group of states ----------------------------------------------------------------------------------------


def test_flapping_between_connecting_and_disconnected_is_one_spell(clock: Clock) -> None:
    made = store(clock, session(state=ConnectionState.CONNECTING))
    for state in (ConnectionState.DISCONNECTED, ConnectionState.RECONNECTING, ConnectionState.DISCONNECTED):
        clock.now += 10
        made.poll_succeeded([session(state=state)])
    spell = made.sessions["26"].spell
    assert spell is not None
    assert (spell.group, spell.since) == (StateGroup.TRANSITORY, NOW)


def test_a_spell_that_nobody_watched_begins_anew(clock: Clock) -> None:
    made = store(clock, session(state=ConnectionState.CONNECTING))
    made.poll_failed("away")
    clock.now += 3600
    made.poll_succeeded([session(state=ConnectionState.CONNECTING)])
    assert health(made) is HealthState.DEGRADED


def test_connected_since_outlives_an_outage_of_the_backend(clock: Clock) -> None:
    made = store(clock, session())
    clock.now += 3600
    made.poll_succeeded([session()])
    spell = made.sessions["26"].spell
    assert spell is not None and spell.since == NOW


def test_reconnects_are_counted_and_the_first_sight_is_none(clock: Clock) -> None:
    made = store(clock, session())
    assert made.sessions["26"].reconnects == 0
    for state in (ConnectionState.DISCONNECTED, ConnectionState.CONNECTED, ConnectionState.CONNECTED):
        clock.now += 30
        made.poll_succeeded([session(state=state)])
    assert made.sessions["26"].reconnects == 1
    assert made.urgent
    assert made.sessions["26"].connected_at == clock.now


def test_a_session_whose_state_was_unknown_has_not_reconnected(clock: Clock) -> None:
    made = store(clock, session(state=ConnectionState.UNKNOWN))
    made.poll_succeeded([session()])
    assert made.sessions["26"].reconnects == 0


def test_only_enabled_sessions_of_a_group_are_selected(clock: Clock) -> None:
    down = ConnectionState.DISCONNECTED
    made = store(clock, session("1"), session("2", down), session("3", down, enabled=False))
    assert [found.id for found in made.select({StateGroup.DOWN})] == ["2"]


# -- a backend that cannot be read ------------------------------------------------------------------------------------


def test_it_is_not_readable_before_the_first_poll_nor_after_a_failed_one(clock: Clock) -> None:
    made = store(clock)
    assert not made.readable()
    made.poll_succeeded([])
    assert made.readable()
    made.poll_failed("It is away.")
    assert not made.readable()
    assert made.problem == "It is away."


def test_a_check_that_hangs_makes_it_unreadable_while_it_still_runs(clock: Clock) -> None:
    made = store(clock, session(), timeout_seconds=10.0)
    made.check_begins()
    clock.now += 10
    assert made.readable()
    clock.now += 0.1
    assert not made.readable()
    assert made.result() == "It does not answer in time."
    made.check_ended()
    assert made.readable()


def test_a_backend_that_hangs_from_the_start_was_asked_once_the_time_is_over(clock: Clock) -> None:
    made = store(clock, timeout_seconds=10.0)
    made.check_begins()
    assert (made.was_asked(), made.result()) == (False, "Not asked yet.")
    clock.now += 11
    assert made.was_asked()
    assert not made.readable()


def test_the_last_result_is_told_with_its_age(clock: Clock) -> None:
    made = store(clock, session())
    clock.now += 12
    assert made.result() == "up (12 s ago)"
    made.poll_failed("It is away.")
    assert made.result() == "It is away. (0 s ago)"


def test_sessions_of_an_earlier_run_are_not_missing_before_the_first_poll(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = store(clock)
    made.restore(store(clock, session()).to_json())
    assert health(made) is None
    assert caplog.records == []


# -- what is rendered anew --------------------------------------------------------------------------------------------


def test_only_what_changed_is_marked(clock: Clock) -> None:
    made = store(clock, session("2"), session("26"))
    health(made)
    (chunk,) = made.chunks
    chunk.changed = Aspect.NONE
    clock.now += 30
    made.poll_succeeded([session("2"), session("26")])
    health(made)
    assert chunk.changed == Aspect.CONNECTED_AT
    made.count([error()])
    health(made)
    assert chunk.changed == Aspect.CONNECTED_AT | Aspect.ERRORS | Aspect.HEALTH


def test_losing_and_finding_the_backend_renders_all(clock: Clock) -> None:
    made = store(clock, *(session(str(number)) for number in range(CHUNK_SESSIONS + 1)))
    health(made, "0")
    for change in (lambda: made.poll_failed("away"), lambda: made.poll_succeeded([])):
        for chunk in made.chunks:
            chunk.changed = Aspect.NONE
        change()
        health(made, "0")
        assert {chunk.changed for chunk in made.chunks} == {Aspect.ALL}


# -- restart ----------------------------------------------------------------------------------------------------------


def test_counters_window_spell_and_reconnects_survive_a_restart(clock: Clock) -> None:
    made = store(clock, session(state=ConnectionState.DISCONNECTED), session("2"))
    made.poll_succeeded([session(), session("2", ConnectionState.CONNECTING)])
    made.count([error(), error("26", "no_session"), error(None), MessagesReceived("26", 3, NOW)])
    saved = json.loads(json.dumps(made.to_json()))
    again = BackendStore("b", Limits(), clock)
    again.restore(saved)
    assert again.to_json() == saved
    clock.now += 31
    again.poll_succeeded([session(), session("2", ConnectionState.CONNECTING)])
    assert health(again, "2") is HealthState.STUCK
    assert again.sessions["26"].recent == 2
    assert (again.sessions["26"].messages, again.sessions["26"].reconnects) == (3, 1)
    assert again.unattributed == {"bad_mac": 1}


def test_after_a_long_stop_the_time_of_a_transitory_session_begins_anew(clock: Clock) -> None:
    saved = store(clock, session(state=ConnectionState.CONNECTING)).to_json()
    again = BackendStore("b", Limits(), clock)
    again.restore(saved)
    clock.now += 600
    again.poll_succeeded([session(state=ConnectionState.CONNECTING)])
    assert health(again) is HealthState.DEGRADED


@pytest.mark.parametrize("damage", [{"sessions": None}, {"sessions": {"26": {}}}, {"unattributed": {"x": "y"}}, {}])
def test_data_of_another_shape_are_refused(clock: Clock, damage: dict[str, object]) -> None:
    data = {} if not damage else {**store(clock, session()).to_json(), **damage}
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        store(clock).restore(data)
