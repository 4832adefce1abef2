"""What webhook and status page show of the system: workers, queue, pause switch, remediations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rq import Queue

from sessionmedic import brakes
from sessionmedic.redis_client import Client
from sessionmedic.remediations import Remediation, Remediations

from . import jobs, workers
from .config import WebhookConfig


@dataclass(frozen=True)
class Overview:
    """The system at one moment; ``now`` is epoch seconds."""

    now: float
    workers: list[workers.WorkerInfo]
    waiting: int
    running: int
    paused: brakes.Pause | None
    remediations: list[Remediation]


class State:
    """Reads it from Redis; redis' own errors come through.

    :param client: answers are text. :param queue: its client's answers are bytes. :param clock: epoch seconds.
    """

    def __init__(self, config: WebhookConfig, client: Client, queue: Queue, clock: Callable[[], float]) -> None:
        self._config = config
        self._client = client
        self._queue = queue
        self._clock = clock
        self.records = Remediations(client, config.keep_remediations)

    def ping(self) -> None:
        """Ask Redis for a sign of life."""
        self._client.ping()

    def workers(self) -> list[workers.WorkerInfo]:
        """Those that are alive."""
        return workers.living(self._queue, self._config.heartbeat_seconds, self._clock())

    def pause(self, by: str, reason: str) -> None:
        """Switch repairs off."""
        brakes.pause(self._client, by, self._clock(), reason)

    def resume(self) -> bool:
        """Switch repairs on; False when they were."""
        return brakes.resume(self._client)

    def overview(self, limit: int) -> Overview:
        """Everything at once, with the newest ``limit`` remediations."""
        return Overview(
            now=self._clock(),
            workers=self.workers(),
            waiting=jobs.waiting(self._queue),
            running=self.records.running(),
            paused=brakes.paused(self._client),
            remediations=self.records.newest(limit),
        )
