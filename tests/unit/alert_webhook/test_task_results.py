from __future__ import annotations

from typing import Any

import pytest

from sessionmedic.remediations import Remediation
from sessionmedic.task_results import (
    is_acquisition,
    is_ours,
    is_release,
    note,
    sessions_checked,
    step_message,
    step_name,
)

COLLECTION = "sessionmedic.whatsapp."


def _record() -> Remediation:
    return Remediation("shop", "26", "fix_session", "webhook:bearer", 1000.0)


def _release(**result: Any) -> dict[str, Any]:
    return {"lock": "7:x", "invocation": {"module_args": {"state": "released"}}, **result}


def test_only_tasks_of_the_collection_are_steps() -> None:
    assert is_ours("sessionmedic.whatsapp.session_purge")
    assert not is_ours("ansible.builtin.debug") and not is_ours("session_purge") and not is_ours("")


def test_a_step_is_called_like_its_task() -> None:
    assert step_name("Back up what closing changed", "x.y.session_backup") == "back up what closing changed"
    assert step_name("", "sessionmedic.whatsapp.session_backup") == "session_backup"
    assert step_name("a\nb", "x") == r"a\nb"


@pytest.mark.parametrize(
    ("kind", "result", "message"),
    [
        ("session_health", {"state": "corrupted", "reason": "5 errors in 300 s"}, "corrupted: 5 errors in 300 s"),
        ("session_health", {"verified": True, "reason": "12 messages decrypted"}, "verified: 12 messages decrypted"),
        ("session_health", {"verified": False, "reason": "1 error"}, "not verified: 1 error"),
        ("session_purge", {"removed": ["a", "b"], "left": 7}, "2 records removed, 7 left"),
        ("session_backup", {"backup": "/b/26/x"}, "/b/26/x"),
        ("credentials_restore", {"source": "table"}, "from table"),
        ("session_lock", {"outcome": "recovered"}, "recovered"),
        ("session_reconnect", {"state": "connected"}, "connected"),
        ("session_reconnect", {"msg": "It cannot.\nReally."}, r"It cannot.\nReally."),
        ("session_info", {}, ""),
        ("session_health", {"censored": "x", "reason": "secret", "msg": "secret"}, ""),
        (
            "session_info",
            {"msg": "One or more items failed", "results": [{"msg": "It is down."}, {}, {"censored": "x", "msg": "y"}]},
            "It is down.",
        ),
        ("session_info", {"msg": "x" * 500}, "x" * 297 + "..."),
    ],
)
def test_what_is_said_about_a_step(kind: str, result: dict[str, Any], message: str) -> None:
    assert step_message(COLLECTION + kind, result) == message


def test_the_release_of_the_lock_tells_outcome_and_remedy() -> None:
    record = _record()
    action = COLLECTION + "session_lock"
    assert note(record, action, "unlock", False, _release(outcome="recovered", remedy="restore"), True)
    assert (record.outcome, record.remedy) == ("recovered", "restore")
    taken = {"lock": "7:x", "outcome": "recovered", "invocation": {"module_args": {"state": "acquired"}}}
    assert is_acquisition(action, taken) and not is_release(action, taken)
    assert not note(_record(), action, "lock", False, taken, False)
    record = _record()
    note(record, action, "unlock", False, _release(outcome="invented"), True)
    assert record.outcome == ""


def test_the_newest_backup_is_kept() -> None:
    record = _record()
    for backup in ("/b/1", "", "/b/2", ""):
        note(record, COLLECTION + "session_backup", "back up", False, {"backup": backup}, True)
    assert record.backup == "/b/2"


@pytest.mark.parametrize(
    ("error", "locked", "refused"),
    [
        ("LockHeld", False, "locked"),
        ("Paused", False, "paused"),
        ("UnknownSession", False, "unknown_session"),
        ("AmbiguousSession", False, "unknown_session"),
        ("BackendUnavailable", False, ""),
        # Once it holds the lock it has begun, and a pause makes it fail.
        ("Paused", True, ""),
    ],
)
def test_an_error_before_the_lock_may_be_a_refusal(error: str, locked: bool, refused: str) -> None:
    record = _record()
    note(record, COLLECTION + "session_lock", "lock", True, {"msg": "No.", "error": error}, locked)
    assert (record.refused, record.message, record.outcome) == (refused, "lock: No.", "")


@pytest.mark.parametrize(
    ("connection", "remedies", "refused"),
    [
        ("logged_out", [], "terminal"),
        ("banned", [], "terminal"),
        ("conflict", [], "terminal"),
        ("connected", [], ""),
        ("logged_out", [{"remedy": "recreate"}], ""),
    ],
)
def test_a_state_that_only_a_person_can_end_is_a_refusal(connection: str, remedies: list[Any], refused: str) -> None:
    record = _record()
    result = {"state": "disconnected", "reason": "x", "connection": connection, "remedies": remedies}
    note(record, COLLECTION + "session_health", "health", False, result, True)
    assert record.refused == refused


def test_judged_sessions_are_counted_by_backend_and_verifications_are_not() -> None:
    def judged(backend: str, **result: Any) -> dict[str, Any]:
        return {"invocation": {"module_args": {"backend_name": backend}}, **result}

    action = COLLECTION + "session_health"
    assert sessions_checked(action, judged("shop", state="stuck", remedies=[])) == {"shop": 1}
    assert sessions_checked(action, judged("shop", verified=True)) == {}
    loop = {"results": [judged("a", sessions=[{}, {}]), judged("b", sessions=[]), judged("a", sessions=[{}])]}
    assert sessions_checked(action, loop) == {"a": 3}
    assert sessions_checked(COLLECTION + "session_info", judged("shop", sessions=[{}])) == {}
    assert sessions_checked(action, {}) == {}
    local = {"invocation": {"module_args": {"backend_name": "shop", "lock_store": "local"}}, "remedies": []}
    assert sessions_checked(action, local) == {}
