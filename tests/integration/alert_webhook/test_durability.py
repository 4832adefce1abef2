"""What was promised is kept when Redis or a worker goes away."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from alert_webhook.jobs import job_id
from sessionmedic import brakes
from sessionmedic.remediations import Remediation, Remediations
from tests.integration.alert_webhook.stand import BACKEND, Stand, Webhook, alert, until


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _counted(stand: Stand, webhook: Webhook, session: str, outcome: str) -> float:
    shown = stand.ask(webhook, "GET", "/metrics")[2].decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in shown.splitlines()
        if line.startswith("whatsapp_remediations_total{")
        and f'session="{session}"' in line
        and f'outcome="{outcome}"' in line
    )


def test_without_redis_alertmanager_is_told_to_try_again_and_then_nothing_is_lost(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    worker = stand.worker(config)
    assert stand.post(webhook, alert("before"))[0] == 202
    stand.ended(webhook, "before")
    stand.redis.stop()
    status, headers, body = stand.ask(webhook, "POST", "/alerts", b'{"version": "4", "alerts": [{}]}')
    assert status == 400
    status, answer = stand.post(webhook, alert("during"))
    assert (status, answer) == (503, {"error": "Redis cannot be used; send it again later."})
    assert webhook.request("GET", "/-/ready")[0] == 503
    assert webhook.request("GET", "/-/healthy")[0] == 200
    shown = stand.ask(webhook, "GET", "/metrics")
    assert shown[0] == 200
    assert b"alert_webhook_redis_up 0.0" in shown[2] and b"whatsapp_remediation_workers" not in shown[2]
    stand.redis.start()
    until(lambda: stand.post(webhook, alert("during"))[0] == 202, 10, "accepted after Redis is back")
    # The worker has waited for it, too.
    assert stand.ended(webhook, "during")["outcome"] == "recovered"
    assert stand.ended(webhook, "before")["outcome"] == "recovered"
    assert stand.effects() == ["before -", "during -"]
    until(lambda: webhook.request("GET", "/-/ready")[0] == 200, 10, "ready again")
    os.kill(worker.pid, 0)


def test_jobs_survive_the_death_of_their_worker_and_end_once(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    first = stand.worker(config)
    hold = stand.steer("hold", "26")
    queued = ["27", "28", "29"]
    stand.post(webhook, alert("26"), *(alert(session) for session in queued))
    until(lambda: stand.effects() == ["26 -"], 10, "the playbook runs")
    forks = _children(first.pid)
    assert len(forks) == 1
    first.kill()
    until(lambda: not Path(f"/proc/{forks[0]}").exists(), 5, "the fork dies with its worker")
    until(lambda: webhook.request("GET", "/-/ready") == (503, b"no worker\n"), 10, "the dead worker is missed")
    stand.worker(config)
    # The lock was left behind and is its own.
    until(lambda: stand.effects().count("26 -") == 2, 30, "another worker takes the job up")
    hold.unlink()
    record = stand.ended(webhook, "26")
    assert (record["outcome"], record["interruptions"]) == ("recovered", 1), record
    assert [step["name"] for step in record["steps"]][:3] == ["lock", "interrupted", "lock"]
    assert record["steps"][1]["outcome"] == "failed"
    for session in queued:
        assert stand.ended(webhook, session)["outcome"] == "recovered"
    assert sorted(entry["session"] for entry in stand.audit()) == ["26", *queued]
    assert _counted(stand, webhook, "26", "interrupted") == _counted(stand, webhook, "26", "recovered") == 1
    # Nothing is left that would run any once more.
    until(lambda: stand.client.keys("rq:job:*") == stand.client.keys("rq:wip:*") == [], 5, "no job is left")
    assert sorted(stand.effects()) == ["26 -", "26 -", "27 -", "28 -", "29 -"]


def test_a_stop_lets_the_running_job_end(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    worker = stand.worker(config)
    hold = stand.steer("hold", "26")
    stand.post(webhook, alert("26"), alert("27"))
    until(lambda: stand.effects() == ["26 -"], 10, "the playbook runs")
    os.kill(worker.pid, signal.SIGTERM)
    until(lambda: "Stopping after the running job" in worker.log_tail(), 5, "it has heard")
    hold.unlink()
    assert stand.ended(webhook, "26")["outcome"] == "recovered"
    until(lambda: "Stopped." in worker.log_tail(), 5, "it ends")
    # And takes no other.
    assert stand.effects() == ["26 -"]
    until(lambda: webhook.request("GET", "/-/ready")[0] == 503, 5, "it is gone from the list")


def test_a_stop_does_not_wait_for_ever(stand: Stand) -> None:
    config = stand.configure(stop_seconds=1)
    webhook = stand.webhook(config)
    worker = stand.worker(config)
    hold = stand.steer("hold", "26")
    stand.post(webhook, alert("26"))
    until(lambda: stand.effects() == ["26 -"], 10, "the playbook runs")
    os.kill(worker.pid, signal.SIGTERM)
    until(lambda: "Stopped." in worker.log_tail(), 10, "it ends")
    assert "another worker will begin it again" in worker.log_tail()
    hold.unlink()
    stand.worker(config)
    record = stand.ended(webhook, "26")
    assert (record["outcome"], record["interruptions"]) == ("recovered", 1)


def test_a_playbook_that_never_ends_is_stopped_and_frees_its_session(stand: Stand) -> None:
    config = stand.configure(job_timeout_seconds=3)
    webhook = stand.webhook(config)
    stand.worker(config)
    hold = stand.steer("hold", "26")
    stand.post(webhook, alert("26"))
    record = stand.ended(webhook, "26")
    assert (record["outcome"], record["message"]) == (
        "failed",
        "The playbook did not end within 3 s and was stopped.",
    )
    assert stand.client.get(f"sessionmedic:lock:{BACKEND}:26") is None
    hold.unlink()
    until(lambda: stand.post(webhook, alert("26"))[1]["results"][0]["result"] == "accepted", 5, "accepted again")
    until(lambda: stand.ended(webhook, "26")["outcome"] == "recovered", 10, "the next try")


def test_a_restart_of_redis_in_the_middle_of_a_repair_loses_nothing(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    stand.worker(config)
    hold = stand.steer("hold", "26")
    stand.post(webhook, alert("26"))
    until(lambda: stand.effects() == ["26 -"], 10, "the playbook runs")
    stand.redis.kill()
    time.sleep(2.5)
    stand.redis.start()
    hold.unlink()
    record = stand.ended(webhook, "26", 30)
    assert (record["outcome"], record["interruptions"]) == ("recovered", 0)
    assert stand.effects() == ["26 -"]
    assert [step["name"] for step in record["steps"]] == ["lock", "fail when asked to", "unlock"]


def test_what_was_queued_before_a_pause_is_not_run(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    stand.post(webhook, alert("26"))
    stand.json(webhook, "POST", "/api/pause", {"reason": "x"})
    stand.worker(config)
    record = stand.ended(webhook, "26")
    assert (record["outcome"], record["refused"]) == ("", "paused")
    assert stand.effects() == []
    assert [entry["refused"] for entry in stand.audit()] == ["paused"]
    stand.json(webhook, "POST", "/api/resume")
    until(lambda: stand.post(webhook, alert("26"))[1]["results"][0]["result"] == "accepted", 5, "accepted again")
    until(lambda: stand.effects() == ["26 -"], 10, "it runs now")


def test_after_a_repair_the_session_is_left_alone_for_the_cooldown(stand: Stand) -> None:
    config = stand.configure(cooldown_seconds=60)
    webhook = stand.webhook(config)
    stand.worker(config)
    stand.post(webhook, alert("26"))
    stand.ended(webhook, "26")
    until(lambda: stand.client.keys("rq:job:*") == [], 5, "the job to be gone")
    answer = stand.post(webhook, alert("26"))[1]["results"][0]
    assert (answer["result"], answer["reason"]) == ("refused", "cooldown")
    assert 50 < brakes.cooldown_left(stand.client, BACKEND, "26") <= 60


def test_a_playbook_that_cannot_run_fails_and_says_why(stand: Stand) -> None:
    config = stand.configure(allowed_playbooks=["fix_session", "broken"])
    webhook = stand.webhook(config)
    stand.worker(config)
    stand.post(webhook, alert("26", remediation="broken"))
    record = stand.ended(webhook, "26")
    assert record["outcome"] == "failed"
    assert "no_such_module_anywhere" in record["message"]
    assert "\n" not in record["message"]


def test_a_backend_wide_remedy_needs_no_session_and_has_its_own_key(stand: Stand) -> None:
    config = stand.configure(allowed_playbooks=["fix_session", "broken"])
    webhook = stand.webhook(config)
    results = stand.post(webhook, alert(None, remediation="broken"), alert(None, remediation="broken"), alert("26"))
    assert [one["result"] for one in results[1]["results"]] == ["accepted", "deduplicated", "accepted"]


def test_a_record_whose_job_is_gone_is_ended_by_the_sweep(stand: Stand) -> None:
    config = stand.configure()
    records = Remediations(stand.client)
    lost = Remediation(BACKEND, "lost", "fix_session", "webhook:bearer", accepted_at=time.time() - 500)
    fresh = Remediation(BACKEND, "fresh", "fix_session", "webhook:bearer", accepted_at=time.time() + 60)
    by_hand = Remediation(BACKEND, "hand", "fix_session", "hand:ana", accepted_at=time.time() - 500)
    silent = Remediation(BACKEND, "silent", "fix_session", "hand:ana", accepted_at=time.time() - 5000)
    for record in (lost, fresh, by_hand, silent):
        records.create(record)
    webhook = stand.webhook(config)
    stand.worker(config)
    for session in ("lost", "silent"):
        assert stand.ended(webhook, session)["outcome"] == "interrupted"
    assert {record.session for record in records.open()} == {"fresh", "hand"}
    assert _counted(stand, webhook, "lost", "interrupted") == 1


def test_a_job_that_kills_its_workers_is_given_up(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    worker = stand.worker(config)
    stand.steer("hold", "poison")
    stand.post(webhook, alert("poison"))
    until(lambda: stand.effects() == ["poison -"], 10, "the playbook runs")
    # As after two dead workers.
    stand.client.hset(f"rq:job:{job_id(BACKEND, 'poison', 'fix_session')}", "retries_left", 0)
    worker.kill()
    stand.worker(config)
    record = stand.ended(webhook, "poison")
    assert (record["outcome"], stand.effects()) == ("interrupted", ["poison -"])
    assert _counted(stand, webhook, "poison", "interrupted") == 1
    assert [entry["outcome"] for entry in stand.audit()] == ["interrupted"]
    # And its session may be repaired again.
    assert stand.post(webhook, alert("poison"))[1]["results"][0]["result"] == "accepted"
