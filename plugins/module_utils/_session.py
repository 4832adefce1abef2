# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: from checked module parameters to objects of the core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .sessionmedic import brakes
from .sessionmedic.backends import registry
from .sessionmedic.backends.base import Backend
from .sessionmedic.config import BackendConfig
from .sessionmedic.errors import StateUnavailable
from .sessionmedic.lock import Locks, locks_for
from .sessionmedic.models import Session
from .sessionmedic.names import check_name
from .sessionmedic.redis_client import answering, connect

Params = Mapping[str, Any]
Result = dict[str, Any]


def backend_of(params: Params) -> BackendConfig:
    """The backend that the parameters describe. :raises ConfigError: names the wrong key."""
    return BackendConfig.from_mapping(params["backend_name"], params["backend"]).with_environment()


def target_of(params: Params) -> tuple[BackendConfig, str]:
    """Backend and session id. :raises InvalidName: the id is not a safe name."""
    return backend_of(params), check_name(params["session"])


@contextmanager
def adapter_of(config: BackendConfig) -> Iterator[Backend]:
    """The adapter of a backend, closed at the end: no connection or token outlives a step."""
    adapter = registry.create(config)
    try:
        yield adapter
    finally:
        adapter.close()


def locks_of(params: Params) -> Locks:
    """Where the locks of this run are kept."""
    return locks_for("local" if params["lock_store"] == "local" else params["redis_url"])


def guard(params: Params, config: BackendConfig, session: str, changing: bool = True) -> None:
    """Let the step go on, or say what forbids it. To be called before a step changes anything.

    :param changing: False for steps that only wait, which need the lock but do not mind the pause switch.
    :raises LockLost: the lock is no longer ours. :raises Paused: the pause switch is on.
    :raises StateUnavailable: Redis, which knows both, is away.
    """
    if params.get("lock"):
        locks_of(params).extend(config.name, session, params["lock"], params["lock_ttl"])
    if changing:
        refuse_when_paused(params)


def refuse_when_paused(params: Params) -> None:
    """:raises Paused: the pause switch is on and the caller did not say to ignore it."""
    # A local lock means that there is no Redis, and so no switch either.
    if params["ignore_pause"] or params["lock_store"] == "local":
        return
    with answering(params["redis_url"]):
        brakes.refuse_when_paused(connect(params["redis_url"]))


def verified_of(params: Params, config: BackendConfig) -> dict[str, float]:
    """Session to epoch seconds of its last verified repair; nothing when Redis is away, as looking needs no lock."""
    if params["lock_store"] == "local":
        return {}
    try:
        with answering(params["redis_url"]):
            return brakes.verified_since(connect(params["redis_url"]), config.name)
    except StateUnavailable:
        return {}


def cooldown_of(params: Params, config: BackendConfig, session: str) -> float:
    """Seconds for which the last repair keeps automatic ones away; 0 when Redis, which knows, is away."""
    if params["lock_store"] == "local":
        return 0.0
    try:
        with answering(params["redis_url"]):
            return brakes.cooldown_left(connect(params["redis_url"]), config.name, session)
    except StateUnavailable:
        return 0.0


def names_diff(header: str, before: list[str], after: list[str]) -> dict[str, str]:
    """A diff of names; contents are secrets and never shown."""
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{name}\n" for name in before),
        "after": "".join(f"{name}\n" for name in after),
    }


def session_result(session: Session) -> dict[str, Any]:
    """A session as modules return it."""
    return {
        "id": session.id,
        "name": session.name,
        "company": session.company,
        "state": session.state.value,
        "raw_state": session.raw_state,
        "enabled": session.enabled,
        "updated_at": session.updated_at,
    }
