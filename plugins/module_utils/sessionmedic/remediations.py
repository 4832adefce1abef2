"""What became of each repair: its record in Redis, written while it happens, and the counters made of it.

Keys: ``sessionmedic:remediation:<uuid>`` (hash: ``record`` JSON, ``try``, ``finished``), ``...:steps`` (list of JSON),
``sessionmedic:remediations`` (uuid by accepted_at), ``sessionmedic:remediations:open`` (those without an end),
``sessionmedic:remediations:running`` (set), ``sessionmedic:known:<backend>`` (sessions that ever had one).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .counters import KEY as COUNTERS_KEY
from .counters import Increment, histogram, increment
from .redis_client import Client
from .service_log import one_line, redact

OUTCOMES = ("recovered", "failed", "gave_up", "interrupted", "dry_run")
SESSION_REMEDIES = ("restart", "regenerate", "restore", "recreate")
BACKEND_REMEDIES = ("restart_backend", "collect_garbage")
REMEDIES = (*SESSION_REMEDIES, *BACKEND_REMEDIES)
STEP_OUTCOMES = ("ok", "changed", "failed", "skipped")
BY_HAND = "hand:"

INDEX_KEY = "sessionmedic:remediations"
OPEN_KEY = "sessionmedic:remediations:open"
RUNNING_KEY = "sessionmedic:remediations:running"
KEEP = 2000
_MESSAGE_LENGTH = 300

DURATION_BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
RECOVERY_BUCKETS = (10.0, 20.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True)
class Step:
    """One finished step. ``started_at`` is epoch seconds, ``message`` one line without secrets."""

    name: str
    started_at: float
    seconds: float
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Alert:
    """The alert that asked; ``starts_at`` is epoch seconds."""

    name: str
    fingerprint: str
    starts_at: float


@dataclass
class Remediation:
    """One repair, from the moment it was accepted. Times are epoch seconds, None while they have not come.

    ``outcome`` is one of OUTCOMES, or empty: while it runs, when nothing had to be done, and when it was refused, whose
    reason (one of brakes.REASONS) then stands in ``refused``. ``session`` is empty for a remedy of a whole backend.
    """

    backend: str
    session: str
    playbook: str
    asked_by: str
    accepted_at: float
    alert: Alert | None = None
    started_at: float | None = None
    finished_at: float | None = None
    outcome: str = ""
    refused: str = ""
    remedy: str = ""
    backup: str = ""
    message: str = ""
    interruptions: int = 0
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    steps: list[Step] = field(default_factory=list)

    @property
    def by_hand(self) -> bool:
        return self.asked_by.startswith(BY_HAND)

    @property
    def seconds(self) -> float | None:
        """How long it ran, or None."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Remediation:
        """The reverse of as_dict(); keys of a newer version are left out."""
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in given.items() if key in known}
        if values.get("alert"):
            values["alert"] = Alert(**values["alert"])
        values["steps"] = [Step(**step) for step in values.get("steps") or ()]
        return cls(**values)


def tidy(text: str) -> str:
    """Text that may stand in a record: one line of at most 300 characters, without secrets."""
    return one_line(redact(text), _MESSAGE_LENGTH)


