"""What the result of a task of the collection says about the repair it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .models import TERMINAL
from .remediations import OUTCOMES, Remediation, tidy

COLLECTION = "sessionmedic.whatsapp."
# Errors that come before anything was done, and what they are called when a repair is refused for them.
REFUSALS = {
    "LockHeld": "locked",
    "Paused": "paused",
    "UnknownSession": "unknown_session",
    "AmbiguousSession": "unknown_session",
}
_TERMINAL = frozenset(state.value for state in TERMINAL)


def is_ours(action: str) -> bool:
    """Whether a task's action (its full name) is one of the collection's."""
    return action.startswith(COLLECTION)


def step_name(task_name: str, action: str) -> str:
    """How a task is called as a step: ``Reconnect`` is step ``reconnect``."""
    name = tidy(task_name) or action.rpartition(".")[2]
    return name[:1].lower() + name[1:]


def step_message(action: str, result: Mapping[str, Any]) -> str:
    """One line about a finished task; nothing of a task whose output is hidden (``no_log``)."""
    if "censored" in result:
        return ""
    if isinstance(result.get("results"), list):
        # A loop's own message is always the same words.
        messages = (step_message(action, one) for one in result["results"] if isinstance(one, Mapping))
        return tidy("; ".join(filter(None, messages)))
    kind = action.rpartition(".")[2]
    message = result.get("msg")
    if message:
        return tidy(str(message))
    if kind == "session_health" and result.get("reason"):
        state = result.get("state") or ("verified" if result.get("verified") else "not verified")
        return tidy(f"{state}: {result['reason']}")
    if kind == "session_purge" and isinstance(result.get("removed"), list):
        return tidy(f"{len(result['removed'])} records removed, {result.get('left', '?')} left")
    if kind == "session_backup" and result.get("backup"):
        return tidy(str(result["backup"]))
    if kind == "credentials_restore" and result.get("source"):
        return tidy(f"from {result['source']}")
    if kind == "session_lock":
        return tidy(str(result.get("outcome") or ""))
    return tidy(str(result.get("state") or ""))


def note(record: Remediation, action: str, name: str, failed: bool, result: Mapping[str, Any], locked: bool) -> bool:
    """Put into ``record`` what a result says about the repair as a whole; whether anything changed.

    :param name: of the step. :param locked: whether the repair had its lock before this task.
    """
    before = (record.backup, record.outcome, record.refused, record.remedy, record.message)
    kind = action.rpartition(".")[2]
    if failed:
        record.message = tidy(f"{name}: {step_message(action, result) or 'failed'}")
        if not locked:
            record.refused = REFUSALS.get(str(result.get("error", "")), record.refused)
    elif kind == "session_backup" and result.get("backup"):
        record.backup = str(result["backup"])
    elif kind == "session_health" and result.get("reason"):
        record.message = step_message(action, result)
        # With nothing to try and a state that only a person can end, the repair is refused.
        if result.get("remedies") == [] and result.get("connection") in _TERMINAL:
            record.refused = "terminal"
    elif kind == "session_lock" and is_release(action, result):
        outcome = str(result.get("outcome") or "")
        record.outcome = outcome if outcome in OUTCOMES else ""
        record.remedy = str(result.get("remedy") or "")
    return before != (record.backup, record.outcome, record.refused, record.remedy, record.message)


def is_acquisition(action: str, result: Mapping[str, Any]) -> bool:
    """Whether the task took the lock of a session."""
    return action == f"{COLLECTION}session_lock" and "lock" in result and not is_release(action, result)


def is_release(action: str, result: Mapping[str, Any]) -> bool:
    """Whether the task gave the lock of a session back."""
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    return action == f"{COLLECTION}session_lock" and arguments.get("state") == "released"


def sessions_checked(action: str, result: Mapping[str, Any]) -> dict[str, int]:
    """Backend to the number of sessions whose health a task has judged; verifications of a repair do not count."""
    if action != f"{COLLECTION}session_health":
        return {}
    counted: dict[str, int] = {}
    for one in result.get("results") or [result]:
        arguments = (one.get("invocation") or {}).get("module_args") or {}
        if arguments.get("lock_store") == "local":
            continue
        number = len(one["sessions"]) if isinstance(one.get("sessions"), list) else int("remedies" in one)
        if number and arguments.get("backend_name"):
            backend = str(arguments["backend_name"])
            counted[backend] = counted.get(backend, 0) + number
    return counted
