"""A backend shows the same "disconnected" for a logout as for a lost network: the log tells which."""

from __future__ import annotations

import json

import pytest

from sessionmedic.logs.reader import ConnectionChanged
from sessionmedic.models import ConnectionState
from tests.unit.exporter.exporter_cases import NOW, Clock, session, store

DISCONNECTED = session(state=ConnectionState.DISCONNECTED)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (401, ConnectionState.LOGGED_OUT),
        (403, ConnectionState.BANNED),
        (440, ConnectionState.CONFLICT),
        (408, ConnectionState.DISCONNECTED),
    ],
)
def test_the_reason_of_the_close_becomes_the_state(code: int, state: ConnectionState) -> None:
    made = store(Clock(), session())
    made.count([ConnectionChanged("26", "close", code, NOW)])
    made.poll_succeeded([DISCONNECTED])
    assert made.sessions["26"].state is state


def test_a_later_connection_ends_it() -> None:
    made = store(Clock(), session())
    made.count([ConnectionChanged("26", "close", 401, NOW), ConnectionChanged("26", "connecting", None, NOW)])
    made.poll_succeeded([DISCONNECTED])
    assert made.sessions["26"].state is ConnectionState.LOGGED_OUT
    made.count([ConnectionChanged("26", "open", None, NOW)])
    made.poll_succeeded([DISCONNECTED])
    assert made.sessions["26"].state is ConnectionState.DISCONNECTED


def test_the_change_is_logged_with_its_session(caplog: pytest.LogCaptureFixture) -> None:
    made = store(Clock(), session())
    made.count([ConnectionChanged("26", "close", 401, NOW)])
    with caplog.at_level("INFO"):
        made.poll_succeeded([DISCONNECTED])
    (record,) = [one for one in caplog.records if getattr(one, "category", "") == "SESSION"]
    assert record.getMessage().endswith("connected -> logged_out")
    assert record.session == "26"  # type: ignore[attr-defined] # an extra of the record


def test_what_the_log_missed_is_corrected_by_the_backend() -> None:
    made = store(Clock(), session())
    made.count([ConnectionChanged("26", "close", 401, NOW)])
    made.poll_succeeded([session()])
    made.poll_succeeded([DISCONNECTED])
    assert made.sessions["26"].state is ConnectionState.DISCONNECTED


def test_it_is_known_after_a_restart() -> None:
    made = store(Clock(), session())
    made.count([ConnectionChanged("26", "close", 403, NOW)])
    again = store(Clock())
    again.restore(json.loads(json.dumps(made.to_json())))
    again.poll_succeeded([DISCONNECTED])
    assert again.sessions["26"].state is ConnectionState.BANNED
