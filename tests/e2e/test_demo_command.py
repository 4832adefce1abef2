"""The command itself: what it leaves behind when it is broken off, and what it says when a stage fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_ctrl_c_stops_every_process_that_it_started() -> None:
    with demo() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "started alert-worker" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 6
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 130
    assert "stopped by Ctrl-C" in rest
    assert "Traceback" not in rest
    deadline = time.monotonic() + 20
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, children
        time.sleep(0.1)


def test_a_stage_that_fails_is_named_with_the_log_of_its_part() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--fault", "no_such_fault"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    assert "FAILED at stage fault: no_such_fault is not known; known: stale_memory" in done.stdout
    assert "The log of sandbox ends with:" in done.stdout
    assert "READY" in done.stdout
    assert "stopping 7 processes" in done.stdout
    report = json.loads((ROOT / "build/demo/report.json").read_text("utf-8"))
    assert report["outcome"] == "failed"
    assert {
        "session",
        "fault",
        "detected",
        "alert_firing",
        "accepted",
        "remedied",
        "verified",
        "resolved",
        "messages_failed",
        "messages_ok_after",
        "backup",
        "steps",
        "other_sessions_touched",
        "control_still_failing",
    } <= set(report)


# The story itself is told in test_main_job.py; here it is over at once.
KEEP = """
import sys
from demo import __main__, story

def told(self):
    for stage in __main__.STAGES:
        setattr(self.report, stage, 1.0)
    return self.report

story.Story.run = told
sys.argv = ["demo", "--keep"]
sys.exit(__main__.main())
"""


def test_keep_leaves_everything_running_and_prints_the_urls_until_ctrl_c() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KEEP], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if "webhook token" in line:
                break
        kept = printed.partition("Left running until Ctrl-C:")[2]
        for name in (
            "redis",
            "sandbox",
            "session-exporter",
            "alert-webhook",
            "alert-worker",
            "alertmanager",
            "prometheus",
        ):
            assert name in kept
        assert kept.count("http://127.0.0.1:") >= 5
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 7
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
