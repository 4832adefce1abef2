#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_request
short_description: Check what a playbook of this collection was asked for
version_added: 0.1.0
description:
  - Reads the parameters of the playbook (C(id), C(backend), C(strategy) and so on) as raw text, so that a template in
    one of them is refused and never evaluated.
  - Runs on the controller. Meant for the playbooks of this collection.
author:
  - sessionmedic contributors (@sessionmedic)
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: N/A
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
options:
  all_by_default:
    description: Whether all sessions are meant when C(id) is not given.
    type: bool
    default: false
  strategy:
    description: The strategy when parameter C(strategy) is not given.
    type: str
"""

EXAMPLES = r"""
- name: Check the request
  sessionmedic.whatsapp.session_request:
  register: request
"""

RETURN = r"""
all:
  description: Whether all sessions are meant.
  returned: success
  type: bool
  sample: false
ids:
  description: The session ids that were given.
  returned: success
  type: list
  elements: str
  sample: ["26"]
backends:
  description: The backends to look on.
  returned: success
  type: list
  elements: str
  sample: [sandbox]
backend_named:
  description: Whether one backend was named.
  returned: success
  type: bool
  sample: false
from_environment:
  description: Whether there is no inventory, so that the environment describes the one backend.
  returned: success
  type: bool
  sample: false
strategy:
  description: The strategy.
  returned: success
  type: str
  sample: auto
lock_store:
  description: Where locks are kept.
  returned: success
  type: str
  sample: redis
lock_ttl:
  description: Seconds that a lock lives without being extended.
  returned: success
  type: float
  sample: 300.0
remediation_id:
  description: Id of the remediation that asked; empty by hand.
  returned: success
  type: str
  sample: ""
force:
  description: Whether healthy sessions are treated, too.
  returned: success
  type: bool
  sample: false
confirm:
  description: Whether that is confirmed for all sessions.
  returned: success
  type: bool
  sample: false
allow_qr:
  description: Whether a session may be started that will ask for a QR code.
  returned: success
  type: bool
  sample: false
ignore_pause:
  description: Whether to go on although repairs are paused.
  returned: success
  type: bool
  sample: false
verify_settle_seconds:
  description: Seconds that a repaired session must be calm.
  returned: success
  type: float
  sample: 20.0
verify_timeout_seconds:
  description: Seconds after which a verification fails.
  returned: success
  type: float
  sample: 60.0
"""
