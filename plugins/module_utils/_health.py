# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: examine all sessions of a backend at once, and examinations as modules return them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .sessionmedic.backends.base import Backend
from .sessionmedic.config import BackendConfig
from .sessionmedic.examination import NO_LOGS, Clock, Evidence, Examination
from .sessionmedic.health import Limits, classify
from .sessionmedic.ladder import Rung
from .sessionmedic.logs.reader import Event
from .sessionmedic.logs.tail import LogTail
from .sessionmedic.models import Health, HealthState, StateGroup, new_spell

POLL_SECONDS = 1.0


def survey(
    backend: Backend, config: BackendConfig, verified: Mapping[str, float], limits: Limits, clock: Clock
) -> list[Examination]:
    """Examine every session with one reading of the logs and one list call a second.

    Sessions that are on their way are watched together for up to ``limits.stuck_seconds``.

    :param verified: session to epoch seconds of its last verified repair.
    """
    began = clock.now()
    tail = LogTail(config)
    events = _by_session([*tail.read(began), *tail.drain(began)])
    found = {session.id: session for session in backend.list_sessions()}
    spells = {name: new_spell(session.state, began) for name, session in found.items()}
    now = began
    while now - began <= limits.stuck_seconds and any(
        spell.group is StateGroup.TRANSITORY and now - spell.since <= limits.stuck_seconds for spell in spells.values()
    ):
        clock.sleep(POLL_SECONDS)
        now = clock.now()
        found.update((session.id, session) for session in backend.list_sessions() if session.id in found)
        spells = {name: spell.observe(found[name].state, now) for name, spell in spells.items()}
    examinations = []
    for name, session in found.items():
        evidence = Evidence(max(began - limits.window_seconds, verified.get(name, 0.0)))
        evidence.add(name, events.get(name, ()))
        evidence.logs_readable = tail.readable
        session = evidence.explain(session)
        spell = spells[name].observe(session.state, now)
        health = classify(session.state, spell, evidence.total, now, limits)
        if health.healthy and not tail.readable:
            health = Health(HealthState.UNKNOWN, NO_LOGS)
        examinations.append(Examination(session, health, evidence))
    return examinations


def _by_session(events: list[Event]) -> dict[str, list[Event]]:
    grouped: dict[str, list[Event]] = {}
    for event in events:
        if event.session:
            grouped.setdefault(event.session, []).append(event)
    return grouped


def health_result(examination: Examination) -> dict[str, Any]:
    """An examination as modules return it."""
    session = examination.session
    return {
        "id": session.id if session else "",
        "name": session.name if session else "",
        "healthy": examination.health.healthy,
        "state": examination.health.state.value,
        "reason": examination.health.reason,
        "should_cleanup": examination.health.should_cleanup,
        "connection": examination.state.value,
        "raw_state": session.raw_state if session else "",
        **evidence_result(examination.evidence),
    }


def evidence_result(evidence: Evidence) -> dict[str, Any]:
    """What the logs say, as modules return it."""
    return {
        "since": evidence.since,
        "errors": dict(evidence.errors),
        "recent_errors": evidence.total,
        "peers": sorted(evidence.peers),
        "decrypted": evidence.decrypted,
        "logs_readable": evidence.logs_readable,
    }


def rungs_result(rungs: list[Rung]) -> list[dict[str, Any]]:
    """The planned remedies as modules return them."""
    return [{"remedy": rung.remedy, "peers": list(rung.peers)} for rung in rungs]


def plan_in_words(rungs: list[Rung]) -> str:
    """The planned remedies for people: ``restart, regenerate (2 peers), regenerate``."""
    words = []
    for rung in rungs:
        number = len(rung.peers)
        words.append(f"{rung.remedy} ({number} peer{'' if number == 1 else 's'})" if number else rung.remedy)
    return ", ".join(words)
