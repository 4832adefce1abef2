# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what became of each session, as a table, and fail when a repair did."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.summary import row_of, table, verdict

_FACTS = (
    "fix_lock",
    "fix_unlock",
    "fix_health",
    "fix_outcome",
    "fix_remedy",
    "fix_reason",
    "fix_tried",
    "fix_waits_for_person",
)


class ActionModule(ActionBase):
    _requires_connection = False
    _VALID_ARGS = frozenset({"unavailable"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        rows = []
        for name in task_vars.get("groups", {}).get("fix_targets", ()):
            about = task_vars["hostvars"][name]
            rows.append(row_of(str(name), {key: about[key] for key in _FACTS if key in about}))
        wrong = verdict(rows, [str(one) for one in self._task.args.get("unavailable", [])])
        lines = table(rows, ("session", "outcome", "remedy", "seconds", "reason"))
        for line in lines if rows else ["Nothing to repair."]:
            self._display.display(line)
        result.update(changed=False, sessions=rows, table=lines)
        return {**result, "failed": True, "msg": wrong} if wrong else result
