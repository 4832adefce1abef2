# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which sessions a playbook works on, from the checked request and the answers of the backends."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.sessionmedic.errors import SessionMedicError
from ..plugin_utils.request import answer_of, choose_targets


class ActionModule(ActionBase):
    _requires_connection = False
    _VALID_ARGS = frozenset({"request", "answers"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        answers = [answer_of(one) for one in self._task.args["answers"]]
        try:
            chosen = choose_targets(self._task.args["request"], answers)
        except SessionMedicError as error:
            return {**result, "failed": True, "changed": False, "msg": str(error), "error": type(error).__name__}
        return {**result, "changed": False, **chosen}
