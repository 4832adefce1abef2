#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_lock
short_description: Take or give back the lock of a session
version_added: 0.1.0
description:
  - One repair a session at a time, on every node. The lock lives in Redis, or without Redis in files of one machine.
  - A lock is no managed state of the session, so the module always reports C(changed=false).
  - Taking the lock is refused while repairs are paused.
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
    support: N/A
    details:
      - Nothing that is managed changes.
  idempotent:
    support: none
    details:
      - A lock that is taken cannot be taken again, also not by its owner.
options:
  state:
    description: Take the lock, or give it back.
    type: str
    choices: [acquired, released]
    default: acquired
  owner:
    description: Who holds the lock, shown to others who want it. User and host name when not given.
    type: str
  outcome:
    description:
      - With O(state=released), how the repair ended; not given when nothing was tried.
      - After V(recovered) the time is noted in Redis, and errors of messages sent before it no longer count.
    type: str
    choices: [recovered, failed, gave_up, interrupted, dry_run]
  remedy:
    description: With O(state=released), the remedy that was tried last.
    type: str
    choices: [restart, regenerate, restore, recreate]
  cooldown_seconds:
    description:
      - With O(state=released) and an O(outcome) other than V(dry_run), seconds for which no automatic repair of the
        session may start.
    type: float
    default: 0.0
"""

EXAMPLES = r"""
- name: Take the lock
  sessionmedic.whatsapp.session_lock:
    backend_name: sandbox
    session: "26"
  register: held

- name: Give it back
  sessionmedic.whatsapp.session_lock:
    backend_name: sandbox
    session: "26"
    state: released
    lock: "{{ held.lock }}"
    outcome: recovered
    remedy: regenerate
"""

RETURN = r"""
lock:
  description: Value of the lock, C(<fencing number>:<owner>), for option O(lock) of the steps; empty in check mode.
  returned: always
  type: str
  sample: "7:root@node1"
owner:
  description: Who holds, or held, the lock.
  returned: always
  type: str
  sample: root@node1
backend_name:
  description: Name of the backend.
  returned: always
  type: str
  sample: sandbox
session:
  description: Id of the session.
  returned: always
  type: str
  sample: "26"
outcome:
  description: How the repair ended; empty with O(state=acquired).
  returned: always
  type: str
  sample: recovered
remedy:
  description: The remedy that was tried last; empty when there was none.
  returned: always
  type: str
  sample: regenerate
released:
  description: Whether the lock was still ours when it was given back.
  returned: always
  type: bool
  sample: true
at:
  description: Epoch seconds at which it was taken or given back.
  returned: always
  type: float
  sample: 1705314645.0
"""

import getpass
import socket
import time

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import guard_spec, session_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    locks_of,
    refuse_when_paused,
    target_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic import brakes
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.config import BackendConfig
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import (
    ConfigError,
    LockHeld,
    StateUnavailable,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.lock import owner_of
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.redis_client import answering, connect

ARGUMENT_SPEC = {
    **session_spec(),
    **guard_spec(),
    "state": {"type": "str", "choices": ["acquired", "released"], "default": "acquired"},
    "owner": {"type": "str"},
    "outcome": {"type": "str", "choices": ["recovered", "failed", "gave_up", "interrupted", "dry_run"]},
    "remedy": {"type": "str", "choices": ["restart", "regenerate", "restore", "recreate"]},
    "cooldown_seconds": {"type": "float", "default": 0.0},
}
RULES = {"required_if": [("state", "released", ["lock"])]}


def run(params: Params, check_mode: bool) -> Result:
    config, session = target_of(params)
    act = _acquire if params["state"] == "acquired" else _release
    return {
        "changed": False,
        "backend_name": config.name,
        "session": session,
        "outcome": params["outcome"] or "",
        "remedy": params["remedy"] or "",
        "at": time.time(),
        **act(params, config, session, check_mode),
    }


def _acquire(params: Params, config: BackendConfig, session: str, check_mode: bool) -> Result:
    owner = params["owner"] or f"{_user()}@{socket.gethostname()}"
    if params["lock_store"] == "local":
        _refuse_beside_redis(params["redis_url"])
    refuse_when_paused(params)
    locks = locks_of(params)
    if not check_mode:
        return {
            "lock": locks.acquire(config.name, session, owner, params["lock_ttl"]),
            "owner": owner,
            "released": False,
        }
    holder = locks.holder(config.name, session)
    if holder is not None:
        raise LockHeld(f"Session {session} of {config.name} is being repaired by {holder}.", "Wait until it is done.")
    return {"lock": "", "owner": owner, "released": False}


def _release(params: Params, config: BackendConfig, session: str, check_mode: bool) -> Result:
    lock = params["lock"]
    result: Result = {"lock": lock, "owner": owner_of(lock), "released": False}
    if check_mode or not lock:
        return result
    released = locks_of(params).release(config.name, session, lock)
    # Without the lock somebody else may have changed the session since: its state is theirs to judge.
    if released and params["lock_store"] == "redis":
        _remember(params, config.name, session)
    return {**result, "released": released}


def _remember(params: Params, backend: str, session: str) -> None:
    with answering(params["redis_url"]):
        client = connect(params["redis_url"])
        if params["outcome"] == "recovered":
            brakes.mark_verified(client, backend, session, time.time())
        if params["outcome"] not in (None, "dry_run"):
            brakes.start_cooldown(client, backend, session, params["cooldown_seconds"])


def _refuse_beside_redis(url: str) -> None:
    """:raises ConfigError: Redis answers, so others would not see a local lock."""
    try:
        with answering(url):
            connect(url).ping()
    except StateUnavailable:
        return
    raise ConfigError(
        "A local lock is for runs without Redis, but Redis answers, and who locks there would not see it.",
        "Leave lock=local away.",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as containers have it.
        return "unknown"


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC, **RULES)
