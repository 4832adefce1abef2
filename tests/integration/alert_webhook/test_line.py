"""From the alert to the record: the whole line through webhook, Redis, worker and Ansible."""

from __future__ import annotations

from tests.integration.alert_webhook.stand import Stand, alert


def test_an_alert_becomes_a_repair_with_steps_record_and_audit(stand: Stand) -> None:
    config = stand.configure()
    webhook = stand.webhook(config)
    stand.worker(config)
    status, answer = stand.post(webhook, alert("26"))
    assert status == 202
    assert [one["result"] for one in answer["results"]] == ["accepted"]
    record = stand.ended(webhook, "26")
    assert record["uuid"] == answer["results"][0]["remediation"]
    assert record["outcome"] == "recovered", record
    assert record["remedy"] == "restart"
    assert [(step["name"], step["outcome"]) for step in record["steps"]] == [
        ("lock", "ok"),
        ("fail when asked to", "skipped"),
        ("unlock", "ok"),
    ]
    assert stand.effects() == ["26 -"]
