"""End the records of repairs that nobody works on any more."""

from __future__ import annotations

import logging
import time

from rq import Queue
from rq.job import Job

from sessionmedic.audit import Audit
from sessionmedic.errors import SessionMedicError
from sessionmedic.redis_client import connect
from sessionmedic.remediations import Remediation, Remediations
from sessionmedic.service_log import REMEDY

from . import jobs
from .config import WebhookConfig
from .workers import MISSED_HEARTBEATS

# No single step of a playbook takes this long.
_SILENT_BY_HAND_SECONDS = 3600.0

_log = logging.getLogger(__name__)


def sweep(config: WebhookConfig, queue: Queue, now: float | None = None) -> None:
    """Records without an end whose job is gone (its workers died too often, or Redis lost it), and those of runs by
    hand that have long been silent, end as ``interrupted``."""
    at = time.time() if now is None else now
    client = connect(config.redis_url.get_secret_value())
    try:
        records = Remediations(client, config.keep_remediations)
        for record in records.open():
            if _is_lost(record, queue, at, MISSED_HEARTBEATS * config.heartbeat_seconds):
                _end(config, records, record, at)
    finally:
        client.close()


def _end(config: WebhookConfig, records: Remediations, record: Remediation, at: float) -> None:
    record.finished_at = at
    record.outcome = "interrupted"
    record.message = "Nobody works on it any more."
    if not records.finish(record):
        return
    _log.warning("%s was interrupted for good.", record.playbook, extra=_about(record))
    try:
        Audit(config.log_path).write(record)
    except SessionMedicError as error:
        _log.error("%s", error, extra=_about(record))


def _is_lost(record: Remediation, queue: Queue, now: float, grace: float) -> bool:
    last_sign = max([record.accepted_at, *(step.started_at + step.seconds for step in record.steps)])
    if record.by_hand:
        return now - last_sign > _SILENT_BY_HAND_SECONDS
    return now - last_sign > grace and not Job.exists(jobs.job_id_of(record), connection=queue.connection)


def _about(record: Remediation) -> dict[str, str]:
    return {"category": REMEDY, "session": record.session or record.backend}
