#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials_restore
short_description: Put saved credentials of a session back
version_added: 0.1.0
description:
  - Looks in the credentials table and in the backups for the newest credentials that are complete and of the same
    account, and puts them back where the backend reads them.
  - When nothing at all is left of the session and the credentials come from a backup, the whole backup is put back.
  - Credentials are written only while the session is down, because a live socket writes its own over them.
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
"""

EXAMPLES = r"""
- name: Put the credentials back
  sessionmedic.whatsapp.credentials_restore:
    backend_name: sandbox
    session: "26"
    lock: "{{ held.lock }}"
"""

RETURN = r"""
source:
  description: Where the credentials come from; empty when there is nothing better than what the session has.
  returned: success
  type: str
  sample: backup 20240115T103045Z-1
saved_at:
  description: Epoch seconds of their saving, null when it is not known.
  returned: success
  type: float
  sample: 1705314645.0
whole:
  description: Whether the whole backup was put back, and not the credentials alone.
  returned: success
  type: bool
  sample: false
refused:
  description: What else was found, and why it was not used.
  returned: success
  type: list
  elements: dict
  sample: [{source: table, reason: The credentials are empty.}]
  contains:
    source:
      description: Where it was found.
      type: str
      sample: table
    reason:
      description: One sentence why it was not used.
      type: str
      sample: The credentials are empty.
diff:
  description: Where the credentials come from, before and after; contents are never shown.
  returned: success, in diff mode
  type: dict
  sample: {before: "the session's own\n", after: "table\n", before_header: credentials of 26,
           after_header: credentials of 26}
"""

import time

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._backup import ensure_backup
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._connection import require_down
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._restore import (
    find_credentials,
    put_back,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    adapter_of,
    guard,
    names_diff,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._stores import require_store

ARGUMENT_SPEC = {**session_spec(), **guard_spec()}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    require_store(config)
    guard(params, config, session)
    found = find_credentials(config, session)
    if found.candidate is not None and not check_mode:
        with adapter_of(config) as adapter:
            require_down(adapter, session)
        # Overwriting is removing: what is there now is kept, whoever calls.
        ensure_backup(config, session, time.time())
        put_back(config, session, found)
    source = found.candidate.source if found.candidate else ""
    return {
        "changed": found.candidate is not None,
        "source": source,
        "saved_at": found.candidate.saved_at if found.candidate else None,
        "whole": found.whole is not None,
        "refused": [{"source": refused, "reason": reason} for refused, reason in found.refused],
        "diff": names_diff(f"credentials of {session}", ["the session's own"], [source or "the session's own"]),
    }


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
