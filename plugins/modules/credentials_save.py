#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials_save
short_description: Keep a copy of a session's credentials in the credentials table
version_added: 0.1.0
description:
  - Copies the credentials from the session's files or Redis keys to the credentials table. Without a database of the
    backend, the table is a SQLite file beside the backups.
  - Credentials that are incomplete, unpaired or of another account than those in the table are refused.
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
- name: Save the credentials
  sessionmedic.whatsapp.credentials_save:
    backend_name: sandbox
    session: "26"
"""

RETURN = r"""
bytes:
  description: Size of the credentials in bytes.
  returned: success
  type: int
  sample: 1648
diff:
  description: Sizes before and after; contents are never shown.
  returned: success, in diff mode
  type: dict
  sample: {before: "", after: "1648 bytes\n", before_header: credentials of 26, after_header: credentials of 26}
"""

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    guard,
    names_diff,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._stores import (
    credentials_table,
    read_creds,
    require_store,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.credentials_json import judge
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import CredentialsInvalid

ARGUMENT_SPEC = {**session_spec(), **guard_spec()}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    require_store(config)
    guard(params, config, session)
    table = credentials_table(config)
    creds = read_creds(config, session)
    row = table.load(session)
    kept = row.creds if row else None
    verdict = judge(creds, current=kept)
    if creds is None or not verdict.ok:
        raise CredentialsInvalid(f"Session {session} of {config.name}: {verdict.reason}", "Nothing was saved.")
    changed = creds != kept if check_mode else table.save(session, creds)
    return {
        "changed": changed,
        "bytes": len(creds),
        "diff": names_diff(
            f"credentials of {session}", [f"{len(kept)} bytes"] if kept else [], [f"{len(creds)} bytes"]
        ),
    }


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC)
