# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what a run of fix_session was asked for, checked before anything evaluates it.

Ansible evaluates templates in extra variables, lookups that run commands included, as soon as a task uses the variable.
So the playbook never uses these variables; it uses what this module makes of their raw text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils.sessionmedic.errors import AmbiguousSession, ConfigError, UnknownSession
from ..module_utils.sessionmedic.ladder import STRATEGIES
from ..module_utils.sessionmedic.names import check_name, shown

GROUP = "whatsapp_backends"
# The name of the one backend that the environment describes when there is no inventory.
ENVIRONMENT_BACKEND = "default"
ALL = "all"

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_SWITCHES = ("force", "confirm", "allow_qr", "ignore_pause")
_SECONDS = {"verify_settle_seconds": 20.0, "verify_timeout_seconds": 60.0}


def parse_request(given: Mapping[str, Any], backends: Sequence[str], all_by_default: bool = False) -> dict[str, Any]:
    """The checked request.

    :param given: raw variables by name; only the parameters of the playbook are looked at.
    :param backends: names of the backends of the inventory; empty when there is none.
    :param all_by_default: whether no ``id`` means all sessions.
    :raises SessionMedicError: names the parameter that is wrong, and how to write it.
    """
    known = list(backends) or [ENVIRONMENT_BACKEND]
    ids = _ids(given, all_by_default)
    request: dict[str, Any] = {
        "all": ids is None,
        "ids": ids or [],
        "backends": _backends(given, known),
        "from_environment": not backends,
        "backend_named": given.get("backend") is not None,
        "strategy": _one_of("strategy", given, STRATEGIES, "auto"),
        "lock_store": _one_of("lock", given, ("redis", "local"), "redis"),
        "remediation_id": "",
    }
    request.update({name: _switch(name, given) for name in _SWITCHES})
    request.update({name: _seconds(name, given, default) for name, default in _SECONDS.items()})
    # An owner whose lock runs out while a step still waits would lose it for nothing.
    request["lock_ttl"] = max(300.0, 60.0 + sum(request[name] for name in _SECONDS))
    if given.get("remediation_id") is not None:
        request["remediation_id"] = check_name(given["remediation_id"], "remediation_id")
    return request


def _ids(given: Mapping[str, Any], all_by_default: bool) -> list[str] | None:
    value = given.get("id")
    if value is None:
        if all_by_default:
            return None
        raise ConfigError("No session is named.", "Say which: -e id=26, -e '{\"id\": [26, 27]}' or -e id=all.")
    if isinstance(value, str) and value == ALL:
        return None
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if not value:
            raise ConfigError("The list of session ids is empty.", "Name at least one: -e '{\"id\": [26]}'.")
        return list(dict.fromkeys(check_name(one) for one in value))
    return [check_name(value)]


def _backends(given: Mapping[str, Any], known: list[str]) -> list[str]:
    if given.get("backend") is None:
        return [check_name(name, "backend name") for name in known]
    name = check_name(given["backend"], "backend name")
    if name not in known:
        raise ConfigError(f"The backend {shown(name)} is not known.", f"Known backends: {', '.join(sorted(known))}.")
    return [name]


def _one_of(name: str, given: Mapping[str, Any], allowed: Sequence[str], default: str) -> str:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{name} {shown(value)} is not known.", f"Use one of {', '.join(allowed)}.")
    return str(value)


def _switch(name: str, given: Mapping[str, Any]) -> bool:
    value = given.get(name)
    if value is None:
        return False
    word = str(value).lower() if isinstance(value, (bool, int, str)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ConfigError(f"{name} {shown(value)} is not a switch.", f"Write -e {name}=true or leave it away.")


def _seconds(name: str, given: Mapping[str, Any], default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise ConfigError(f"{name} {shown(value)} is not a number of seconds.", f"Write it as -e {name}={default:g}.")
    return seconds


def answer_of(looped: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one turn of a loop over backends; a host that Ansible could not reach has only a message."""
    return {
        "backend": str(looped["item"]),
        "available": bool(looped.get("available", False)),
        "msg": str(looped.get("msg", "")),
        "sessions": looped.get("sessions", []),
    }


def choose_sessions(
    request: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any]]]:
    """The sessions that are asked for, each with the name of its backend.

    :param answers: one for each backend asked: ``backend``, ``available``, ``msg`` and ``sessions`` (each with ``id``).
    :raises UnknownSession: no backend has it. :raises AmbiguousSession: several have it, or may have it.
    """
    readable = [answer for answer in answers if answer["available"]]
    broken = [answer for answer in answers if not answer["available"]]
    if request["all"]:
        return [(answer["backend"], one) for answer in readable for one in answer["sessions"]]
    chosen = []
    for session in request["ids"]:
        backend = _backend_of(session, readable, broken)
        sessions = next(answer["sessions"] for answer in readable if answer["backend"] == backend)
        chosen.append((backend, next(one for one in sessions if one["id"] == session)))
    return chosen


def choose_targets(request: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which sessions of which backends are to be repaired: those that are named, or of all those that are not healthy.

    :param answers: as for choose_sessions; sessions without ``healthy`` were not judged, and are meant.
    :return: ``targets`` (``backend`` and ``session``), ``healthy`` (number left alone), ``unavailable`` (sentences).
    """
    found = choose_sessions(request, answers)
    wanted = [
        (backend, one)
        for backend, one in found
        if not request["all"] or request["force"] or not one.get("healthy", False)
    ]
    return {
        "targets": [{"backend": backend, "session": one["id"]} for backend, one in wanted],
        "healthy": len(found) - len(wanted),
        "unavailable": [
            f"Backend {answer['backend']}: {answer['msg']}" for answer in answers if not answer["available"]
        ],
    }


def _backend_of(session: str, readable: Sequence[Mapping[str, Any]], broken: Sequence[Mapping[str, Any]]) -> str:
    holders = [str(answer["backend"]) for answer in readable if any(one["id"] == session for one in answer["sessions"])]
    problems = " ".join(f"Backend {answer['backend']}: {answer['msg']}" for answer in broken)
    if len(holders) > 1:
        raise AmbiguousSession(
            f"Session {session} is on the backends {' and '.join(sorted(holders))}.",
            f"Say which is meant: -e backend={sorted(holders)[0]}.",
        )
    if not holders:
        asked = ", ".join(str(answer["backend"]) for answer in readable) or "that answers"
        raise UnknownSession(
            f"No session {session} on backend {asked}.", problems or "List the sessions with check_sessions.yml."
        )
    if broken:
        raise AmbiguousSession(
            f"Session {session} is on backend {holders[0]}, and perhaps on one that could not be asked. {problems}",
            f"Say which is meant: -e backend={holders[0]}.",
        )
    return holders[0]
