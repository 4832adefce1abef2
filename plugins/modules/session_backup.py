#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_backup
short_description: Back up the state of a session
version_added: 0.1.0
description:
  - Writes a backup of the session's files, Redis keys and credentials row, and compares it with its source in every
    byte. A backup is whole or not there.
  - When the newest backup equals the session as it is now, that one is returned and nothing is written.
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
  required:
    description: Whether to fail when nothing says where the session's state, or the backups, are.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Back up
  sessionmedic.whatsapp.session_backup:
    backend_name: sandbox
    backend:
      session_path: /srv/backend/sessions
      backup_path: /var/backups/sessionmedic
    session: "26"
  register: backup
"""

RETURN = r"""
backup:
  description: Folder of the backup; empty when there is nothing to back up, or in check mode when one is missing.
  returned: success
  type: str
  sample: /var/backups/sessionmedic/sandbox/26/20240115T103045Z-1
files:
  description: Number of files in it.
  returned: success
  type: int
  sample: 812
keys:
  description: Number of Redis keys in it.
  returned: success
  type: int
  sample: 0
row:
  description: Whether it holds a row of the credentials table.
  returned: success
  type: bool
  sample: true
bytes:
  description: Size of the session's state in bytes.
  returned: success
  type: int
  sample: 204800
msg:
  description: Why there is no backup; empty when there is one.
  returned: success
  type: str
  sample: ""
diff:
  description: What is in the backup, in numbers.
  returned: success, in diff mode
  type: dict
  sample: {before: "", after: "812 records\n", before_header: backup of session 26, after_header: backup of session 26}
"""

import time

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._backup import (
    ensure_backup,
    newest_equal,
    without_missing_folder,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    guard,
    names_diff,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._stores import auth_stores
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.backup import Backup
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.config import BackendConfig
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import StoreError

ARGUMENT_SPEC = {**session_spec(), **guard_spec(), "required": {"type": "bool", "default": True}}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    missing = _missing(config)
    if missing and not params["required"]:
        return _result(False, None, [], f"{missing} is not set, so there is no backup.", session)
    if missing:
        raise StoreError(f"Backend {config.name} has no {missing}, so there is no backup.", f"Set {missing}.")
    guard(params, config, session)
    names = _names(config, session)
    if check_mode:
        present = newest_equal(config, session)
        changed = present is None and bool(names)
    else:
        changed, present = ensure_backup(config, session, time.time())
    return _result(changed, present, names, "" if names or present else "The session has no state.", session)


def _missing(config: BackendConfig) -> str:
    if not (config.session_path or config.redis_url or config.database_url):
        return "session_path, redis_url or database_url"
    return "" if config.backup_path else "backup_path"


def _names(config: BackendConfig, session: str) -> list[str]:
    stores = auth_stores(without_missing_folder(config, session), session)
    names = [name for store in stores for name in store.names()]
    return [*names, "row of the credentials table"] if config.database_url else names


def _result(changed: bool, backup: Backup | None, names: list[str], msg: str, session: str) -> Result:
    held = [f"{len(names)} records"] if names else []
    return {
        "changed": changed,
        "backup": str(backup.path) if backup else "",
        "files": backup.files if backup else 0,
        "keys": backup.keys if backup else 0,
        "row": backup.row if backup else False,
        "bytes": backup.bytes if backup else 0,
        "msg": msg,
        "diff": names_diff(f"backup of session {session}", [] if changed else held, held),
    }


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
