"""Which workers are alive, as seen from Redis."""

from __future__ import annotations

from dataclasses import dataclass

from rq import Queue
from rq.utils import utcparse
from rq.worker_registration import get_keys

# A worker that has missed this many heartbeats is dead.
MISSED_HEARTBEATS = 3


@dataclass(frozen=True)
class WorkerInfo:
    """One living worker; ``last_heartbeat`` is epoch seconds."""

    name: str
    host: str
    pid: str
    state: str
    last_heartbeat: float


def living(queue: Queue, heartbeat_seconds: float, now: float) -> list[WorkerInfo]:
    """Workers whose heart beat lately, by name."""
    # Not rq's Worker.all(), which sets the socket timeout of the connection it is given to minutes.
    pipeline = queue.connection.pipeline(transaction=False)
    keys = sorted(get_keys(queue))
    for key in keys:
        pipeline.hmget(key, "last_heartbeat", "hostname", "pid", "state", "death")
    found = []
    for key, (beat, host, pid, state, death) in zip(keys, pipeline.execute(), strict=True):
        if beat is None or death is not None:
            continue
        at = utcparse(beat.decode()).timestamp()
        if now - at <= MISSED_HEARTBEATS * heartbeat_seconds:
            found.append(WorkerInfo(key.rpartition(":")[2], _text(host), _text(pid), _text(state), at))
    return found


def _text(value: bytes | None) -> str:
    return value.decode() if value else ""
