# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what every module does around its `run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .sessionmedic.errors import SessionMedicError

Run = Callable[[Mapping[str, Any], bool], dict[str, Any]]


def outcome(run: Run, params: Mapping[str, Any], check_mode: bool, diff_mode: bool) -> dict[str, Any]:
    """What the module returns: the result of ``run``, or ``failed`` with a sentence and the error's name.

    The module and the in-process action plugin both come through here, so that they cannot differ.
    """
    try:
        result = run(params, check_mode)
    except SessionMedicError as error:
        return {"failed": True, "changed": False, "msg": str(error), "error": type(error).__name__}
    except Exception as error:
        # Without this a defect would show its traceback, with whatever values stand in it, past the no_log filter.
        return {
            "failed": True,
            "changed": False,
            "msg": f"Unexpected {type(error).__name__} in {_place(error)}. Please report it as a bug.",
            "error": type(error).__name__,
        }
    if not diff_mode:
        result.pop("diff", None)
    return result


def _place(error: BaseException) -> str:
    """File and line at which the error was raised, for the bug report; its text may hold secrets."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"


def main(run: Run, argument_spec: dict[str, Any], **rules: Any) -> None:
    """Run as an Ansible module. ``rules`` are those of AnsibleModule, such as ``required_if``."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **rules)
    result = outcome(run, module.params, module.check_mode, module._diff)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
