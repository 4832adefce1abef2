"""Jobs in the queue: one a session, durable before it is promised, tried again when its worker dies."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

from rq import Queue, Retry
from rq.exceptions import DuplicateJobError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.serializers import JSONSerializer

from sessionmedic.redis_client import Client
from sessionmedic.remediations import Remediation

QUEUE = "sessionmedic"
# By name, because only the worker has what it needs (Ansible) and the webhook never imports that.
FUNCTION = "alert_webhook.worker.perform"
# After three dead workers it is the job that kills them.
ABANDONED_RETRIES = 2


class _Executions(ExecutionRegistry):
    """The tries of a job. RQ 2.12 lists a try for a minute longer than it keeps what it knows of it, and fails on the
    difference: an abandoned job could then be neither finished nor given up, and whoever swept it would end."""

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        found = []
        for execution_id in self.get_execution_ids(start, end):
            with contextlib.suppress(ValueError):
                found.append(Execution.fetch(id=execution_id, job_id=self.job_id, connection=self.connection))
        return found


class RemediationJob(Job):
    """RQ's job, whose abandoned tries do no harm."""

    @property
    def execution_registry(self) -> ExecutionRegistry:
        return _Executions(self.id, connection=self.connection)


def queue_of(client: Client) -> Queue:
    """The queue of remediations.

    :param client: answers are bytes. JSON instead of pickle: who can write to Redis must not get code to run here.
    """
    return Queue(QUEUE, connection=client, job_class=RemediationJob, serializer=JSONSerializer)


def job_id(backend: str, session: str, playbook: str) -> str:
    """What makes two demands the same: backend and session, or backend and playbook when there is no session."""
    # A list in JSON is unambiguous; RQ allows only letters, digits, "_" and "-" in ids.
    identity = [backend, session] if session else [backend, playbook, ""]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def job_id_of(record: Remediation) -> str:
    """The id of the job of a remediation."""
    return job_id(record.backend, record.session, record.playbook)


def is_waiting_or_running(queue: Queue, record: Remediation) -> bool:
    """Whether a job for the same session exists."""
    return bool(Job.exists(job_id_of(record), connection=queue.connection))


def enqueue(queue: Queue, record: Remediation, timeout: int) -> bool:
    """Put a job for ``record`` into the queue; False when there is one for the same session already.

    The job carries the whole record, so that no job is ever without one.

    :param timeout: seconds after which the worker ends it.
    """
    try:
        queue.enqueue_call(
            FUNCTION,
            args=(record.as_dict(),),
            job_id=job_id_of(record),
            unique=True,
            timeout=timeout,
            # A job that stays, finished or failed, would refuse every later one of its session.
            result_ttl=0,
            failure_ttl=0,
            retry=Retry(max=ABANDONED_RETRIES),
            description=f"{record.playbook} {record.backend}/{record.session}",
        )
    except DuplicateJobError:
        return False
    return True


def waiting(queue: Queue) -> int:
    """How many jobs nobody has taken yet."""
    return int(queue.count)


def oldest_waiting(queue: Queue) -> float | None:
    """Epoch seconds at which the job that waits longest was accepted, or None."""
    for waiting_id in queue.get_job_ids(0, 1):
        job: Job | None = queue.fetch_job(waiting_id)
        if job is not None:
            record: dict[str, Any] = job.args[0]
            return float(record["accepted_at"])
    return None
