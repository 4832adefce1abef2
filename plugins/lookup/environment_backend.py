# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one backend that environment variables describe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase

from ..module_utils.sessionmedic.config import DEFAULT_URL

DOCUMENTATION = r"""
name: environment_backend
author: sessionmedic contributors (@sessionmedic)
short_description: The one backend that environment variables describe
version_added: 0.1.0
description:
  - Returns a value for the inventory variable C(whatsapp_backend), from the environment of the controller.
  - E(BACKEND_URL) is its URL, V(http://localhost:8080) when not set.
  - E(BACKEND_USERNAME) with E(BACKEND_PASSWORD), or E(BACKEND_TOKEN), log in.
  - E(SESSION_STORAGE_PATH), E(BACKUP_PATH), E(CACHE_PATH) and E(DATABASE_URL) say where sessions, backups, caches and
    credentials are.
  - Backups are kept under the user's state folder when E(BACKUP_PATH) is not set.
  - E(BACKEND_LOG_PATH) names its log files, with V(:) between them.
options: {}
"""

EXAMPLES = r"""
- name: Describe the backend of the environment
  ansible.builtin.set_fact:
    whatsapp_backend: "{{ lookup('sessionmedic.whatsapp.environment_backend') }}"
"""

RETURN = r"""
_raw:
  description: The description of the backend.
  type: list
  elements: dict
  sample: [{url: "http://localhost:8080", session_path: /srv/backend/sessions}]
"""


def environment_backend(environ: Mapping[str, str]) -> dict[str, Any]:
    """``whatsapp_backend`` as ``environ`` describes it; what is not set is left to the defaults."""
    backend: dict[str, Any] = {"url": environ.get("BACKEND_URL") or DEFAULT_URL}
    if environ.get("BACKEND_TOKEN"):
        backend["auth"] = {"type": "bearer", "token": environ["BACKEND_TOKEN"]}
    elif environ.get("BACKEND_USERNAME"):
        backend["auth"] = {
            "type": "login",
            "username": environ["BACKEND_USERNAME"],
            "password": environ.get("BACKEND_PASSWORD", ""),
        }
    for key, name in (
        ("session_path", "SESSION_STORAGE_PATH"),
        ("backup_path", "BACKUP_PATH"),
        ("cache_path", "CACHE_PATH"),
        ("database_url", "DATABASE_URL"),
    ):
        if environ.get(name):
            backend[key] = environ[name]
    state = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "~", ".local/state")
    backend.setdefault("backup_path", os.path.join(state, "sessionmedic/backups"))
    paths = [path for path in environ.get("BACKEND_LOG_PATH", "").split(":") if path]
    if paths:
        backend["log_sources"] = [{"path": path} for path in paths]
    return backend


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        return [environment_backend(os.environ)]
