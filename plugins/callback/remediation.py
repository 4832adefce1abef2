# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record repairs step by step."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic import service_log, task_results
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.audit import DEFAULT_FOLDER, Audit
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import SessionMedicError
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.recorder import Recorder
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.remediations import BY_HAND, Step

DOCUMENTATION = r"""
name: remediation
type: notification
short_description: Record repairs of sessions while they run
version_added: 0.1.0
description:
  - Writes each finished task of this collection as a step of the repair's record in Redis, where
    C(GET /api/remediations) and the status page of the webhook show it.
  - A repair that the webhook asked for has its record already. For a repair by hand the record is made when the lock of
    the session is taken, and ended, with an entry in the audit log, when the lock is given back.
  - Without Redis the playbook goes on, and a repair by hand still leaves its entry in the audit log.
author:
  - sessionmedic contributors (@sessionmedic)
requirements:
  - enabling in configuration, C(callbacks_enabled = sessionmedic.whatsapp.remediation)
options:
  remediation_id:
    description: Id of the repair that the webhook asked for. Not given by hand.
    type: str
    env:
      - name: SESSIONMEDIC_REMEDIATION_ID
  redis_url:
    description: Where the records are. The extra variable C(redis_url) goes first.
    type: str
    default: redis://127.0.0.1:6379/0
    env:
      - name: REDIS_URL
  log_path:
    description:
      - Folder of the audit log for repairs by hand.
      - When not given, folder C(logs) beside the configuration file of Ansible, or in the current folder without one.
    type: path
    env:
      - name: SESSIONMEDIC_LOG_PATH
    ini:
      - section: callback_remediation
        key: log_path
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "sessionmedic.whatsapp.remediation"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recorder: Recorder | None = None
        self._playbook = ""
        self._redis_url = ""
        self._started: dict[tuple[str, str], float] = {}
        self._warned = False

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = Path(str(playbook._file_name)).stem

    def v2_playbook_on_play_start(self, play: Any) -> None:
        given = play.get_variable_manager().extra_vars.get("redis_url")
        literal = isinstance(given, str) and "{{" not in given
        self._redis_url = str(given) if literal else self.get_option("redis_url")
        if self._recorder is None:
            service_log.register_secret(self._redis_url.rpartition("@")[0].rpartition("/")[2].partition(":")[2])
            self._recorder = Recorder(
                self._redis_url,
                Audit(self._log_folder()),
                self._playbook,
                f"{BY_HAND}{os.environ.get('SUDO_USER') or _user()}",
                self.get_option("remediation_id") or "",
            )

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._started[host.get_name(), task._uuid] = time.time()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._ended(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended(result, "failed")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._recorder is not None:
            self._guarded(self._recorder.close, time.time())

    def _ended(self, result: Any, outcome: str) -> None:
        host, task = result.host.get_name(), result.task
        now = time.time()
        started = self._started.pop((host, task._uuid), now)
        action = str(task.resolved_action or task.action)
        if self._recorder is None or not task_results.is_ours(action):
            return
        said = {} if outcome == "skipped" else dict(result.result)
        step = Step(
            name=task_results.step_name(str(task.name or ""), action),
            started_at=round(started, 3),
            seconds=round(now - started, 3),
            outcome=outcome,
            message=task_results.step_message(action, said),
        )
        self._guarded(self._recorder.record, host, action, step, said, now)

    def _guarded(self, call: Any, *arguments: Any) -> None:
        """A repair must not end because it cannot be written down; that is said once."""
        try:
            call(*arguments)
        except SessionMedicError as error:
            if not self._warned:
                self._warned = True
                self._display.warning(f"The record of this repair is incomplete: {error}")

    def _log_folder(self) -> Path:
        given = self.get_option("log_path")
        if given:
            return Path(given)
        return (Path(C.CONFIG_FILE).parent if C.CONFIG_FILE else Path.cwd()) / DEFAULT_FOLDER


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as containers have it.
        return "unknown"
