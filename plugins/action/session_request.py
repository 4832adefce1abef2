# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what a playbook of this collection was asked for, before anything evaluates it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.sessionmedic.errors import SessionMedicError
from ..plugin_utils.request import GROUP, parse_request

PARAMETERS = (
    "id",
    "backend",
    "strategy",
    "force",
    "confirm",
    "allow_qr",
    "ignore_pause",
    "lock",
    "verify_settle_seconds",
    "verify_timeout_seconds",
    "remediation_id",
)


class ActionModule(ActionBase):
    _requires_connection = False
    _VALID_ARGS = frozenset({"all_by_default", "strategy"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Straight from the dictionary: nothing here goes through the templar, not even to look at it.
        given = {name: task_vars[name] for name in PARAMETERS if name in task_vars}
        if self._task.args.get("strategy"):
            given.setdefault("strategy", self._task.args["strategy"])
        backends = [str(name) for name in task_vars.get("groups", {}).get(GROUP, ())]
        try:
            request = parse_request(given, backends, bool(self._task.args.get("all_by_default", False)))
        except SessionMedicError as error:
            return {**result, "failed": True, "changed": False, "msg": str(error), "error": type(error).__name__}
        return {**result, "changed": False, **request}
