"""The rendered rules, and promtool run on them: shared by the tests of this folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).resolve().parents[3] / "monitoring"
RENDERED = MONITORING / "rendered"
PROMTOOL_TESTS = MONITORING / "tests"

Rule = dict[str, Any]


def groups(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Rendered rule files, parsed, by path."""
    return {name: yaml.safe_load(text) for name, text in files.items() if name.startswith("rules/")}


def rules(files: Mapping[str, str]) -> dict[str, Rule]:
    """Every alerting rule by the name of its alert, in the order in which it is judged."""
    return {
        rule["alert"]: rule
        for document in groups(files).values()
        for group in document["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def committed() -> dict[str, str]:
    """The committed production result: path below monitoring/rendered to text."""
    return {str(path.relative_to(RENDERED)): path.read_text() for path in sorted(RENDERED.rglob("*.yml"))}


def run_promtool(test: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", "test", "rules", str(test)], capture_output=True, text=True, check=False)


def survives(folder: Path, alert: str, changed: Rule) -> bool:
    """Whether the promtool test of ``alert`` still passes with ``changed`` in place of its rule."""
    test = folder / "tests" / f"{alert}.yml"
    test.parent.mkdir()
    shutil.copy(PROMTOOL_TESTS / test.name, test)
    (folder / "rendered" / "rules").mkdir(parents=True)
    for name, document in groups(committed()).items():
        for group in document["groups"]:
            # The test looks at this alert alone; without the other ones it is done sooner.
            group["rules"] = [
                changed if "alert" in rule else rule for rule in group["rules"] if rule.get("alert", alert) == alert
            ]
        (folder / "rendered" / name).write_text(yaml.safe_dump(document))
    result = run_promtool(test)
    # Only an expectation that was not met counts, not a rule that cannot be loaded.
    assert result.returncode == 0 or "exp:[" in result.stdout + result.stderr, result.stdout + result.stderr
    return result.returncode == 0
