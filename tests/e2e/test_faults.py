"""Every fault is caused for real, and mended by the remedy that fits it: messages decrypt again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.stack import wait_until
from tests.e2e.ward import Run, Ward

SESSIONS = (2, 26, 27, 30, 31, 32, 33, 34, 37, 38, 39, 40, 41)

# fault -> (session, remedy that mends it)
MENDED = {
    "stale_memory": (30, "restart"),
    "rolled_back_records": (31, "regenerate"),
    "scribbled_records": (32, "regenerate"),
    "dropped_prekeys": (33, "restart"),
    "reset_creds": (34, "restore"),
}


@pytest.fixture(scope="module")
def ladder(ward: Ward) -> Run:
    """All faults at once, and one run that climbs the ladder for each session by itself."""
    ward.sandbox.ask("touched/reset", {})
    for fault, (session, _) in MENDED.items():
        ward.break_session(session, fault)
    return ward.fix("-e", json.dumps({"id": [session for session, _ in MENDED.values()]}))


@pytest.mark.parametrize("fault", MENDED)
def test_auto_climbs_to_the_remedy_that_mends(fault: str, ladder: Run, ward: Ward) -> None:
    session, remedy = MENDED[fault]
    row = ladder.row(session)
    assert (row["outcome"], row["remedy"]) == ("recovered", remedy), ladder.text[-5000:]
    assert ward.decrypts(session)


def test_the_run_that_repaired_all_ends_well(ladder: Run) -> None:
    assert ladder.code == 0


@pytest.mark.parametrize("session", [2, 26, 27])
def test_the_others_were_not_touched(ladder: Run, ward: Ward, session: int) -> None:
    assert ward.touched(session) == 0


@pytest.mark.parametrize(
    ("fault", "too_mild"),
    [("rolled_back_records", "restart"), ("scribbled_records", "restart"), ("reset_creds", "regenerate")],
)
def test_a_milder_remedy_is_seen_to_fail(fault: str, too_mild: str, ladder: Run) -> None:
    assert f"{too_mild}: did not help" in ladder.said(MENDED[fault][0])


def test_a_session_that_hangs_is_restarted(ward: Ward) -> None:
    ward.sandbox.break_session(37, "stuck", until="restart")
    run = ward.fix("-e", "id=37")
    row = run.row(37)
    assert (row["outcome"], row["remedy"]) == ("recovered", "restart"), run.text[-4000:]
    assert ward.decrypts(37)


@pytest.mark.parametrize(("fault", "session"), [("logged_out", 38), ("banned", 39)])
def test_a_session_that_needs_a_person_is_never_reconnected(fault: str, session: int, ward: Ward) -> None:
    ward.sandbox.break_session(session, fault)
    ward.sandbox.ask("touched/reset", {})
    run = ward.fix("-e", f"id={session}")
    counts = ward.sandbox.ask(f"sessions/{session}")["touched"]
    assert (counts["api_calls"], counts["socket_restarts"]) == (0, 0), run.text[-4000:]


def test_a_logout_in_the_middle_of_a_repair_ends_it(ward: Ward) -> None:
    ward.break_session(40, "rolled_back_records")
    ward.sandbox.ask("touched/reset", {})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ward.fix, "-e", "id=40")
        assert wait_until(lambda: ward.sandbox.ask("sessions/40")["touched"]["socket_restarts"] >= 1, 60)
        ward.sandbox.break_session(40, "logged_out")
        run = running.result()
    counts = ward.sandbox.ask("sessions/40")["touched"]
    assert run.row(40)["outcome"] == "gave_up", run.text[-4000:]
    assert "logged_out" in run.row(40)["reason"]
    # One disconnect and one start: of the restart that was under way.
    assert counts["api_calls"] == 2


def test_lost_creds_are_restored_from_the_table_without_a_qr_code(ward: Ward) -> None:
    ward.sandbox.break_session(41, "creds_lost")
    run = ward.fix("-e", "id=41", "-e", "strategy=restore")
    assert run.row(41)["outcome"] == "recovered", run.text[-4000:]
    assert ward.decrypts(41)
