#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_table
short_description: Show sessions with their health as a table
version_added: 0.1.0
description:
  - Prints a line for each session, and fails when a backend could not be read.
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
  request:
    description: Result of M(sessionmedic.whatsapp.session_request).
    type: dict
    required: true
  answers:
    description: C(results) of a loop over backends with M(sessionmedic.whatsapp.session_health).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the sessions
  sessionmedic.whatsapp.session_table:
    request: "{{ request }}"
    answers: "{{ judged.results }}"
"""

RETURN = r"""
sessions:
  description: The sessions.
  returned: always
  type: list
  elements: dict
  sample: [{backend: sandbox, session: "26", name: loja-26, connection: connected, health: healthy,
            reason: "connected, no recent errors"}]
table:
  description: The same as lines of text.
  returned: always
  type: list
  elements: str
  sample: ["backend  session  name     connection  health   reason"]
"""
