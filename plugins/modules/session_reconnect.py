#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_reconnect
short_description: Start a session with one call and wait until it is connected
version_added: 0.1.0
description:
  - Starts a session unless it is connected or on its way, because each further start call may add another socket that
    fights the first one for the account.
  - A session whose credentials are missing or truncated is not started unless O(allow_qr) is set.
  - That the session does not come up is a result, not a failure.
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
  allow_qr:
    description: Whether the session may be started although it will ask a person to scan a QR code.
    type: bool
    default: false
  timeout_seconds:
    description: Seconds to wait for the connection.
    type: float
    default: 60.0
"""

EXAMPLES = r"""
- name: Connect again
  sessionmedic.whatsapp.session_reconnect:
    backend_name: sandbox
    session: "26"
    lock: "{{ held.lock }}"
  register: reconnect
"""

RETURN = r"""
connected:
  description: Whether the session is connected now.
  returned: success
  type: bool
  sample: true
terminal:
  description: Whether the session came to a state that no remedy may touch.
  returned: success
  type: bool
  sample: false
state:
  description: State of the connection at the end.
  returned: success
  type: str
  sample: connected
previous_state:
  description: State of the connection before.
  returned: success
  type: str
  sample: disconnected
credentials:
  description: Whether the credentials are C(complete), C(incomplete), or C(unknown) when no store is configured.
  returned: success
  type: str
  sample: complete
since:
  description: Epoch seconds of the start, for O(sessionmedic.whatsapp.session_health#module:since).
  returned: success
  type: float
  sample: 1705314645.0
diff:
  description: The state before and after.
  returned: success, in diff mode
  type: dict
  sample: {before: "disconnected\n", after: "connected\n", before_header: session 26, after_header: session 26}
"""

import time

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._connection import (
    DOWN,
    open_once,
    refuse_terminal,
    with_reason,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    adapter_of,
    guard,
    names_diff,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._stores import require_credentials
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.examination import Clock
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.models import (
    TERMINAL,
    ConnectionState,
)

ARGUMENT_SPEC = {
    **session_spec(),
    **guard_spec(),
    "allow_qr": {"type": "bool", "default": False},
    "timeout_seconds": {"type": "float", "default": 60.0},
}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    guard(params, config, session)
    credentials = require_credentials(config, session, params["allow_qr"])
    since = time.time()
    with adapter_of(config) as adapter:
        before = with_reason(config, adapter.get_session(session))
        refuse_terminal(before, params["allow_qr"])
        if check_mode:
            changed, after = before.state in DOWN, before
        else:
            changed, after = open_once(adapter, session, params["timeout_seconds"], Clock())
            after = with_reason(config, after)
    shown_after = "connected" if check_mode and changed else after.state.value
    return {
        "changed": changed,
        "connected": after.state is ConnectionState.CONNECTED,
        "state": after.state.value,
        "terminal": after.state in TERMINAL,
        "previous_state": before.state.value,
        "credentials": credentials,
        "since": since,
        "diff": names_diff(f"session {session}", [before.state.value], [shown_after]),
    }


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
