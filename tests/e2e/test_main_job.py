"""`make demo`, as a test: the report it writes, and no secret in anything that was written on the way."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demo.screen import Screen
from demo.stack import Stack
from demo.story import Report, Story
from sessionmedic.redis_client import connect

# What holds secrets by its nature: configuration files of mode 0600, the backend's own data, backups, Redis' data.
HOLDS_SECRETS = ("sandbox/", "backups/", "redis/", "inventory.yml", "exporter.yml", "webhook.yml", "webhook_token")


class Watch:
    """Collects the command lines of our processes while the job runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    self.seen.add("\0".join(process.cmdline()))
                except psutil.Error:
                    continue

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class MainJob:
    """One run of the story with its screen, its report and all that was seen."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.out = io.StringIO()
        self.watch = Watch()
        story = Story(stack, Screen(self.out))
        with self.watch:
            for service in stack.services():
                stack.launch(service)
            self.report: Report = story.run()
        self.answers = (
            "".join(
                stack.webhook.request("GET", path, headers={"Authorization": f"Bearer {stack.token}"})[1].decode()
                for path in ("/", "/metrics", "/api/remediations")
            )
            + stack.exporter.request("GET", "/metrics")[1].decode()
        )
        self.answers += stack.exporter.request("GET", "/")[1].decode()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MainJob]:
    stack = Stack(tmp_path_factory.mktemp("job"), redis_password="MARKED-redis-password")
    try:
        yield MainJob(stack)
    finally:
        stack.stop()


def test_the_session_is_recovered_by_the_remedy_that_fits(job: MainJob) -> None:
    report = job.report
    assert (report.outcome, report.session, report.remedy) == ("recovered", "26", "regenerate")
    verifications = [step["name"] for step in report.steps if step["name"].startswith("verify")]
    assert len(verifications) == 2, "a restart is tried first and seen to fail"


def test_the_stages_came_in_order(job: MainJob) -> None:
    report = job.report
    times = [report.detected, report.alert_firing, report.accepted, report.remedied, report.verified, report.resolved]
    assert all(moment is not None for moment in times)
    assert times == sorted(times, key=lambda moment: moment or 0.0)


def test_messages_failed_and_then_decrypted_again(job: MainJob) -> None:
    assert job.report.messages_failed >= 5
    assert job.report.messages_ok_after >= 5


def test_no_other_session_was_touched_and_the_control_stayed_broken(job: MainJob) -> None:
    assert job.report.other_sessions_touched == 0
    assert job.report.control_still_failing is True
    assert job.report.control_seconds and job.report.verified
    assert job.report.control_seconds >= 3 * job.report.verified


def test_the_backup_is_there(job: MainJob) -> None:
    backup = Path(job.report.backup)
    assert backup.is_relative_to(job.stack.backups)
    manifest = json.loads((backup / "manifest.json").read_text())
    assert (manifest["backend"], manifest["session"]) == ("sandbox", "26")


def test_one_audit_record_and_one_line(job: MainJob) -> None:
    (record,) = (json.loads(line) for line in (job.stack.logs / "audit.jsonl").read_text().splitlines())
    assert record["outcome"] == "recovered"
    assert record["asked_by"].startswith("webhook")
    assert record["alert"]["fingerprint"]
    assert {"lock", "back up", "disconnect", "purge", "reconnect", "verify", "unlock"} <= {
        step["name"] for step in record["steps"]
    }
    assert all(step["seconds"] >= 0 and step["outcome"] for step in record["steps"])
    (line,) = (job.stack.logs / "auto-fix-sessions.log").read_text().splitlines()
    assert re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \S.*session 26.*recovered", line)


def secrets_of(stack: Stack) -> dict[str, str]:
    found = {
        "webhook token": stack.token,
        "backend password": "sandbox-password",
        "redis password": "MARKED-redis-password",
        "message text": "secret message",
    }
    creds = json.loads((stack.sandbox.session_path / "26/creds.json").read_text())
    found["noise key"] = creds["noiseKey"]["private"]["data"]
    found["identity key"] = creds["signedIdentityKey"]["private"]["data"]
    found["adv secret"] = creds["advSecretKey"]
    return found


def test_no_secret_was_written_anywhere(job: MainJob) -> None:
    secrets = secrets_of(job.stack)
    places = {"screen": job.out.getvalue(), "answers": job.answers, "process list": "\n".join(job.watch.seen)}
    client = connect(job.stack.redis.url, decode=False)
    places["redis"] = repr([(key, client.dump(key)) for key in client.scan_iter("*")])
    client.close()
    for path in job.stack.folder.rglob("*"):
        name = str(path.relative_to(job.stack.folder))
        if path.is_file() and not name.startswith(HOLDS_SECRETS):
            places[name] = path.read_bytes().decode("utf-8", "replace")
    assert {"logs/audit.jsonl", "webhook/alert-webhook.log", "worker/alert-worker.log"} <= set(places)
    found = [
        f"{what} in {place}" for what, text in secrets.items() for place, content in places.items() if text in content
    ]
    assert found == []


def test_what_holds_secrets_is_for_its_owner_only(job: MainJob) -> None:
    for name in ("inventory.yml", "exporter.yml", "webhook.yml", "webhook_token"):
        assert os.stat(job.stack.folder / name).st_mode & 0o077 == 0


def test_the_twin_is_repaired_once_a_worker_is_back(job: MainJob) -> None:
    """The queue outlives a time without workers: what the control left broken is mended without another hand."""
    stack = job.stack
    stack.launch(stack.worker)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        since = time.time()
        time.sleep(3)
        counts = stack.sandbox.messages(27, since)
        if counts["decrypted"] >= 6 and counts["failed"] == 0:
            return
    raise AssertionError(f"session 27 stays broken: {counts}")
