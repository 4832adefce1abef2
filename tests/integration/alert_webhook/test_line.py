"""From the alert to the record: the whole line through webhook, Redis, worker and Ansible."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sessionmedic.lock import RedisLocks
from sessionmedic.redis_client import connect
from tests.integration.alert_webhook.conftest import REDIS_PASSWORD, Line
from tests.integration.alert_webhook.stand import BACKEND, alert, until


def test_an_alert_becomes_a_repair_with_steps_record_and_audit(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    before = time.time()
    status, answer = stand.post(webhook, alert("26"))
    assert status == 202
    assert [one["result"] for one in answer["results"]] == ["accepted"]
    record = stand.ended(webhook, "26")
    assert record["uuid"] == answer["results"][0]["remediation"]
    assert (record["outcome"], record["remedy"], record["refused"]) == ("recovered", "restart", ""), record
    assert record["asked_by"] == "webhook:bearer"
    assert record["alert"]["name"] == "WhatsAppSessionCorrupted"
    assert before <= record["accepted_at"] <= record["started_at"] <= record["finished_at"] <= time.time()
    assert [(step["name"], step["outcome"]) for step in record["steps"]] == [
        ("lock", "ok"),
        ("fail when asked to", "skipped"),
        ("unlock", "ok"),
    ]
    assert all(record["started_at"] <= step["started_at"] <= record["finished_at"] for step in record["steps"])
    entries = [entry for entry in stand.audit() if entry["uuid"] == record["uuid"]]
    assert entries == [record]
    plain = (stand.logs / "auto-fix-sessions.log").read_text()
    assert re.search(
        r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] fix_session of session 26 of shop: recovered by restart in [\d.]+ s; ",
        plain,
        re.MULTILINE,
    )
    assert stand.effects().count("26 -") == 1


def test_twenty_identical_alerts_at_once_are_one_repair(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    hold = stand.steer("hold", "parallel")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: stand.post(webhook, alert("parallel")), range(20)))
    assert {status for status, _ in answers} == {202}
    results = [answer["results"][0]["result"] for _, answer in answers]
    assert sorted(results) == ["accepted"] + ["deduplicated"] * 19
    until(lambda: "parallel -" in stand.effects(), 10, "the playbook runs")
    # Also while it runs and is no longer in the queue.
    assert stand.post(webhook, alert("parallel"))[1]["results"][0]["result"] == "deduplicated"
    hold.unlink()
    stand.ended(webhook, "parallel")
    assert stand.effects().count("parallel -") == 1
    assert len([one for one in stand.remediations(webhook) if one["session"] == "parallel"]) == 1
    # Nothing of the first one stays that would refuse the next one.
    until(lambda: stand.post(webhook, alert("parallel"))[1]["results"][0]["result"] == "accepted", 5, "accepted again")
    until(lambda: stand.effects().count("parallel -") == 2, 10, "the second run")


def test_steps_are_seen_while_the_repair_runs(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    hold = stand.steer("hold", "live")
    _, answer = stand.post(webhook, alert("live"))
    path = f"/api/remediations/{answer['results'][0]['remediation']}"

    def names() -> list[str]:
        return [step["name"] for step in stand.json(webhook, "GET", path)[1]["steps"]]

    until(lambda: names() == ["lock"], 10, "the first step")
    assert stand.json(webhook, "GET", path)[1]["finished_at"] is None
    hold.unlink()
    until(lambda: names()[-1] == "unlock", 10, "the last step")


def test_a_failed_repair_is_a_result_and_the_next_one_may_come(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    fail = stand.steer("fail", "ill")
    stand.post(webhook, alert("ill"))
    record = stand.ended(webhook, "ill")
    assert record["outcome"] == "failed"
    assert record["message"].startswith("fail when asked to: The lock of session ill of shop is no longer ours")
    assert [step["outcome"] for step in record["steps"]] == ["ok", "failed", "ok"]
    fail.unlink()
    until(lambda: stand.post(webhook, alert("ill"))[1]["results"][0]["result"] == "accepted", 5, "accepted again")
    until(lambda: stand.ended(webhook, "ill")["outcome"] == "recovered", 10, "the second try")


def test_a_session_that_needs_nothing_ends_without_an_outcome(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    stand.steer("leave", "fine")
    stand.post(webhook, alert("fine"))
    record = stand.ended(webhook, "fine")
    assert (record["outcome"], record["remedy"], record["refused"]) == ("", "", "")
    assert 'session="fine"} 1.0' not in _metrics(line)


def test_a_session_that_somebody_else_repairs_is_left_to_them(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    locks = RedisLocks(stand.redis.url, stand.client)
    value = locks.acquire(BACKEND, "taken", "ana@node1")
    stand.post(webhook, alert("taken"))
    record = stand.ended(webhook, "taken")
    assert (record["outcome"], record["refused"]) == ("", "locked")
    assert "ana@node1" in record["message"]
    assert "taken -" not in stand.effects()
    locks.extend(BACKEND, "taken", value)
    assert 'whatsapp_remediations_refused_total{backend="shop",reason="locked"} 1.0' in _metrics(line)


def test_one_bad_alert_does_not_lose_the_good_ones(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    status, answer = stand.post(
        webhook,
        alert("good-1"),
        alert("../.."),
        alert("resolved-1", status="resolved"),
        alert("unlabelled", remediation=None),
        alert("elsewhere", backend="nobody"),
        alert("other", remediation="rm_rf"),
        alert(None),
        {"status": "firing"},
        "text",
        alert("good-2"),
    )
    assert status == 202
    assert [one["result"] for one in answer["results"]] == [
        "accepted",
        "invalid",
        "ignored",
        "ignored",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "accepted",
    ]
    messages = " ".join(one.get("message", "") for one in answer["results"])
    for part in ("'../..'", "resolved", "label remediation", "nobody is not known", "'rm_rf' is not allowed", "labels"):
        assert part in messages
    assert stand.ended(webhook, "good-1")["outcome"] == stand.ended(webhook, "good-2")["outcome"] == "recovered"
    assert {one["session"] for one in stand.remediations(webhook)}.isdisjoint({"resolved-1", "unlabelled", "elsewhere"})


def test_what_an_alert_says_reaches_neither_argv_nor_a_template(line: Line, tmp_path: Path) -> None:
    stand, webhook = line.stand, line.webhook
    pwned = tmp_path / "pwned"
    template = "{{ lookup('pipe','touch PWNED') }}".replace("PWNED", str(pwned))
    for hostile in (template, "26 27", "*", "", "x" * 300, f"26; touch {pwned}", f"$(touch {pwned})", "26\n27"):
        status, answer = stand.post(webhook, alert(hostile))
        assert (status, answer["results"][0]["result"]) == (400, "invalid"), hostile
        assert stand.post(webhook, alert("26", backend=hostile))[1]["results"][0]["result"] == "invalid"
        assert stand.post(webhook, alert("26", remediation=hostile or "{{"))[1]["results"][0]["result"] == "invalid"
    # Names that are allowed and look like options; and hostile text where any text is allowed.
    hold = stand.steer("hold", "argv-e")
    told = alert("argv-e", alertname=template, severity=template)
    told["fingerprint"] = template
    told["annotations"] = {"summary": template}
    assert stand.post(webhook, told)[0] == 202
    until(lambda: "argv-e -" in stand.effects(), 10, "the playbook runs")
    commands = b"\n".join(_commands(line.worker.pid))
    assert len(commands.splitlines()) >= 2
    assert b"argv-e" not in commands and b"lookup" not in commands
    hold.unlink()
    record = stand.ended(webhook, "argv-e")
    assert record["outcome"] == "recovered"
    assert record["alert"]["name"] == template[:128]
    assert not pwned.exists()


def test_repairs_run_beside_each_other_on_several_workers(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    other = stand.worker(line.worker.config)
    holds = [stand.steer("hold", session) for session in ("beside-1", "beside-2")]
    stand.post(webhook, alert("beside-1"), alert("beside-2"))
    until(lambda: {"beside-1 -", "beside-2 -"} <= set(stand.effects()), 10, "both run")
    assert "whatsapp_remediations_running 2.0" in _metrics(line)
    assert "whatsapp_remediation_workers 2.0" in _metrics(line)
    for hold in holds:
        hold.unlink()
    stand.ended(webhook, "beside-1")
    stand.ended(webhook, "beside-2")
    until(lambda: "whatsapp_remediations_running 0.0" in _metrics(line), 5, "none runs")
    other.stop()
    assert "whatsapp_remediation_workers 1.0" in _metrics(line)


def test_counters_of_a_known_session_start_at_zero(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    hold = stand.steer("hold", "counted")
    stand.post(webhook, alert("counted"))
    shown = _metrics(line)
    assert all(
        _line(shown, "whatsapp_remediations_total", session="counted", outcome=outcome, remedy=remedy) == 0.0
        for outcome in ("recovered", "failed", "gave_up", "interrupted", "dry_run")
        for remedy in ("restart", "regenerate", "restore", "recreate")
    )
    assert _line(shown, "whatsapp_remediations_refused_total", backend="shop", reason="storm") == 0.0
    labels = {"session": "", "outcome": "failed", "remedy": "restart_backend"}
    assert _line(shown, "whatsapp_remediations_total", **labels) == 0.0
    hold.unlink()
    record = stand.ended(webhook, "counted")
    shown = _metrics(line)
    labels = {"session": "counted", "outcome": "recovered", "remedy": "restart", "backend": "shop"}
    assert _line(shown, "whatsapp_remediations_total", **labels) == 1.0
    count = _line(shown, "whatsapp_remediation_duration_seconds_count", backend="shop", remedy="restart")
    assert count == _line(shown, "whatsapp_remediation_duration_seconds_bucket", remedy="restart", le="+Inf") >= 1
    assert _line(shown, "whatsapp_remediation_recovery_seconds_sum", backend="shop") >= (
        record["finished_at"] - record["alert"]["starts_at"]
    )


def test_no_secret_is_written_anywhere(line: Line) -> None:
    stand, webhook = line.stand, line.webhook
    told = alert("secretive")
    told["annotations"] = {"description": "MARKED-message-text ola tudo bem"}
    stand.post(webhook, told)
    stand.ended(webhook, "secretive")
    stand.ask(webhook, "GET", "/metrics", Authorization="Bearer MARKED-wrong-token-of-somebody")
    assert stand.ask(webhook, "POST", "/alerts", b"MARKED-broken-body", Authorization="")[0] == 401
    assert b"MARKED" not in stand.ask(webhook, "POST", "/alerts", b'{"MARKED-broken-body')[2]
    texts = {
        path: path.read_bytes()
        for path in stand.folder.rglob("*")
        if path.is_file() and path != stand.token_file and path.suffix not in (".yml", ".conf")
    }
    for key in stand.client.scan_iter():
        texts[Path(key)] = b"".join(_values(line, key))
    for page in ("/metrics", "/api/remediations", "/?lang=pt"):
        texts[Path(page)] = stand.ask(webhook, "GET", page)[2]
    assert any(b"secretive" in text for text in texts.values())
    leaks = [
        (str(path), secret)
        for path, text in texts.items()
        for secret in (stand.token, REDIS_PASSWORD, "MARKED")
        if secret.encode() in text
    ]
    assert leaks == []


def test_the_audit_log_is_for_its_owner_and_group(line: Line) -> None:
    line.stand.post(line.webhook, alert("modes"))
    line.stand.ended(line.webhook, "modes")
    for name in ("audit.jsonl", "auto-fix-sessions.log"):
        assert (line.stand.logs / name).stat().st_mode & 0o777 & ~0o640 == 0


def _metrics(line: Line) -> str:
    status, _, body = line.stand.ask(line.webhook, "GET", "/metrics")
    assert status == 200
    return body.decode()


def _line(shown: str, name: str, **labels: str) -> float:
    """The one sample of that name with these labels (and others)."""
    found = [
        float(line.rpartition(" ")[2])
        for line in shown.splitlines()
        if line.startswith(name + "{") and all(f'{label}="{value}"' in line for label, value in labels.items())
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def _commands(pid: int) -> list[bytes]:
    """Command lines of a process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.findall(r"PPid:\s+(\d+)", (path / "status").read_text())[0])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.name))
    todo, commands = [pid], []
    while todo:
        one = todo.pop()
        todo += children.get(one, [])
        try:
            commands.append(Path(f"/proc/{one}/cmdline").read_bytes())
        except OSError:
            continue
    assert os.getpid() not in children.get(pid, [])
    return commands


def _values(line: Line, key: str) -> list[bytes]:
    client = connect(line.stand.redis.url, decode=False)
    read = {
        b"string": lambda: [client.get(key)],
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: list(client.smembers(key)),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: [],
    }
    values: list[bytes] = read[client.type(key)]()
    client.close()
    return values
