"""The window counts what a rule may act on: recent, after the last verified repair, of messages sent after it."""

from __future__ import annotations

import json

import pytest

from session_exporter.window import MAX_ERRORS, ErrorWindow

NOW = 1_800_000_000.0


def window_of(*errors: tuple[float, float | None], verified: float = 0.0) -> ErrorWindow:
    window = ErrorWindow(300.0)
    window.verified(verified)
    for at, sent_at in errors:
        window.add(at, sent_at)
    return window


@pytest.mark.parametrize(("age", "counted"), [(0.0, 1), (299.9, 1), (300.0, 0), (301.0, 0)])
def test_an_error_counts_for_as_long_as_the_window(age: float, counted: int) -> None:
    assert window_of((NOW - age, None)).count(NOW) == counted


def test_errors_leave_one_by_one_in_whatever_order_they_came() -> None:
    window = window_of((NOW - 100, None), (NOW - 250, None), (NOW, None))
    assert [window.count(NOW + later) for later in (0, 51, 201, 301)] == [3, 2, 1, 0]


def test_errors_from_before_a_verified_repair_do_not_count() -> None:
    window = window_of((NOW - 20, None), (NOW - 5, None))
    assert window.verified(NOW - 10)
    assert window.count(NOW) == 1
    window.add(NOW - 11)
    window.add(NOW - 9)
    assert window.count(NOW) == 2


@pytest.mark.parametrize("mark_first", [True, False])
def test_an_old_message_that_fails_again_after_the_repair_does_not_count(mark_first: bool) -> None:
    errors = ((NOW - 5, NOW - 60), (NOW - 5, NOW - 6))
    window = window_of(*errors, verified=NOW - 10 if mark_first else 0.0)
    window.verified(NOW - 10)
    assert window.count(NOW) == 1


def test_a_message_of_the_second_of_the_repair_counts_because_stamps_are_whole_seconds() -> None:
    assert window_of((NOW - 5, NOW - 10), verified=NOW - 9.2).count(NOW) == 1
    assert window_of((NOW - 5, NOW - 11), verified=NOW - 9.2).count(NOW) == 0


def test_an_older_mark_changes_nothing() -> None:
    window = window_of(verified=NOW - 10)
    assert not window.verified(NOW - 100)
    window.add(NOW - 50)
    assert window.count(NOW) == 0


def test_a_storm_needs_no_more_memory_than_its_last_thousand_errors() -> None:
    window = window_of(*((NOW, None) for _ in range(5 * MAX_ERRORS)))
    assert window.count(NOW) == MAX_ERRORS
    assert len(window.to_json()) == MAX_ERRORS


def test_it_survives_a_restart() -> None:
    window = window_of((NOW - 200, None), (NOW - 5, NOW - 6))
    restored = ErrorWindow(300.0)
    restored.restore(json.loads(json.dumps(window.to_json())))
    assert [restored.count(NOW), restored.count(NOW + 150)] == [2, 1]
    restored.verified(NOW - 5.5)
    assert restored.count(NOW) == 1
