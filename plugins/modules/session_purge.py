#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_purge
short_description: Remove records of a session's state
version_added: 0.1.0
description:
  - Removes files and Redis keys of one session, and of no other.
  - Keys and credentials are removed only while the session is down, and only when a backup equals the session as it is
    now in every byte.
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
  level:
    description:
      - With V(cache), message and chat caches in Redis.
      - With V(keys), session and sender keys, those of O(peers) or all. Credentials, pre-keys and app state stay.
      - With V(all), everything; the session then needs a person to scan a QR code.
    type: str
    choices: [cache, keys, all]
    required: true
  peers:
    description: With O(level=keys), Signal addresses, users or JIDs of the peers whose records go; all when empty.
    type: list
    elements: str
    default: []
  backup:
    description: Folder of the backup that M(sessionmedic.whatsapp.session_backup) returned.
    type: path
"""

EXAMPLES = r"""
- name: Remove the records of a failing peer
  sessionmedic.whatsapp.session_purge:
    backend_name: sandbox
    session: "26"
    level: keys
    peers: ["5511999990000.0"]
    backup: "{{ backup.backup }}"
    lock: "{{ held.lock }}"
"""

RETURN = r"""
level:
  description: The level.
  returned: success
  type: str
  sample: keys
removed:
  description: Names of the files and keys that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["session-5511999990000.0.json"]
left:
  description: Number of records that stay.
  returned: success
  type: int
  sample: 811
diff:
  description: Names of the records before and after; names only.
  returned: success, in diff mode
  type: dict
  sample: {before: "session-5511999990000.0.json\n", after: "", before_header: session 26, after_header: session 26}
"""

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._backup import (
    require_equal,
    without_missing_folder,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._connection import require_down
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    adapter_of,
    guard,
    names_diff,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._stores import (
    auth_stores,
    forget_row,
    has_row,
    require_store,
)

ARGUMENT_SPEC = {
    **session_spec(),
    **guard_spec(),
    "level": {"type": "str", "choices": ["cache", "keys", "all"], "required": True},
    "peers": {"type": "list", "elements": "str", "default": []},
    "backup": {"type": "path"},
}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    level, peers = params["level"], params["peers"]
    require_store(config)
    guard(params, config, session)
    stores = auth_stores(without_missing_folder(config, session), session)
    before = [name for store in stores for name in store.names()]
    chosen = [name for store in stores for name in store.select(level, peers)]
    row = level == "all" and has_row(config, session)
    if (chosen or row) and not check_mode:
        if level != "cache":
            with adapter_of(config) as adapter:
                require_down(adapter, session)
            require_equal(config, session, params["backup"] or "")
        chosen = [name for store in stores for name in store.purge(level, peers)]
        if row:
            forget_row(config, session)
    removed = [*chosen, *(["credentials in the table"] if row else [])]
    left = [name for name in before if name not in set(chosen)]
    return {
        "changed": bool(removed),
        "level": level,
        "removed": removed,
        "left": len(left),
        "diff": names_diff(f"records of session {session}", removed, []),
    }


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
