"""What must hold for every rule, beyond its own promtool test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitoring.render import NUMBER, default_values, render
from sessionmedic.health import DEFAULT_LIMITS, classify
from sessionmedic.models import TRANSITORY, ConnectionState, HealthState, new_spell
from tests.unit.monitoring.rules import MONITORING, Rule, committed, groups, rules

RULES = rules(committed())
REQUIRED = {
    "WhatsAppSessionCorrupted",
    "WhatsAppSessionDegraded",
    "WhatsAppSessionStuck",
    "WhatsAppBackendDown",
    "WhatsAppRemediationFailed",
    "WhatsAppExporterDown",
    "WhatsAppNoWorker",
    "WhatsAppRemediationQueueStuck",
    "WhatsAppWatchdog",
}
REPAIRED = {"WhatsAppSessionCorrupted", "WhatsAppSessionDegraded", "WhatsAppSessionStuck", "WhatsAppSessionZombie"}
# Judged before, or with, anything that they inhibit, and never later for a `for` of their own.
FIRST = ["WhatsAppBackendDown", "WhatsAppManySessionsCorrupted"]
TERMINAL = {"WhatsAppSessionLoggedOut", "WhatsAppSessionBanned", "WhatsAppSessionConflict"}

each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))


def test_the_alerts_of_the_contract_are_there() -> None:
    assert REQUIRED <= set(RULES)


@each_rule
def test_labels_are_of_the_closed_sets(rule: Rule) -> None:
    labels = dict(rule["labels"])
    assert labels.pop("severity") in ("critical", "warning", "info")
    assert labels == ({"remediation": "fix_session"} if rule["alert"] in REPAIRED else {})


@each_rule
def test_annotations_are_complete(rule: Rule) -> None:
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert "{{" not in annotations["summary"], "the summary is fixed text"
    of_a_session = rule["alert"].startswith("WhatsAppSession") or rule["alert"] == "WhatsAppRemediationFailed"
    assert ("$labels.session" in annotations["description"]) == of_a_session
    assert "\n" not in annotations["description"].strip()


@each_rule
def test_the_runbook_is_complete(rule: Rule) -> None:
    url = rule["annotations"]["runbook_url"]
    assert url == f"{default_values()['runbook_base_url']}/{rule['alert']}.md"
    text = (MONITORING / "runbooks" / f"{rule['alert']}.md").read_text()
    headings = re.findall(r"^#+ .*$", text, re.MULTILINE)
    assert headings == [f"# {rule['alert']}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    assert all(len(part.strip()) > 30 for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])


def test_every_runbook_has_an_alert() -> None:
    assert {path.stem for path in (MONITORING / "runbooks").glob("*")} == set(RULES)


def test_what_inhibits_is_judged_first_and_without_for() -> None:
    (group,) = groups(committed())["rules/sessions.yml"]["groups"]
    order = [rule["alert"] for rule in group["rules"]]
    assert order[:2] == FIRST
    last_terminal = max(order.index(alert) for alert in TERMINAL)
    assert all(order.index(alert) > last_terminal for alert in REPAIRED)
    for alert in [*FIRST, *TERMINAL, "WhatsAppSessionCorrupted"]:
        assert "for" not in RULES[alert]


def test_defaults_are_those_of_the_core() -> None:
    values = default_values()
    assert values["session_corrupted_errors"] == DEFAULT_LIMITS.corrupted_errors
    assert values["session_errors_window_seconds"] == DEFAULT_LIMITS.window_seconds
    assert values["session_stuck_after_seconds"] == DEFAULT_LIMITS.stuck_seconds
    states = re.search(r'session_connection\{state=~"([^"]*)"', RULES["WhatsAppSessionStuck"]["expr"])
    assert states is not None
    assert set(states[1].split("|")) == {state.value for state in TRANSITORY}


@pytest.mark.parametrize(("answering", "zombie"), [(False, True), (True, False), (None, False)])
def test_a_connected_session_without_errors_is_degraded_only_when_it_does_not_answer(
    answering: bool | None, zombie: bool
) -> None:
    """What WhatsAppSessionZombie rests on: no metric of its own says that the deep check failed."""
    state = ConnectionState.CONNECTED
    for age in (0.0, 31.0, 86400.0):
        health = classify(state, new_spell(state, 1000.0), 0, 1000.0 + age, answering=answering)
        assert (health.state is HealthState.DEGRADED) == zombie


@pytest.mark.parametrize("state", list(ConnectionState))
def test_what_is_left_alone_is_what_waits_for_a_person(state: ConnectionState) -> None:
    """The rules leave a session alone by its health `disconnected`."""
    health = classify(state, new_spell(state, 1000.0), 9, 1000.0)
    waits = state.value in ("qr_required", "logged_out", "banned", "conflict")
    assert (health.state is HealthState.DISCONNECTED) == waits


def used_variables() -> dict[str, set[str]]:
    """Alert to the numbers that its expression or its `for` depends on."""
    values = default_values()
    used: dict[str, set[str]] = {alert: set() for alert in RULES}
    for key in filter(NUMBER.search, values):
        for alert, rule in rules(render({**values, key: values[key] + 1})).items():
            if (rule["expr"], rule.get("for")) != (RULES[alert]["expr"], RULES[alert].get("for")):
                used[alert].add(key)
    return used


USED = used_variables()


def documented() -> dict[str, list[str]]:
    """The rows of the table in docs/alerts.md by alert: [meaning, variables, what it starts, severity]."""
    text = (Path(MONITORING).parent / "docs" / "alerts.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows if len(row) == 5 and row[0].startswith("WhatsApp")}


def test_the_documentation_lists_every_alert() -> None:
    assert set(documented()) == set(RULES)


@each_rule
def test_the_documentation_says_what_the_rule_does(rule: Rule) -> None:
    _, variables, starts, severity = documented()[rule["alert"]]
    assert severity == rule["labels"]["severity"]
    assert starts.startswith("starts fix_session") == ("remediation" in rule["labels"])
    values = default_values()
    for name, number in re.findall(r"`(\w+)`(?: \((\d+))?", variables):
        assert NUMBER.search(name)
        assert number in ("", str(values[name]))
    assert set(re.findall(r"`(\w+)`", variables)) == USED[rule["alert"]]
