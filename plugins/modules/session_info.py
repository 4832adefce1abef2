#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_info
short_description: List the sessions of a backend
version_added: 0.1.0
description:
  - Lists the sessions of a WhatsApp backend, or one of them, with the states of their connections.
  - A backend that cannot be read is a result, not a failure.
author:
  - sessionmedic contributors (@sessionmedic)
extends_documentation_fragment:
  - sessionmedic.whatsapp.backend
  - sessionmedic.whatsapp.attributes
  - sessionmedic.whatsapp.attributes.info
  - sessionmedic.whatsapp.guard
attributes:
  check_mode: {}
  diff_mode: {}
  idempotent: {}
options:
  session:
    description: Id of one session; all are listed when it is not given.
    type: str
seealso:
  - module: sessionmedic.whatsapp.session_health
"""

EXAMPLES = r"""
- name: List the sessions
  sessionmedic.whatsapp.session_info:
    backend:
      url: http://localhost:8080
      auth:
        type: login
        username: admin@example.com
        password: "{{ vault_password }}"
  register: found

- name: Show who is not connected
  ansible.builtin.debug:
    msg: "{{ found.sessions | rejectattr('state', 'eq', 'connected') | map(attribute='id') }}"
"""

RETURN = r"""
available:
  description: Whether the backend could be read.
  returned: always
  type: bool
  sample: true
msg:
  description: What is wrong with the backend, and the next step; empty when it could be read.
  returned: always
  type: str
  sample: ""
error:
  description: Name of the error; empty when there is none.
  returned: always
  type: str
  sample: BackendUnavailable
backend_name:
  description: Name of the backend.
  returned: always
  type: str
  sample: sandbox
sessions:
  description: The sessions, in the order of the backend.
  returned: always
  type: list
  elements: dict
  sample: [{id: "26", name: shop-26, company: "1", state: connected, raw_state: OPENED, enabled: true,
            updated_at: 1705314645.0}]
  contains:
    id:
      description: Id of the session.
      type: str
      sample: "26"
    name:
      description: Its name.
      type: str
      sample: shop-26
    company:
      description: The company that it belongs to, where the backend has companies.
      type: str
      sample: "1"
    state:
      description: State of the connection in our words.
      type: str
      sample: connected
    raw_state:
      description: State of the connection in the backend's words.
      type: str
      sample: OPENED
    enabled:
      description: Whether the session is meant to be connected.
      type: bool
      sample: true
    updated_at:
      description: Epoch seconds of the last change that the backend noted, null where it does not say.
      type: float
      sample: 1705314645.0
"""

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import backend_spec, guard_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    adapter_of,
    backend_of,
    session_result,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import (
    BackendAnswerError,
    BackendAuthError,
    BackendUnavailable,
    UnknownSession,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.names import check_name

ARGUMENT_SPEC = {**backend_spec(), **guard_spec(), "session": {"type": "str"}}


def run(params: Params, check_mode: bool) -> Result:
    config = backend_of(params)
    session = params["session"]
    if session is not None:
        check_name(session)
    result: Result = {"changed": False, "backend_name": config.name, "available": True, "msg": "", "error": ""}
    try:
        with adapter_of(config) as adapter:
            found = adapter.list_sessions() if session is None else [adapter.get_session(session)]
    except UnknownSession as error:
        return {**result, "sessions": [], "msg": str(error), "error": type(error).__name__}
    except (BackendUnavailable, BackendAuthError, BackendAnswerError) as error:
        return {**result, "sessions": [], "available": False, "msg": str(error), "error": type(error).__name__}
    return {**result, "sessions": [session_result(one) for one in found]}


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
