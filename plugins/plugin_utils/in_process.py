# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: run a module's own function in the controller process when its target is this machine.

A module costs a new Python and an unpacked archive for each task (about 0.3 s); the same function in the task's fork
costs 0.02 s. The result is made to be the one that the module would have given: arguments and results go through the
same JSON forms, the same validation, and the same filter of secrets.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import merge_hash

from ..module_utils._module import outcome
from ..module_utils.sessionmedic import libraries
from ..module_utils.sessionmedic.errors import MissingLibrary

# Each task is a fork of the process that imports this: what is imported here costs its 0.4 s once, not with each task.
for _library in (libraries.redis, libraries.requests):
    with suppress(MissingLibrary):
        _library()

_RULES = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")


class InProcessAction(ActionBase):
    """Base of the action plugins; each names its module.

    A module has ``ARGUMENT_SPEC``, ``run(params, check_mode)`` and perhaps ``RULES`` (arguments of AnsibleModule).
    """

    module: ModuleType
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._needs_a_module(task_vars):
            return self._as_module(result, task_vars)
        return {**result, **self._here()}

    def _as_module(self, result: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        result = merge_hash(result, self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _needs_a_module(self, task_vars: dict[str, Any]) -> bool:
        """Whether this process is not where, or not how, the task is meant to run."""
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        return bool(
            self._connection.transport != "local"
            or self._connection.become
            or self._task.async_val
            or environment
            or not self._own_interpreter(task_vars)
        )

    def _own_interpreter(self, task_vars: dict[str, Any]) -> bool:
        host_vars = task_vars
        if self._task.delegate_to:
            host_vars = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        chosen = host_vars.get("ansible_python_interpreter")
        if chosen is None:
            chosen = C.config.get_config_value("INTERPRETER_PYTHON", variables=host_vars)
        chosen = self._templar.template(chosen)
        # "auto" means: whichever Python is there; this one is.
        return str(chosen) == sys.executable or str(chosen).startswith("auto")

    def _here(self) -> dict[str, Any]:
        # Through JSON as on the way to a module: vaulted values are decrypted, tags and lazy containers end.
        encoder = get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
        given = json.loads(json.dumps(self._task.args, cls=encoder))
        rules = getattr(self.module, "RULES", {})
        checked = ArgumentSpecValidator(self.module.ARGUMENT_SPEC, **{key: rules.get(key) for key in _RULES}).validate(
            given
        )
        params = checked.validated_parameters
        secrets = set(checked._no_log_values)
        if checked.errors.errors:
            msg = checked.errors.msg
            if isinstance(checked.errors[0], UnsupportedError):
                msg = f"Unsupported parameters for ({self._task.action}) module: {msg}"
            result: dict[str, Any] = {"failed": True, "msg": msg}
        else:
            result = outcome(self.module.run, params, self._task.check_mode, self._task.diff)
        result["invocation"] = {"module_args": params}
        return _shown(result, secrets)


def _shown(result: dict[str, Any], secrets: set[str]) -> dict[str, Any]:
    """The result as AnsibleModule prints it: secrets replaced, nothing but JSON, no string that could be a template."""
    plain = json.loads(json.dumps(result, default=_refused))
    return {
        **remove_values(plain, secrets),
        **{key: value for key, value in plain.items() if value is None or isinstance(value, bool)},
    }


def _refused(value: object) -> object:
    raise AnsibleActionFail(f"The module returned a {type(value).__name__}, which has no JSON form.")
