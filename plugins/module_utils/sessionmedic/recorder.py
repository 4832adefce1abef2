"""Write the record of a repair while its playbook runs: of the one that was asked for, or, by hand, of each session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import task_results
from .audit import Audit
from .counters import add, increment
from .errors import InvalidName
from .names import check_name
from .redis_client import answering, connect
from .remediations import Remediation, Remediations, Step


class Recorder:
    """Steps of one run of a playbook.

    What Redis does not take at once is kept and written with the next step: a short absence loses nothing.

    :param asked_by: who runs it by hand. :param remediation_id: of the record that exists already; empty by hand.
    """

    def __init__(self, redis_url: str, audit: Audit, playbook: str, asked_by: str, remediation_id: str = "") -> None:
        self._url = redis_url
        self._audit = audit
        self._playbook = playbook
        self._asked_by = asked_by
        self._client = connect(redis_url)
        self._records = Remediations(self._client)
        self._given_id = remediation_id
        self._given: Remediation | None = None
        # By hand a play has one host a session.
        self._by_host: dict[str, Remediation] = {}
        self._locked: set[str] = set()
        self._without_redis: set[str] = set()
        self._unwritten: list[Callable[[], object]] = []

    def record(self, host: str, action: str, step: Step, result: Mapping[str, Any], now: float) -> None:
        """Note a task that has ended.

        :param action: full name. :param result: of the task, secrets removed; empty when it was skipped.
        :raises StateUnavailable: Redis could not be written, or a by-hand audit entry could not.
        """
        failed = step.outcome == "failed"
        self._count(action, result)
        if self._given_id:
            record = self._asked_for()
        else:
            record = self._made_by_hand(host, action, failed, result, step.started_at)
        if record is None:
            self._write()
            return
        record.steps.append(step)
        self._later(record, lambda: self._records.add_step(record.uuid, step))
        if task_results.note(record, action, step.name, failed, result, record.uuid in self._locked):
            body = Remediation.from_dict(record.as_dict())
            self._later(record, lambda: self._records.update(body))
        if not failed and task_results.is_acquisition(action, result):
            self._locked.add(record.uuid)
        if not failed and not self._given_id and task_results.is_release(action, result):
            self._finish(host, now)
        self._write()

    def close(self, now: float) -> None:
        """The playbook has ended: what was begun by hand and has no end yet, ends."""
        for host in list(self._by_host):
            record = self._by_host[host]
            if not record.refused and not record.outcome:
                record.outcome = "failed"
            self._finish(host, now)
        self._write()

    def _count(self, action: str, result: Mapping[str, Any]) -> None:
        checked = task_results.sessions_checked(action, result)
        counted = [
            increment("whatsapp_sessions_checked_total", {"backend": backend}, number)
            for backend, number in checked.items()
        ]
        if counted:
            self._unwritten.append(lambda: add(self._client, counted))

    def _asked_for(self) -> Remediation | None:
        if self._given is None:
            with answering(self._url):
                self._given = self._records.get(self._given_id)
        return self._given

    def _made_by_hand(
        self, host: str, action: str, failed: bool, result: Mapping[str, Any], at: float
    ) -> Remediation | None:
        if host in self._by_host or not action.endswith(".session_lock") or task_results.is_release(action, result):
            return self._by_host.get(host)
        arguments = (result.get("invocation") or {}).get("module_args") or {}
        try:
            backend = check_name(result.get("backend_name") or arguments.get("backend_name"))
            session = check_name(result.get("session") or arguments.get("session"))
        except InvalidName:
            return None
        record = Remediation(backend, session, self._playbook, self._asked_by, accepted_at=at, started_at=at)
        self._by_host[host] = record
        if arguments.get("lock_store") == "local":
            self._without_redis.add(record.uuid)
        body = Remediation.from_dict(record.as_dict())
        self._later(record, lambda: self._records.create(body))
        if not failed:
            self._later(record, lambda: self._records.start(body, at))
        return record

    def _finish(self, host: str, now: float) -> None:
        record = self._by_host.pop(host)
        record.finished_at = now
        self._later(record, lambda: self._records.finish(record))
        self._audit.write(record)

    def _later(self, record: Remediation, call: Callable[[], object]) -> None:
        if record.uuid not in self._without_redis:
            self._unwritten.append(call)

    def _write(self) -> None:
        with answering(self._url):
            while self._unwritten:
                self._unwritten[0]()
                self._unwritten.pop(0)
