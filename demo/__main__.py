"""python -m demo [--keep]"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.services import ServiceError

from .screen import Screen
from .stack import ROOT, Stack
from .story import Report, StageFailed, Story

FOLDER = ROOT / "build/demo"
STAGES = ("detected", "alert_firing", "accepted", "remedied", "verified", "resolved")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description="The main job on a real sick session.")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--fault", default="rolled_back_records", help="a fault that the sandbox knows")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    shutil.rmtree(FOLDER, ignore_errors=True)
    screen = Screen()
    stack = Stack(FOLDER / "run")
    story = Story(stack, screen, fault=options.fault)
    try:
        return _run(stack, story, screen, options.keep)
    except KeyboardInterrupt:
        screen.plain("\nstopped by Ctrl-C")
        return 130
    finally:
        stopping = len(stack.running)
        if stopping:
            screen.plain(f"stopping {stopping} processes")
        stack.stop()


def _run(stack: Stack, story: Story, screen: Screen, keep: bool) -> int:
    screen.plain("sessionmedic demo: a real Baileys session is broken and repaired with no hand on it.")
    screen.plain("Rules, expressions and counts are those of production; only durations (scrape, evaluation, group and")
    screen.plain("repeat intervals, for:, settling, cooldown) are shortened: monitoring/profiles/demo.yml.\n")
    try:
        for service in stack.services():
            began = time.monotonic()
            screen.waiting(f"starting {service.name}")
            stack.launch(service)
            screen.say(f"started {service.name:<18} {service.url} ({time.monotonic() - began:.1f} s)")
        story.run()
    except StageFailed as failure:
        _write(story.report)
        screen.plain(f"\nFAILED at stage {failure}")
        screen.plain(f"The log of {failure.service.name} ends with:\n{failure.service.log_tail()}")
        return 1
    except ServiceError as failure:
        _write(story.report)
        screen.plain(f"\nFAILED at stage start: {failure}")
        return 1
    _write(story.report)
    _table(story.report, screen)
    if keep:
        screen.plain("\nLeft running until Ctrl-C:")
        for service in stack.running:
            screen.plain(f"  {service.name:<18} {service.url}")
        screen.plain(f"  webhook token      {stack.folder / 'webhook_token'}")
        while True:
            time.sleep(1)
    return 0


def _write(report: Report) -> None:
    path = FOLDER / "report.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.as_dict(), indent=2) + "\n", "utf-8")


def _table(report: Report, screen: Screen) -> None:
    screen.plain(f"\n  {'stage':<16} seconds since the fault")
    for stage in STAGES:
        value = getattr(report, stage)
        screen.plain(f"  {stage:<16} {value:8.1f}")
    screen.plain(f"\n  outcome          {report.outcome} by {report.remedy}")
    screen.plain(f"  messages         {report.messages_failed} failed, {report.messages_ok_after} decrypted after it")
    screen.plain(f"  other sessions   touched {report.other_sessions_touched} times")
    screen.plain(f"  control          {'still failing' if report.control_still_failing else 'mended itself'}")
    screen.plain(f"  backup           {report.backup}")
    screen.plain(f"  report           {(FOLDER / 'report.json').relative_to(Path.cwd()) if _below() else FOLDER}")


def _below() -> bool:
    return FOLDER.is_relative_to(Path.cwd())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
