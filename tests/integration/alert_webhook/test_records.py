"""Records and counters in a real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionmedic import counters
from sessionmedic.audit import Audit
from sessionmedic.errors import StateUnavailable
from sessionmedic.recorder import Recorder
from sessionmedic.redis_client import Client, connect
from sessionmedic.remediations import Alert, Remediation, Remediations, Step, refusal
from tests.services import RedisServer


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("records")) as server:
        yield server


@pytest.fixture
def client(redis: RedisServer) -> Iterator[Client]:
    client = connect(redis.url)
    client.flushall()
    yield client
    client.close()


def _record(session: str = "26", at: float = 1000.0, **more: object) -> Remediation:
    return Remediation("shop", session, "fix_session", "webhook:bearer", at, **more)  # type: ignore[arg-type] # kwargs


def test_a_record_is_read_as_it_was_written(client: Client) -> None:
    records = Remediations(client)
    record = _record(alert=Alert("WhatsAppSessionCorrupted", "f00", 990.5))
    assert records.create(record) is True
    records.start(record, 1001.0)
    steps = [Step("lock", 1001.0, 0.5, "ok"), Step("purge", 1002.0, 0.1, "changed", "3 records removed, 5 left")]
    for step in steps:
        records.add_step(record.uuid, step)
    record.outcome, record.remedy, record.finished_at = "recovered", "regenerate", 1010.0
    assert records.running() == 1
    assert records.finish(record) is True
    found = records.get(record.uuid)
    assert found is not None
    assert found.steps == steps
    assert {**found.as_dict(), "steps": []} == record.as_dict()
    assert records.running() == 0 and records.open() == []
    assert records.get("00000000-0000-0000-0000-000000000000") is None


def test_a_record_is_made_once_and_ended_and_counted_once(client: Client) -> None:
    records = Remediations(client)
    record = _record(alert=Alert("x", "f00", 990.0))
    assert records.create(record)
    records.start(record, 1001.0)
    assert not records.create(record)
    record.outcome, record.remedy, record.finished_at = "recovered", "restart", 1010.0
    assert records.finish(record)
    record.outcome = "failed"
    assert not records.finish(record)
    assert not records.update(record)
    found = records.get(record.uuid)
    assert found is not None and found.outcome == "recovered"
    read = counters.read(client)
    assert list(read["whatsapp_remediations_total"].values()) == [1.0]
    assert list(read["whatsapp_remediation_duration_seconds_sum"].values()) == [9.0]
    assert list(read["whatsapp_remediation_recovery_seconds_sum"].values()) == [20.0]
    bounds = {dict(labels)["le"] for labels in read["whatsapp_remediation_duration_seconds_bucket"]}
    assert bounds == {"10.0", "20.0", "30.0", "60.0", "120.0", "300.0", "600.0", "900.0", "+Inf"}


def test_who_was_replaced_changes_nothing_any_more(client: Client) -> None:
    records = Remediations(client)
    first = _record()
    records.create(first)
    records.start(first, 1001.0)
    second = records.get(first.uuid)
    assert second is not None
    assert records.take_over(second) is True
    assert second.interruptions == 1 and second.started_at is None
    records.start(second, 1100.0)
    first.outcome, first.finished_at = "failed", 1101.0
    assert not records.update(first)
    assert not records.take_over(first)
    # take_over() counted it up in the object that lost.
    first.interruptions = 0
    assert not records.finish(first)
    second.outcome, second.finished_at = "recovered", 1110.0
    assert records.finish(second)
    found = records.get(first.uuid)
    assert found is not None and (found.outcome, found.interruptions) == ("recovered", 1)


def test_the_newest_come_first_and_the_oldest_go_first(client: Client) -> None:
    records = Remediations(client, keep=3)
    made = [_record(f"s{number}", 1000.0 + number) for number in range(6)]
    for record in made:
        records.create(record)
        if record is not made[0]:
            record.finished_at = record.accepted_at + 1
            records.finish(record)
    # One that has no end is kept, however old.
    assert [one.session for one in records.newest(10)] == ["s5", "s4", "s3", "s0"]
    assert [one.session for one in records.newest(2)] == ["s5", "s4"]
    assert records.newest(0) == []
    assert sorted(key for key in client.scan_iter(match="sessionmedic:remediation:*") if "steps" not in key) == sorted(
        f"sessionmedic:remediation:{made[number].uuid}" for number in (0, 3, 4, 5)
    )
    # What was ever seen stays known, so that its counters do not vanish.
    assert records.known_sessions(["shop", "other"]) == {"shop": {f"s{n}" for n in range(6)}, "other": set()}


def test_a_refused_repair_counts_as_refused_and_as_nothing_else(client: Client) -> None:
    records = Remediations(client)
    record = _record(refused="locked", finished_at=1001.0)
    records.create(record)
    records.finish(record)
    assert set(counters.read(client)) == {"whatsapp_remediations_refused_total"}


def test_counters_add_up_over_processes_and_survive_foreign_fields(redis: RedisServer, client: Client) -> None:
    counters.add(client, [refusal("shop", "storm")])
    other = connect(redis.url)
    counters.add(other, [refusal("shop", "storm")])
    other.close()
    client.hset(counters.KEY, "not json", "1")
    client.hset(counters.KEY, '["x", 5]', "1")
    client.hset(counters.KEY, '["x", {}]', "many")
    labels = (("backend", "shop"), ("reason", "storm"))
    assert counters.read(client) == {"whatsapp_remediations_refused_total": {labels: 2.0}}


def test_sessions_that_a_playbook_judges_are_counted_whoever_runs_it(
    redis: RedisServer, client: Client, tmp_path: Path
) -> None:
    recorder = Recorder(redis.url, Audit(tmp_path), "check_sessions", "hand:x")
    arguments = {"invocation": {"module_args": {"backend_name": "shop"}}}
    action = "sessionmedic.whatsapp.session_health"
    for result in (
        {"remedies": [], "state": "stuck"},
        {"verified": True},
        {"results": [{**arguments, "sessions": [1, 2]}]},
    ):
        recorder.record("h", action, Step("health", 1.0, 0.1, "ok"), {**arguments, **result}, 2.0)
    assert counters.read(client) == {"whatsapp_sessions_checked_total": {(("backend", "shop"),): 3.0}}
    assert Remediations(client).newest() == []


def test_steps_that_redis_did_not_take_come_later_and_in_order(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        client = connect(server.url)
        records = Remediations(client)
        record = _record()
        records.create(record)
        records.start(record, time.time())
        recorder = Recorder(server.url, Audit(tmp_path / "logs"), "fix_session", "hand:x", record.uuid)
        action = "sessionmedic.whatsapp.session_info"

        def step(name: str) -> None:
            recorder.record("localhost", action, Step(name, time.time(), 0.1, "ok"), {}, time.time())

        step("one")
        server.stop()
        for name in ("two", "three"):
            with pytest.raises(StateUnavailable):
                step(name)
        server.start()
        step("four")
        found = records.get(record.uuid)
        assert found is not None
        assert [one.name for one in found.steps] == ["one", "two", "three", "four"]
        client.close()
