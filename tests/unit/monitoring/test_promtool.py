"""promtool's own tests: one file an alert, on both sides of every threshold, labels and annotations exact."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.monitoring.rules import PROMTOOL_TESTS, committed, rules, run_promtool

FILES = sorted(PROMTOOL_TESTS.glob("*.yml"))


@pytest.mark.parametrize("test", FILES, ids=lambda path: path.stem)
def test_promtool(test: Path) -> None:
    result = run_promtool(test)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_promtool_file_and_the_other_way_round() -> None:
    assert {path.stem for path in FILES} == set(rules(committed()))


@pytest.mark.parametrize("test", FILES, ids=lambda path: path.stem)
def test_each_file_sees_its_alert_fire_and_be_silent(test: Path) -> None:
    """An alert that always fires has nothing to be silent about; every other one needs both."""
    # No label of a scrape reaches an alert: the exact labels show it only where the series have such labels.
    assert "instance=" in test.read_text() or test.stem == "WhatsAppWatchdog"
    checks = [check for case in yaml.safe_load(test.read_text())["tests"] for check in case["alert_rule_test"]]
    assert {check["alertname"] for check in checks} == {test.stem}
    outcomes = {bool(check.get("exp_alerts")) for check in checks}
    assert outcomes == ({True} if test.stem == "WhatsAppWatchdog" else {True, False})


def test_promtool_notices_a_wrong_label(tmp_path: Path) -> None:
    text = (PROMTOOL_TESTS / "WhatsAppNoWorker.yml").read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        text.replace("critical", "warning").replace("../rendered", str(PROMTOOL_TESTS.parent / "rendered"))
    )
    result = run_promtool(wrong)
    assert result.returncode != 0
    assert re.search('severity="warning"', result.stdout + result.stderr)
