"""The worker: an RQ worker that has imported Ansible once and forks for each job."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any

from redis.exceptions import RedisError
from rq import Queue, Worker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.registry import clean_registries
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.utils import now

from sessionmedic.redis_client import Client, connect, place

from . import jobs, performer, playbook_run
from .config import WebhookConfig
from .sweep import sweep
from .workers import MISSED_HEARTBEATS

SWEEP_KEY = "sessionmedic:sweep"
_RECONNECT_SECONDS = 2.0

_log = logging.getLogger(__name__)
# RQ finds the job function by its name, so what that needs cannot be passed to it.
_config: WebhookConfig | None = None


def perform(body: dict[str, Any]) -> None:
    """The job function: ``body`` is the record of the remediation."""
    assert _config is not None
    performer.perform_job(_config, body)


class _TimeLimit(UnixSignalDeathPenalty):
    def handle_death_penalty(self, signum: int, frame: FrameType | None) -> None:
        if issubclass(self._exception, JobTimeoutException):
            raise playbook_run.PlaybookTimeout
        super().handle_death_penalty(signum, frame)  # type: ignore[no-untyped-call] # RQ has no types here


class RemediationWorker(Worker):
    """RQ's worker with a faster heart, bounded shutdown and forks that do not outlive it."""

    death_penalty_class = _TimeLimit
    max_connection_wait_time = 5.0

    def __init__(self, config: WebhookConfig, client: Client) -> None:
        self._settings = config
        self.stop_asked = False
        super().__init__(
            [jobs.queue_of(client)],
            name=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            connection=client,
            job_class=jobs.RemediationJob,
            serializer=JSONSerializer,
            job_monitoring_interval=config.heartbeat_seconds,
            maintenance_interval=config.heartbeat_seconds,
            worker_ttl=MISSED_HEARTBEATS * config.heartbeat_seconds,
            log_job_description=False,
        )
        self.log_result_lifespan = False

    @property
    def dequeue_timeout(self) -> int:
        """How long to wait for a job before the heart beats again (RQ: minutes)."""
        return self._settings.heartbeat_seconds

    def get_heartbeat_ttl(self, job: Job) -> int:
        """Seconds without a heartbeat after which another worker takes the job (RQ: a minute more)."""
        return MISSED_HEARTBEATS * self._settings.heartbeat_seconds

    def subscribe(self) -> None:
        """Without RQ's channel of commands: it lets whoever reaches Redis stop workers, and a thread of ours would be
        cut off in the middle of anything by each fork."""

    def unsubscribe(self) -> None:
        """See subscribe()."""

    def set_current_job_working_time(self, current_job_working_time: float, pipeline: Any = None) -> None:
        """See maintain_heartbeats()."""
        with contextlib.suppress(RedisError):
            super().set_current_job_working_time(current_job_working_time, pipeline)

    def maintain_heartbeats(self, job: Job) -> None:
        """A heartbeat that Redis does not take must not end the job it is for."""
        try:
            super().maintain_heartbeats(job)
        except RedisError as error:
            _log.warning("The heartbeat did not reach Redis (%s).", type(error).__name__)

    def clean_registries(self) -> None:
        """Take up abandoned jobs. One worker at a time, under a lock that a dead one does not hold for 15 minutes, as
        it does RQ's own."""
        seconds = self._settings.heartbeat_seconds
        # While Redis was away no heart was heard.
        just_started = int(self.connection.info("server")["uptime_in_seconds"]) <= MISSED_HEARTBEATS * seconds
        if not just_started and self.connection.set(SWEEP_KEY, self.name, nx=True, px=max(500, seconds * 1000 - 500)):
            for queue in self.queues:
                clean_registries(queue, self._exc_handlers)
                worker_registration.clean_worker_registry(queue)
                queue.intermediate_queue.cleanup(self, queue)
            sweep(self._settings, self.queues[0])
        self.last_cleaned_at = now()  # type: ignore[assignment] # RQ declares only the None it starts with

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """In the fork."""
        playbook_run.die_with_parent(self.pid or 0)
        super().main_work_horse(job, queue)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop_asked = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # RQ has no types here

    def handle_warm_shutdown_request(self) -> None:
        """Let the running job end, but not for ever; killed, it is taken up by another worker."""
        if not self.horse_pid:
            return
        _log.info("Stopping after the running job, in %d s at most.", self._settings.stop_seconds)
        timer = threading.Timer(self._settings.stop_seconds, self._kill_job, [self.horse_pid])
        timer.daemon = True
        timer.start()

    def end_job(self) -> None:
        """Kill what still runs, before another takes this worker's place."""
        if self.horse_pid:
            self._kill_job(self.horse_pid)
            self.wait_for_horse()

    def _kill_job(self, process_group: int) -> None:
        if self.horse_pid != process_group:
            return
        _log.warning("The running job did not end in time; another worker will begin it again.")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process_group, signal.SIGKILL)


def work(config: WebhookConfig, connect_to: Callable[..., Client] = connect) -> None:
    """Work until SIGTERM or SIGINT; while Redis is away, wait for it."""
    global _config
    _config = config
    url = config.redis_url.get_secret_value()
    began = time.monotonic()
    playbook_run.warm_up(config)
    _log.info("Ansible is loaded (%.1f s); waiting for jobs.", time.monotonic() - began)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    while True:
        try:
            client = connect_to(url, decode=False)
            worker = RemediationWorker(config, client)
            try:
                worker.work(logging_level=None)
            finally:
                worker.end_job()
            if worker.stop_asked:
                break
            _log.warning("The connection to Redis at %s was lost.", place(url))
        except StopRequested:
            break
        except RedisError as error:
            _log.warning("Redis at %s cannot be used (%s); trying again.", place(url), type(error).__name__)
        try:
            time.sleep(_RECONNECT_SECONDS)
        except StopRequested:
            break
    _log.info("Stopped.")


def _stop(signum: int, frame: FrameType | None) -> None:
    raise StopRequested
