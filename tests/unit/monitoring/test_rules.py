"""What must hold for every rule, beyond its own promtool test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitoring.render import NUMBER, default_values
from sessionmedic.health import DEFAULT_LIMITS, classify
from sessionmedic.models import FLAP_SECONDS, TRANSITORY, ConnectionState, HealthState, new_spell
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
def test_only_aggregated_labels_are_left(rule: Rule) -> None:
    """No label of a scrape (instance, job) reaches a session's alert, where it would change when an exporter moves."""
    by = set(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))
    assert by or rule["expr"].startswith(("max(", "(max(", "vector("))
    # The inner step of a counter's growth is summed up again.
    outer = by - {"backend, session, remedy, outcome", "backend, kind"}
    assert outer <= {"backend, session", "backend", "instance"}
    assert ("instance" in outer) == (rule["alert"] == "WhatsAppExporterDown")


@each_rule
def test_annotations_are_complete(rule: Rule) -> None:
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert "{{" not in annotations["summary"], "the summary is fixed text"
    # The outermost aggregation of every rule comes first.
    kept = re.search(r"by \(([^)]*)\)", rule["expr"])
    for name in ("backend", "session"):
        assert (f"$labels.{name}" in annotations["description"]) == (kept is not None and name in kept[1].split(", "))
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
    assert values["session_flap_seconds"] == FLAP_SECONDS
    states = re.search(
        r'max_over_time\(whatsapp_session_connection\{state=~"([^"]*)"', RULES["WhatsAppSessionStuck"]["expr"]
    )
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
    template = "".join(path.read_text() for path in (MONITORING / "rules").glob("*.yml.j2"))
    block = re.split(r"^ +- alert: ", template, flags=re.MULTILINE)
    (source,) = [part for part in block if part.startswith(f"{rule['alert']}\n")]
    annotations = source.index("annotations:")
    used = {name for name in values if NUMBER.search(name) and name in source[:annotations]}
    assert used == set(re.findall(r"`(\w+)`", variables))
