# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: the options that modules share. Documented by the fragments `backend` and `guard`."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from .sessionmedic.config import DEFAULT_REDIS_URL
from .sessionmedic.lock import DEFAULT_TTL

AUTH = {
    "type": {"type": "str", "choices": ["none", "bearer", "login"]},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "login_path": {"type": "str"},
}

CREDENTIALS_TABLE = {
    "name": {"type": "str"},
    "id_column": {"type": "str"},
    "creds_column": {"type": "str"},
    "status_column": {"type": "str"},
    "last_connected_column": {"type": "str"},
}

LOG_SOURCE = {
    "path": {"type": "str", "required": True},
    "stream": {"type": "str", "choices": ["stdout", "stderr", "merged"]},
    "session": {"type": "str"},
}

ERROR_PATTERN = {
    "literal": {"type": "str", "required": True},
    "kind": {"type": "str"},
    "benign": {"type": "bool"},
}

# The fields of sessionmedic.config.BackendConfig, which has the defaults; a test compares the two.
BACKEND = {
    "kind": {"type": "str"},
    "url": {"type": "str"},
    "auth": {"type": "dict", "options": AUTH},
    "routes": {"type": "dict"},
    "states": {"type": "dict"},
    "session_path": {"type": "str"},
    "session_folder": {"type": "str"},
    "redis_url": {"type": "str", "no_log": True},
    "redis_prefixes": {"type": "list", "elements": "str"},
    "cache_prefixes": {"type": "list", "elements": "str"},
    "cache_path": {"type": "str"},
    "database_url": {"type": "str", "no_log": True},
    "credentials_table": {"type": "dict", "options": CREDENTIALS_TABLE},
    "backup_path": {"type": "str"},
    "log_sources": {"type": "list", "elements": "dict", "options": LOG_SOURCE},
    "error_patterns": {"type": "list", "elements": "dict", "options": ERROR_PATTERN},
    "session_fields": {"type": "list", "elements": "str"},
    "self_recovery_seconds": {"type": "float"},
    "allow_relink": {"type": "bool"},
    "connect_timeout": {"type": "float"},
    "read_timeout": {"type": "float"},
}


def backend_spec() -> dict[str, Any]:
    """Which backend: options ``backend`` and ``backend_name``."""
    return {
        "backend": {"type": "dict", "options": BACKEND, "default": {}},
        "backend_name": {"type": "str", "default": "default"},
    }


def session_spec() -> dict[str, Any]:
    """Which session of which backend."""
    return {**backend_spec(), "session": {"type": "str", "required": True}}


def guard_spec() -> dict[str, Any]:
    """What may forbid a step: the lock and the pause switch."""
    return {
        "redis_url": {
            "type": "str",
            "no_log": True,
            "default": DEFAULT_REDIS_URL,
            "fallback": (env_fallback, ["REDIS_URL"]),
        },
        "lock": {"type": "str"},
        "lock_store": {"type": "str", "choices": ["redis", "local"], "default": "redis"},
        "lock_ttl": {"type": "float", "default": DEFAULT_TTL},
        "ignore_pause": {"type": "bool", "default": False},
    }
