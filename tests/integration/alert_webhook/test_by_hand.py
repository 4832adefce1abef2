"""Repairs run by hand leave the same record, by the callback plugin alone."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from sessionmedic.lock import RedisLocks
from sessionmedic.remediations import Remediation, Remediations
from tests.integration.alert_webhook.conftest import REDIS_PASSWORD, Line
from tests.integration.alert_webhook.stand import BACKEND, PLAYBOOKS
from tests.playbooks import Ansible, Run

CALLBACK = "sessionmedic.whatsapp.remediation"


def _play(line: Line, folder: Path, session: str, *arguments: str, environ: Any = None, **variables: Any) -> Run:
    ansible = Ansible(
        folder,
        None,
        {
            "ANSIBLE_CONFIG": str(PLAYBOOKS.parents[3] / "ansible.cfg"),
            "ANSIBLE_CALLBACKS_ENABLED": CALLBACK,
            "ANSIBLE_INVENTORY": str(_inventory(folder)),
            "REDIS_URL": line.stand.redis.url,
            "SESSIONMEDIC_LOG_PATH": str(folder / "logs"),
            **(environ or {}),
        },
    )
    given = {"id": session, "backend": BACKEND, "remediation_id": "ana@here", "steering": str(line.stand.steering)}
    given["redis_url"] = line.stand.redis.url
    return ansible.run(str(PLAYBOOKS / "fix_session.yml"), *arguments, **{**given, **variables})


def _inventory(folder: Path) -> Path:
    path = folder / "hosts"
    path.write_text("localhost ansible_connection=local\n")
    return path


def _record(line: Line, session: str) -> Remediation:
    return next(one for one in Remediations(line.stand.client).newest() if one.session == session)


def test_a_repair_by_hand_is_recorded_and_audited(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _play(line, tmp_path, "hand-1")
    assert run.rc == 0, run.output
    record = _record(line, "hand-1")
    assert record.asked_by == f"hand:{getpass.getuser()}"
    assert (record.backend, record.playbook, record.alert) == (BACKEND, "fix_session", None)
    assert (record.outcome, record.remedy, record.refused) == ("recovered", "restart", "")
    assert [step.name for step in record.steps] == ["lock", "fail when asked to", "unlock"]
    assert record.started_at and record.finished_at and record.finished_at > record.started_at
    audit = [json.loads(text) for text in (tmp_path / "logs/audit.jsonl").read_text().splitlines()]
    assert audit == [json.loads(json.dumps(record.as_dict()))]
    assert "recovered by restart" in (tmp_path / "logs/auto-fix-sessions.log").read_text()
    shown = line.stand.ask(line.webhook, "GET", "/metrics")[2].decode()
    assert 'whatsapp_manual_interventions_total{backend="shop"} 1.0' in shown
    assert any(
        'session="hand-1"' in text and 'outcome="recovered"' in text and text.endswith(" 1.0")
        for text in shown.splitlines()
    )
    assert record.uuid not in {one.uuid for one in Remediations(line.stand.client).open()}


def test_a_repair_by_hand_that_fails_is_recorded_as_failed(line: Line, tmp_path: Path) -> None:
    line.stand.steer("fail", "hand-2")
    _play(line, tmp_path, "hand-2")
    record = _record(line, "hand-2")
    assert record.outcome == "failed"
    assert record.message.startswith("fail when asked to: The lock of session hand-2")


def test_a_session_that_is_locked_is_refused_by_hand_too(line: Line, tmp_path: Path) -> None:
    RedisLocks(line.stand.redis.url, line.stand.client).acquire(BACKEND, "hand-3", "somebody")
    run = _play(line, tmp_path, "hand-3")
    assert "somebody" in run.output
    record = _record(line, "hand-3")
    assert (record.outcome, record.refused) == ("", "locked")
    assert record.finished_at


def test_without_redis_the_playbook_goes_on_and_the_audit_is_written(line: Line, tmp_path: Path) -> None:
    nowhere = "redis://:MARKED-nowhere@127.0.0.1:1/0"
    environ = {"REDIS_URL": nowhere, "HOME": str(tmp_path)}
    run = _play(line, tmp_path, "hand-4", environ=environ, redis_url=nowhere)
    # The lock cannot be taken without Redis; the callback itself breaks nothing.
    assert "The record of this repair is incomplete: Redis at 127.0.0.1:1 cannot be used" in run.output
    assert "Traceback" not in run.output and "MARKED" not in run.output.replace(nowhere, "")
    entries = (tmp_path / "logs/audit.jsonl").read_text().splitlines()
    assert [json.loads(text)["outcome"] for text in entries] == ["failed"]
    assert "MARKED" not in entries[0]


def test_with_a_local_lock_nobody_misses_redis(line: Line, tmp_path: Path) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    environ = {"REDIS_URL": nowhere}
    run = _play(line, tmp_path, "hand-6", environ=environ, redis_url=nowhere, lock_store="local")
    assert run.rc == 0, run.output
    assert "incomplete" not in run.output
    entry = json.loads((tmp_path / "logs/audit.jsonl").read_text())
    assert (entry["session"], entry["outcome"], len(entry["steps"])) == ("hand-6", "recovered", 3)


def test_what_is_hidden_stays_hidden(line: Line, tmp_path: Path) -> None:
    playbook = tmp_path / "hidden.yml"
    playbook.write_text(
        json.dumps(
            [
                {
                    "name": "Hidden",
                    "hosts": "localhost",
                    "gather_facts": False,
                    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
                    "tasks": [
                        {
                            "name": "Lock",
                            "sessionmedic.whatsapp.session_lock": {"backend_name": BACKEND, "session": "hand-5"},
                            "register": "held",
                        },
                        {
                            "name": "Speak of a secret",
                            "sessionmedic.whatsapp.session_disconnect": {
                                "backend_name": BACKEND,
                                "session": "hand-5",
                                "lock": "0:MARKED-owner",
                                "backend": {"url": "http://127.0.0.1:9/MARKED-url"},
                            },
                            "no_log": True,
                            "ignore_errors": True,
                        },
                        {
                            "name": "Unlock",
                            "sessionmedic.whatsapp.session_lock": {
                                "backend_name": BACKEND,
                                "session": "hand-5",
                                "state": "released",
                                "lock": "{{ held.lock }}",
                                "outcome": "gave_up",
                            },
                        },
                    ],
                }
            ]
        )
    )
    environ = {
        "ANSIBLE_CONFIG": str(PLAYBOOKS.parents[3] / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": CALLBACK,
        "ANSIBLE_INVENTORY": str(_inventory(tmp_path)),
        "REDIS_URL": line.stand.redis.url,
        "SESSIONMEDIC_LOG_PATH": str(tmp_path / "logs"),
    }
    run = Ansible(tmp_path, None, environ).run(str(playbook))
    assert run.rc == 0, run.output
    record = _record(line, "hand-5")
    assert record.outcome == "gave_up"
    assert [(step.outcome, step.message) for step in record.steps][1] == ("failed", "")
    assert "MARKED" not in json.dumps(record.as_dict())
    assert REDIS_PASSWORD not in (tmp_path / "logs/audit.jsonl").read_text()
