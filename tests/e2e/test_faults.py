"""Every fault is caused for real, and mended by the remedy that fits it: messages decrypt again."""

from __future__ import annotations

import json

import pytest

from tests.e2e.ward import Run, Ward

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
    ("fault", "session", "too_mild"),
    [("rolled_back_records", 35, "restart"), ("reset_creds", 36, "regenerate")],
)
def test_a_milder_remedy_is_seen_to_fail(fault: str, session: int, too_mild: str, ward: Ward) -> None:
    ward.break_session(session, fault)
    run = ward.fix("-e", f"id={session}", "-e", f"strategy={too_mild}")
    assert run.code != 0
    assert run.row(session)["outcome"] == "gave_up"
    assert not ward.decrypts(session)


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


def test_truncated_creds_are_never_started_but_restored(ward: Ward) -> None:
    ward.sandbox.break_session(40, "creds_truncated")
    ward.sandbox.ask("touched/reset", {})
    refused = ward.fix("-e", "id=40", "-e", "strategy=restart")
    assert refused.code != 0
    assert "The credentials are" in refused.text and "allow_qr=true" in refused.text, refused.text[-3000:]
    assert ward.sandbox.ask("sessions/40")["touched"]["api_calls"] == 0
    run = ward.fix("-e", "id=40")
    row = run.row(40)
    assert (row["outcome"], row["remedy"]) == ("recovered", "restore"), run.text[-4000:]
    assert ward.decrypts(40)


def test_lost_creds_are_restored_from_the_table_without_a_qr_code(ward: Ward) -> None:
    ward.sandbox.break_session(41, "creds_lost")
    run = ward.fix("-e", "id=41", "-e", "strategy=restore")
    assert run.row(41)["outcome"] == "recovered", run.text[-4000:]
    assert ward.decrypts(41)
