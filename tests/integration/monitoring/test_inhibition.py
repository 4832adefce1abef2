"""Which alert holds back which: every pair, as a real Alertmanager with the production configuration sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.render import load_values, render, write
from tests.integration.monitoring.endpoints import eventually
from tests.services import Alertmanager
from tests.unit.monitoring.rules import committed, rules

RULES = rules(committed())
OF_A_SESSION = {name for name, rule in RULES.items() if "$labels.session" in rule["annotations"]["description"]}
OF_A_BACKEND = {"WhatsAppBackendDown", "WhatsAppManySessionsCorrupted", "WhatsAppUnattributedErrors"}
REPAIRED = {name for name, rule in RULES.items() if "remediation" in rule["labels"]}
NEED_A_PERSON = {f"WhatsAppSession{name}" for name in ("LoggedOut", "Banned", "Conflict", "NeedsQR")}

# What each alert holds back: of the same backend, and of the same session of it.
OF_THE_BACKEND = {
    "WhatsAppBackendDown": OF_A_SESSION | {"WhatsAppManySessionsCorrupted", "WhatsAppUnattributedErrors"},
    "WhatsAppManySessionsCorrupted": REPAIRED,
}
OF_THE_SESSION = {
    **{name: REPAIRED | {"WhatsAppSessionDown", "WhatsAppSessionCorruptedTooLong"} for name in NEED_A_PERSON},
    "WhatsAppSessionCorrupted": {"WhatsAppSessionDegraded"},
    "WhatsAppSessionStuck": {"WhatsAppSessionDown"},
}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    folder: Path = tmp_path_factory.mktemp("inhibition")
    # Only the states of the alerts are looked at here: nothing is to be sent.
    quiet = {"remediation_group_wait_seconds": 3600, "notify_group_wait_seconds": 3600}
    write(render(load_values("", quiet)), folder)
    with Alertmanager(folder / "data", folder / "alertmanager.yml") as server:
        yield server


def labels(alert: str, backend: str, session: str) -> dict[str, str]:
    result = {"alertname": alert, "backend": backend, **RULES[alert]["labels"]}
    return {**result, "session": session} if alert in OF_A_SESSION else result


def inhibited(alertmanager: Alertmanager) -> set[tuple[str, str]]:
    """(alert, backend) of what is held back."""
    return {
        (item["labels"]["alertname"], item["labels"].get("backend", ""))
        for item in alertmanager.alerts()
        if item["status"]["inhibitedBy"]
    }


def post(alertmanager: Alertmanager, alerts: list[dict[str, str]]) -> None:
    alertmanager.post_alerts([{"labels": item} for item in alerts])


def test_each_alert_holds_back_these_and_no_others(alertmanager: Alertmanager) -> None:
    sources: list[dict[str, str]] = []
    targets: list[dict[str, str]] = []
    expected = set()
    for source in sorted(OF_A_SESSION | OF_A_BACKEND):
        for target in sorted((OF_A_SESSION | OF_A_BACKEND) - {source}):
            for where in ("same", "other"):
                # A backend of its own for each case, so that no two of them meet.
                backend = f"{source}-{target}-{where}"
                sources.append(labels(source, backend, "26"))
                targets.append(labels(target, backend, "26" if where == "same" else "27"))
                if target in OF_THE_BACKEND.get(source, set()):
                    expected.add((target, backend))
                if target in OF_THE_SESSION.get(source, set()) and where == "same":
                    expected.add((target, backend))
                # The two of a case may also be a pair the other way round.
                if source in OF_THE_BACKEND.get(target, set()):
                    expected.add((source, backend))
                if source in OF_THE_SESSION.get(target, set()) and where == "same":
                    expected.add((source, backend))
    # Alertmanager takes alerts in order: when the last one counts, all do.
    last = [labels("WhatsAppSessionStuck", "last", "26"), labels("WhatsAppBackendDown", "last", "")]
    expected.add(("WhatsAppSessionStuck", "last"))
    post(alertmanager, [*sources, *targets, *last])
    eventually(lambda: ("WhatsAppSessionStuck", "last") in inhibited(alertmanager), "the last pair")
    found = inhibited(alertmanager)
    assert sorted(found - expected) == [], "held back, but should not be"
    assert sorted(expected - found) == [], "should be held back"
    assert len(expected) > 100


def test_an_alert_of_another_backend_is_not_held_back(alertmanager: Alertmanager) -> None:
    alerts = [labels(source, "here", "26") for source in sorted(OF_A_SESSION | OF_A_BACKEND)]
    elsewhere = [labels(alert, f"elsewhere-{alert}", "26") for alert in sorted(OF_A_SESSION | OF_A_BACKEND)]
    post(alertmanager, [*alerts, *elsewhere])
    eventually(lambda: ("WhatsAppSessionStuck", "here") in inhibited(alertmanager), "those of the backend itself")
    assert [item for item in inhibited(alertmanager) if item[1].startswith("elsewhere-")] == []


def test_a_queue_without_workers_is_told_once(alertmanager: Alertmanager) -> None:
    system: dict[str, dict[str, Any]] = {
        name: {"alertname": name, **RULES[name]["labels"]} for name in RULES if name not in OF_A_SESSION | OF_A_BACKEND
    }
    assert set(system) == {
        "WhatsAppNoWorker",
        "WhatsAppRemediationQueueStuck",
        "WhatsAppRemediationPaused",
        "WhatsAppExporterDown",
        "WhatsAppWatchdog",
    }
    worker = system.pop("WhatsAppNoWorker")
    post(alertmanager, list(system.values()))
    names = {item["labels"]["alertname"] for item in alertmanager.alerts()}
    assert set(system) <= names
    assert {item for item in inhibited(alertmanager) if not item[1]} == set()
    post(alertmanager, [worker])
    eventually(lambda: ("WhatsAppRemediationQueueStuck", "") in inhibited(alertmanager), "the queue held back")
    assert {item for item in inhibited(alertmanager) if not item[1]} == {("WhatsAppRemediationQueueStuck", "")}
