"""The promtool tests sit on both sides of every threshold: a rule that is off by one fails them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitoring.render import NUMBER, default_values, render
from tests.unit.monitoring.rules import Rule, committed, rules, survives

DEFAULTS = default_values()
RULES = rules(committed())

# Named in annotations alone: the window of whatsapp_session_recent_errors is counted by the exporter.
TEXT_ONLY = {"session_errors_window_seconds"}
OPPOSITE = {">=": ">", ">": ">=", "<=": "<", "<": "<=", "==": "!="}


def off_by_one() -> list[tuple[str, int, str, Rule]]:
    """Each variable that reaches a rule, one up and one down: (variable, value, alert, the rule with that value)."""
    found = []
    for key, value in DEFAULTS.items():
        for step in (1, -1) if NUMBER.search(key) else ():
            if value + step < 0:
                continue
            for alert, rule in rules(render({**DEFAULTS, key: value + step})).items():
                # Annotations stay as they are: a number in a text must not be what fails the test.
                changed = {**rule, "annotations": RULES[alert]["annotations"]}
                if changed != RULES[alert]:
                    found.append((key, value + step, alert, changed))
    return found


def swapped_comparisons() -> list[tuple[str, int, Rule]]:
    """Each comparison of each rule turned into its neighbour: (alert, number of the comparison, the rule)."""
    found = []
    for alert, rule in RULES.items():
        expression = rule["expr"]
        for number, match in enumerate(re.finditer(r">=|<=|==|>|<", expression)):
            swapped = expression[: match.start()] + OPPOSITE[match[0]] + expression[match.end() :]
            found.append((alert, number, {**rule, "expr": swapped}))
    return found


OFF_BY_ONE = off_by_one()
SWAPPED = swapped_comparisons()


@pytest.mark.parametrize(
    ("alert", "changed"),
    [pytest.param(alert, rule, id=f"{alert}-{key}={value}") for key, value, alert, rule in OFF_BY_ONE],
)
def test_a_threshold_off_by_one_is_noticed(tmp_path: Path, alert: str, changed: Rule) -> None:
    assert not survives(tmp_path, alert, changed)


@pytest.mark.parametrize(
    ("alert", "changed"), [pytest.param(alert, rule, id=f"{alert}-{number}") for alert, number, rule in SWAPPED]
)
def test_a_wrong_comparison_is_noticed(tmp_path: Path, alert: str, changed: Rule) -> None:
    assert not survives(tmp_path, alert, changed)


def test_an_unchanged_rule_is_not(tmp_path: Path) -> None:
    assert survives(tmp_path, "WhatsAppSessionCorrupted", RULES["WhatsAppSessionCorrupted"])


def test_every_threshold_is_among_them() -> None:
    thresholds = {key for key in DEFAULTS if NUMBER.search(key)} - TEXT_ONLY
    intervals = {key for key in thresholds if re.search(r"(interval|timeout|group_wait)_seconds$", key)}
    assert {key for key, *_ in OFF_BY_ONE} == thresholds - intervals
    assert len(SWAPPED) > len(RULES)
