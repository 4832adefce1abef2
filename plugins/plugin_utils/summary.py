# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: tables of sessions as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Outcomes after which the run as a whole has failed.
BAD = ("failed", "gave_up", "interrupted", "refused")
LEFT_ALONE = "left alone"


def row_of(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What became of one session, from the facts that fix_session keeps on its host."""
    held, released = facts.get("fix_lock") or {}, facts.get("fix_unlock") or {}
    health = facts.get("fix_health") or {}
    outcome = str(facts.get("fix_outcome") or (LEFT_ALONE if health.get("healthy") is not None else "failed"))
    return {
        "session": name,
        "outcome": outcome,
        "remedy": str(facts.get("fix_remedy") or "-"),
        "seconds": round(max(0.0, float(released.get("at") or 0) - float(held.get("at") or 0)), 1),
        "tried": [str(one) for one in facts.get("fix_tried") or []],
        "needs_person": bool(facts.get("fix_waits_for_person", False)),
        "reason": str(facts.get("fix_reason") or health.get("reason") or "its host could not be reached"),
    }


def health_row_of(backend: str, session: Mapping[str, Any]) -> dict[str, Any]:
    """One session as session_health judged it."""
    return {
        "backend": backend,
        "session": str(session["id"]),
        "name": str(session.get("name") or "-"),
        "connection": str(session.get("connection") or "unknown"),
        "health": str(session.get("state") or "unknown"),
        "reason": str(session.get("reason") or ""),
    }


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Lines of a table with a heading; the last column is as wide as it likes."""
    cells = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), line[-1]]).rstrip() for line in cells]


def verdict(rows: Sequence[Mapping[str, Any]], unavailable: Sequence[str]) -> str:
    """One sentence on what failed; empty when nothing did."""
    # Recreate ends with a QR code: it did what it could, and was told to.
    bad = [row for row in rows if row["outcome"] in BAD and not row["needs_person"]]
    parts = [f"{row['session']} {row['outcome']} ({row['reason']})" for row in bad]
    sentence = f"{len(bad)} of {len(rows)} sessions not repaired: {'; '.join(parts)}." if bad else ""
    return " ".join([*([sentence] if sentence else []), *unavailable])
