# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment: what may forbid a step."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  redis_url:
    description:
      - Redis that holds locks, the pause switch and marks of verified repairs.
      - E(REDIS_URL) when not given.
    type: str
    default: redis://127.0.0.1:6379/0
  lock:
    description:
      - Value of the lock under which the step runs, as M(sessionmedic.whatsapp.session_lock) returned it.
      - It is checked and extended before anything is changed; the step fails when it is no longer ours.
    type: str
  lock_store:
    description: Where locks are kept, V(redis), or V(local) for files of this machine when there is no Redis.
    type: str
    choices: [redis, local]
    default: redis
  lock_ttl:
    description: Seconds that the lock lives on from here, unless a later step extends it.
    type: float
    default: 300.0
  ignore_pause:
    description: Whether to go on although repairs are paused.
    type: bool
    default: false
"""
