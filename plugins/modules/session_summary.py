#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_summary
short_description: Say what became of each session
version_added: 0.1.0
description:
  - Prints a table with a line for each session that playbook C(fix_session) worked on, and fails when a repair did.
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
  unavailable:
    description: One sentence for each backend that could not be read.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Summary
  sessionmedic.whatsapp.session_summary:
"""

RETURN = r"""
sessions:
  description: The sessions.
  returned: always
  type: list
  elements: dict
  sample: [{session: sandbox/26, outcome: recovered, remedy: regenerate, seconds: 24.1,
            tried: ["restart: did not help", "regenerate: connected, no new errors"], needs_person: false,
            reason: "connected, no new errors"}]
  contains:
    session:
      description: Backend and id of the session.
      type: str
      sample: sandbox/26
    outcome:
      description: One of recovered, failed, gave_up, interrupted, dry_run, or left alone.
      type: str
      sample: recovered
    remedy:
      description: The remedy that was tried last.
      type: str
      sample: regenerate
    tried:
      description: The remedies that were tried, each with what came of it.
      type: list
      elements: str
      sample: ["restart: did not help"]
    needs_person:
      description: Whether the session now waits for a person to scan a QR code, as was asked for.
      type: bool
      sample: false
    seconds:
      description: How long it took.
      type: float
      sample: 24.1
    reason:
      description: One sentence why.
      type: str
      sample: connected, no new errors
table:
  description: The same as lines of text.
  returned: always
  type: list
  elements: str
  sample: ["session     outcome    remedy      seconds  reason"]
"""
