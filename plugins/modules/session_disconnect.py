#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_disconnect
short_description: Close the socket of a session and see that it stays closed
version_added: 0.1.0
description:
  - Closes the connection of a session and keeps its credentials; the device stays linked.
  - The answer of the backend is not trusted; the module waits until the session has been down for a while, and fails
    when it is not.
author:
  - sessionmedic contributors (@sessionmedic)
extends_documentation_fragment:
  - sessionmedic.whatsapp.backend
  - sessionmedic.whatsapp.backend.session
  - sessionmedic.whatsapp.guard
  - sessionmedic.whatsapp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  confirm_seconds:
    description: Seconds that the session must stay down. Reconnect loops of backends pass through it every 2 seconds.
    type: float
    default: 2.5
  timeout_seconds:
    description: Seconds after which the module fails when the session is not down.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Close the socket
  sessionmedic.whatsapp.session_disconnect:
    backend_name: sandbox
    session: "26"
    lock: "{{ held.lock }}"
"""

RETURN = r"""
confirmed:
  description: Whether the session was seen to stay down; false in check mode when it is not down.
  returned: success
  type: bool
  sample: true
state:
  description: State of the connection at the end.
  returned: success
  type: str
  sample: disconnected
previous_state:
  description: State of the connection before.
  returned: success
  type: str
  sample: connected
diff:
  description: The state before and after.
  returned: success, in diff mode
  type: dict
  sample: {before: "connected\n", after: "disconnected\n", before_header: session 26, after_header: session 26}
"""

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._connection import DOWN, close
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    adapter_of,
    guard,
    names_diff,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.examination import Clock

ARGUMENT_SPEC = {
    **session_spec(),
    **guard_spec(),
    "confirm_seconds": {"type": "float", "default": 2.5},
    "timeout_seconds": {"type": "float", "default": 30.0},
}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    guard(params, config, session)
    with adapter_of(config) as adapter:
        before = adapter.get_session(session)
        if check_mode:
            after, changed = before, before.state not in DOWN
        else:
            changed, after = close(adapter, session, params["confirm_seconds"], params["timeout_seconds"], Clock())
    shown_after = "disconnected" if check_mode and changed else after.state.value
    return {
        "changed": changed,
        "confirmed": after.state in DOWN,
        "state": after.state.value,
        "previous_state": before.state.value,
        "diff": names_diff(f"session {session}", [before.state.value], [shown_after]),
    }


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
