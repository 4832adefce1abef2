"""Whether a demand becomes a job: the brakes that are tried before anything is queued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rq import Queue

from sessionmedic import brakes, counters
from sessionmedic.errors import SessionMedicError
from sessionmedic.redis_client import Client
from sessionmedic.remediations import Remediation, Remediations, refusal

from . import alerts, jobs
from .backends import BackendNames
from .config import WebhookConfig

ACCEPTED = "accepted"
DEDUPLICATED = "deduplicated"
REFUSED = "refused"
IGNORED = "ignored"
INVALID = "invalid"


@dataclass(frozen=True)
class Result:
    """What became of one alert. ``reason`` is one of brakes.REASONS when it was refused."""

    result: str
    fingerprint: str
    backend: str = ""
    session: str = ""
    remediation: str = ""
    reason: str = ""
    message: str = ""

    def as_dict(self) -> dict[str, str]:
        """Without what is empty."""
        return {key: value for key, value in vars(self).items() if value}


class Policy:
    """Takes alerts one by one; redis' own errors come through, and then the alert is not accepted.

    :param client: answers are text. :param queue: its client's answers are bytes. :param clock: epoch seconds.
    """

    def __init__(
        self, config: WebhookConfig, client: Client, queue: Queue, backends: BackendNames, clock: Callable[[], float]
    ) -> None:
        self._config = config
        self._client = client
        self._queue = queue
        self._backends = backends
        self._clock = clock
        self._records = Remediations(client, config.keep_remediations)

    def take(self, raw: Any, asked_by: str) -> Result:
        """One alert of a payload, from what was sent to what was done."""
        fingerprint = alerts.fingerprint_of(raw)
        try:
            wanted = alerts.demand(raw, self._config.allowed_playbooks)
        except SessionMedicError as error:
            return Result(INVALID, fingerprint, message=str(error))
        if isinstance(wanted, str):
            return Result(IGNORED, fingerprint, message=wanted)
        if wanted.backend not in self._backends:
            return Result(
                INVALID, fingerprint, message=f"The backend {wanted.backend} is not known. Add it to the inventory."
            )
        return self._accept(wanted, asked_by)

    def _accept(self, wanted: alerts.Demand, asked_by: str) -> Result:
        record = Remediation(
            backend=wanted.backend,
            session=wanted.session,
            playbook=wanted.playbook,
            asked_by=asked_by,
            accepted_at=self._clock(),
            alert=wanted.alert,
        )
        if jobs.is_waiting_or_running(self._queue, record):
            return self._duplicate(record)
        refused = self._refused(wanted)
        if refused is not None:
            reason, message = refused
            counters.add(self._client, [refusal(wanted.backend, reason)])
            return self._result(REFUSED, record, reason=reason, message=message)
        # The job first: it carries the record, so whichever of the two writes is lost, nothing is promised that is
        # not done, and nothing is shown that never comes.
        if not jobs.enqueue(self._queue, record, self._config.job_timeout_seconds):
            return self._duplicate(record)
        self._records.create(record)
        return self._result(ACCEPTED, record, remediation=record.uuid)

    def _refused(self, wanted: alerts.Demand) -> tuple[str, str] | None:
        switch = brakes.paused(self._client)
        if switch is not None:
            return "paused", f"Repairs are paused by {switch.by}."
        if wanted.session:
            left = brakes.cooldown_left(self._client, wanted.backend, wanted.session)
            if left > 0:
                return "cooldown", f"It was repaired just now; the next repair may start in {left:.0f} s."
        return None

    def _duplicate(self, record: Remediation) -> Result:
        return self._result(DEDUPLICATED, record, message="A repair of it is waiting or running.")

    @staticmethod
    def _result(result: str, record: Remediation, **more: str) -> Result:
        assert record.alert is not None
        return Result(result, record.alert.fingerprint, record.backend, record.session, **more)
