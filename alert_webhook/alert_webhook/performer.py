"""What a worker does with one job: from the record that was accepted to the record that has ended.

Nothing here raises: a repair that failed is a result like another, and a job that raises would be run again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from sessionmedic import brakes, counters
from sessionmedic.audit import Audit
from sessionmedic.errors import SessionMedicError
from sessionmedic.lock import RedisLocks, owner_of
from sessionmedic.redis_client import Client, connect, place
from sessionmedic.remediations import Remediation, Remediations, Step, interruption
from sessionmedic.service_log import REMEDY

from . import playbook_run
from .config import WebhookConfig

# A playbook that took minutes must not be lost because Redis restarts while its end is written.
INSIST_SECONDS = 120.0

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class RedisStaysAway(Exception):
    """Redis did not come back in time; the job will be taken up again."""


class Performer:
    """Does one job, in a fork of the worker; every fork makes a connection of its own."""

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._audit = Audit(config.log_path)
        # Redis may have taken what it did not confirm: by these we know our own writes when we try again.
        self._began_at: float | None = None
        self._ended_at: float | None = None

    def perform(self, asked: Remediation) -> None:
        """Run the playbook of a job and keep what became of it."""
        client = connect(self._config.redis_url.get_secret_value())
        records = Remediations(client, self._config.keep_remediations)
        try:
            record = self._insist(lambda: self._begin(client, records, asked))
            if record is None:
                return
            ran = self._run(record)
            self._insist(lambda: self._end(client, records, record, ran))
        except RedisStaysAway:
            _log.error(
                "Redis at %s stays away; the repair will be taken up again.",
                place(self._config.redis_url.get_secret_value()),
                extra=_about(asked),
            )

    def _begin(self, client: Client, records: Remediations, asked: Remediation) -> Remediation | None:
        """The record to work on, or None when there is nothing to do any more."""
        records.create(asked)
        record = records.get(asked.uuid)
        if record is None or record.finished_at is not None:
            return None
        ours = record.started_at is not None and record.started_at == self._began_at
        if record.started_at is not None and not ours and not self._take_over(client, records, record):
            return None
        switch = brakes.paused(client)
        if switch is not None:
            record.refused = "paused"
            record.message = f"Repairs are paused by {switch.by}."
            self._finish(client, records, record)
            return None
        self._began_at = self._began_at or self._clock()
        records.start(record, self._began_at)
        waited = self._began_at - record.accepted_at
        _log.info("%s begins after %.1f s in the queue.", record.playbook, waited, extra=_about(record))
        return record

    def _take_over(self, client: Client, records: Remediations, record: Remediation) -> bool:
        """The worker that had it died. Its playbook died with it, or, on a node cut off, stops at the lost lock."""
        started = record.started_at or record.accepted_at
        seconds = round(self._clock() - started, 3)
        if not records.take_over(record):
            return False
        records.add_step(record.uuid, Step("interrupted", started, seconds, "failed", "The worker died."))
        counters.add(client, interruption(record))
        self._free_lock(client, record)
        _log.warning("The worker died; it begins again.", extra=_about(record))
        return True

    def _free_lock(self, client: Client, record: Remediation) -> None:
        """Give back the lock that this repair left behind; anybody else's stays."""
        if not record.session:
            return
        value = client.get(RedisLocks.key(record.backend, record.session))
        if value and owner_of(value) == record.uuid:
            locks = RedisLocks(self._config.redis_url.get_secret_value(), client)
            locks.release(record.backend, record.session, value)

    def _run(self, record: Remediation) -> playbook_run.Ran:
        try:
            return playbook_run.run(self._config, record)
        except playbook_run.PlaybookTimeout:
            playbook_run.kill_tasks()
            seconds = self._config.job_timeout_seconds
            return playbook_run.Ran(1, f"The playbook did not end within {seconds} s and was stopped.", timed_out=True)

    def _end(self, client: Client, records: Remediations, record: Remediation, ran: playbook_run.Ran) -> None:
        # The callback plugin has written into it meanwhile.
        latest = records.get(record.uuid)
        if latest is None or latest.interruptions != record.interruptions:
            _log.warning("Another worker has taken it over.", extra=_about(record))
            return
        record = latest
        if ran.timed_out:
            record.outcome = "failed"
            self._free_lock(client, record)
        elif ran.code and not record.outcome and not record.refused:
            record.outcome = "failed"
        if ran.error and (ran.timed_out or not record.message):
            record.message = ran.error
        self._finish(client, records, record)

    def _finish(self, client: Client, records: Remediations, record: Remediation) -> None:
        record.finished_at = self._ended_at = self._ended_at or self._clock()
        if record.session and not record.refused:
            brakes.start_cooldown(client, record.backend, record.session, self._config.cooldown_seconds)
        if not records.finish(record):
            kept = records.get(record.uuid)
            if kept is None or kept.finished_at != self._ended_at:
                _log.warning("Somebody else has ended it.", extra=_about(record))
                return
        try:
            self._audit.write(record)
        except SessionMedicError as error:
            _log.error("%s", error, extra=_about(record))
        _log.info(
            "%s ended: %s%s",
            record.playbook,
            record.outcome or (f"refused ({record.refused})" if record.refused else "nothing to do"),
            f"; {record.message}" if record.message else "",
            extra=_about(record),
        )

    def _insist(self, call: Callable[[], _T]) -> _T:
        deadline = time.monotonic() + INSIST_SECONDS
        while True:
            try:
                return call()
            except (RedisError, SessionMedicError) as error:
                if time.monotonic() > deadline:
                    raise RedisStaysAway from None
                _log.warning("Redis does not answer (%s); trying again.", type(error).__name__)
                time.sleep(1.0)


def perform_job(config: WebhookConfig, body: dict[str, Any]) -> None:
    """The job function behind ``jobs.FUNCTION``, with the configuration that the worker holds."""
    try:
        Performer(config).perform(Remediation.from_dict(body))
    except Exception as error:
        # The text may hold anything; the place is enough for a bug report.
        _log.error("Unexpected %s in process %d.", type(error).__name__, os.getpid(), exc_info=True)


def _about(record: Remediation) -> dict[str, str]:
    return {"category": REMEDY, "session": record.session or record.backend}