# A record is made once, also when webhook and worker both try, and finished once, so that nothing is counted twice.
# Who was cut off and replaced is still writing with the number of an earlier try, and changes nothing any more.
_CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'try', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
if ARGV[4] ~= '' then redis.call('SADD', KEYS[4], ARGV[4]) end
return 1
"""
_IS_OURS = """
if redis.call('HGET', KEYS[1], 'try') ~= ARGV[2] or redis.call('HGET', KEYS[1], 'finished') then return 0 end
"""
_UPDATE = f"""{_IS_OURS}
redis.call('HSET', KEYS[1], 'record', ARGV[1])
return 1
"""
_TAKE_OVER = f"""{_IS_OURS}
redis.call('HSET', KEYS[1], 'record', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'try', 1)
return 1
"""
_FINISH = f"""{_IS_OURS}
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'finished', '1')
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('SREM', KEYS[3], ARGV[3])
for i = 4, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[4], ARGV[i], ARGV[i + 1]) end
return 1
"""


def _key(record_id: str) -> str:
    return f"sessionmedic:remediation:{record_id}"


def _steps_key(record_id: str) -> str:
    return f"{_key(record_id)}:steps"


def _body(record: Remediation) -> str:
    return json.dumps({**record.as_dict(), "steps": []})


def _known_key(backend: str) -> str:
    return f"sessionmedic:known:{backend}"


class Remediations:
    """The records in Redis; redis' own errors come through.

    :param client: answers are text (``decode_responses``).
    :param keep: how many finished records are kept.
    """

    def __init__(self, client: Client, keep: int = KEEP) -> None:
        self._client = client
        self._keep = keep

    def create(self, record: Remediation) -> bool:
        """Keep a new record; False when there is one of this uuid, which is left as it is."""
        made = self._client.eval(
            _CREATE,
            4,
            _key(record.uuid),
            INDEX_KEY,
            OPEN_KEY,
            _known_key(record.backend),
            _body(record),
            record.uuid,
            repr(record.accepted_at),
            record.session,
            str(record.interruptions),
        )
        if made:
            self._forget_oldest()
        return bool(made)

    def get(self, record_id: str) -> Remediation | None:
        """The record with its steps so far, or None."""
        found = self._read([record_id])
        return found[0] if found else None

    def newest(self, limit: int = 50, steps: bool = True) -> list[Remediation]:
        """The newest ``limit`` records, newest first."""
        return self._read(self._client.zrevrange(INDEX_KEY, 0, limit - 1), steps) if limit > 0 else []

    def _read(self, ids: Sequence[str], steps: bool = True) -> list[Remediation]:
        pipeline = self._client.pipeline(transaction=False)
        for record_id in ids:
            pipeline.hget(_key(record_id), "record")
            if steps:
                pipeline.lrange(_steps_key(record_id), 0, -1)
        answers = iter(pipeline.execute())
        records = []
        for _ in ids:
            body, taken = next(answers), next(answers) if steps else []
            if body is not None:
                record = Remediation.from_dict(json.loads(body))
                record.steps = [Step(**json.loads(step)) for step in taken]
                records.append(record)
        return records

    def start(self, record: Remediation, at: float) -> bool:
        """Note that somebody works on it; see update()."""
        record.started_at = at
        self._client.sadd(RUNNING_KEY, record.uuid)
        return self.update(record)

    def update(self, record: Remediation) -> bool:
        """Keep what changed before the end; steps are kept by add_step() alone.

        False, and nothing is changed, when it has ended or somebody else has taken it over meanwhile.
        """
        return bool(self._client.eval(_UPDATE, 1, _key(record.uuid), _body(record), str(record.interruptions)))

    def take_over(self, record: Remediation) -> bool:
        """Begin it anew, because whoever worked on it is gone; ``record`` counts the interruption. See update()."""
        before = str(record.interruptions)
        record.interruptions += 1
        record.started_at = None
        record.outcome = record.refused = record.remedy = record.message = ""
        return bool(self._client.eval(_TAKE_OVER, 1, _key(record.uuid), _body(record), before))

    def add_step(self, record_id: str, step: Step) -> None:
        """Keep a step that has just ended."""
        self._client.rpush(_steps_key(record_id), json.dumps(asdict(step)))

    def finish(self, record: Remediation) -> bool:
        """Keep the end of it and count it. False, and nothing is changed or counted: see update()."""
        arguments = [str(part) for counted in counted_by(record) for part in (counted.field, counted.amount)]
        return bool(
            self._client.eval(
                _FINISH,
                4,
                _key(record.uuid),
                OPEN_KEY,
                RUNNING_KEY,
                COUNTERS_KEY,
                _body(record),
                str(record.interruptions),
                record.uuid,
                *arguments,
            )
        )

    def discard(self, record_id: str) -> None:
        """Remove a record as if it had never been."""
        self._remove([record_id])

    def open(self) -> list[Remediation]:
        """Those without an end, oldest first."""
        return self._read(self._client.zrange(OPEN_KEY, 0, -1))

    def running(self) -> int:
        """How many are being worked on."""
        return int(self._client.scard(RUNNING_KEY))

    def known_sessions(self, backends: Sequence[str]) -> dict[str, set[str]]:
        """Backend to the sessions that ever had a record."""
        pipeline = self._client.pipeline(transaction=False)
        for backend in backends:
            pipeline.smembers(_known_key(backend))
        return dict(zip(backends, pipeline.execute()))

    def _forget_oldest(self) -> None:
        old = self._client.zrange(INDEX_KEY, 0, -(self._keep + 1))
        if old:
            still_open = set(self._client.zrange(OPEN_KEY, 0, -1))
            self._remove([record_id for record_id in old if record_id not in still_open])

    def _remove(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        pipeline = self._client.pipeline()
        for record_id in ids:
            pipeline.delete(_key(record_id), _steps_key(record_id))
        pipeline.zrem(INDEX_KEY, *ids)
        pipeline.zrem(OPEN_KEY, *ids)
        pipeline.srem(RUNNING_KEY, *ids)
        pipeline.execute()


def counted_by(record: Remediation) -> list[Increment]:
    """What the end of ``record`` adds to the counters."""
    counted = []
    if record.by_hand and (record.outcome or record.refused):
        counted.append(increment("whatsapp_manual_interventions_total", {"backend": record.backend}))
    if record.refused:
        counted.append(refusal(record.backend, record.refused))
    if not record.outcome:
        return counted
    labels = {"backend": record.backend, "session": record.session, "remedy": record.remedy, "outcome": record.outcome}
    counted.append(increment("whatsapp_remediations_total", labels))
    if record.seconds is not None:
        of_remedy = {"backend": record.backend, "remedy": record.remedy}
        counted += histogram("whatsapp_remediation_duration_seconds", of_remedy, DURATION_BUCKETS, record.seconds)
    if record.outcome == "recovered" and record.alert is not None and record.finished_at is not None:
        seconds = max(0.0, record.finished_at - record.alert.starts_at)
        of_backend = {"backend": record.backend}
        counted += histogram("whatsapp_remediation_recovery_seconds", of_backend, RECOVERY_BUCKETS, seconds)
    return counted


def interruption(record: Remediation) -> list[Increment]:
    """A try of ``record`` that ended with its worker; another follows."""
    labels = {"backend": record.backend, "session": record.session, "remedy": record.remedy}
    return [increment("whatsapp_remediations_total", {**labels, "outcome": "interrupted"})]


def refusal(backend: str, reason: str) -> Increment:
    """A repair that was not done, for one of brakes.REASONS."""
    return increment("whatsapp_remediations_refused_total", {"backend": backend, "reason": reason})
