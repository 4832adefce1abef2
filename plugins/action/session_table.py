# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show sessions with their health as a table."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.sessionmedic.errors import SessionMedicError
from ..plugin_utils.request import answer_of, choose_sessions
from ..plugin_utils.summary import health_row_of, table

_COLUMNS = ("backend", "session", "name", "connection", "health", "reason")


class ActionModule(ActionBase):
    _requires_connection = False
    _VALID_ARGS = frozenset({"request", "answers"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        answers = [answer_of(one) for one in self._task.args["answers"]]
        try:
            chosen = choose_sessions(self._task.args["request"], answers)
        except SessionMedicError as error:
            return {**result, "failed": True, "changed": False, "msg": str(error), "error": type(error).__name__}
        rows = [health_row_of(backend, session) for backend, session in chosen]
        lines = table(rows, _COLUMNS)
        for line in lines if rows else ["No sessions."]:
            self._display.display(line)
        result.update(changed=False, sessions=rows, table=lines)
        wrong = [f"Backend {answer['backend']}: {answer['msg']}" for answer in answers if not answer["available"]]
        return {**result, "failed": True, "msg": " ".join(wrong)} if wrong else result
