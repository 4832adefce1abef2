#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_select
short_description: Decide which sessions a playbook works on
version_added: 0.1.0
description:
  - From a checked request and the answers of the backends, says which sessions of which backends are meant.
  - Fails when an id is unknown, or on several backends.
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
    description:
      - C(results) of a loop over backends with M(sessionmedic.whatsapp.session_info), or for all sessions with
        M(sessionmedic.whatsapp.session_health).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask the backends
  sessionmedic.whatsapp.session_info:
    backend: "{{ hostvars[item].whatsapp_backend }}"
    backend_name: "{{ item }}"
  loop: "{{ request.backends }}"
  register: listed

- name: Find the sessions
  sessionmedic.whatsapp.session_select:
    request: "{{ request }}"
    answers: "{{ listed.results }}"
  register: chosen
"""

RETURN = r"""
targets:
  description: The sessions.
  returned: success
  type: list
  elements: dict
  sample: [{backend: sandbox, session: "26"}]
  contains:
    backend:
      description: Name of the backend.
      type: str
      sample: sandbox
    session:
      description: Id of the session.
      type: str
      sample: "26"
healthy:
  description: Number of sessions left alone because they are healthy.
  returned: success
  type: int
  sample: 0
unavailable:
  description: One sentence for each backend that could not be read.
  returned: success
  type: list
  elements: str
  sample: []
"""
