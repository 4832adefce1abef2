from __future__ import annotations

from typing import Any

import pytest

from alert_webhook import alerts, jobs
from alert_webhook.ui.words import EN, PT
from sessionmedic import brakes
from sessionmedic.errors import InvalidName
from sessionmedic.remediations import OUTCOMES, REMEDIES, STEP_OUTCOMES

ALLOWED = ("fix_session", "rehydrate")


def _alert(**changes: Any) -> dict[str, Any]:
    labels = {"alertname": "A", "backend": "shop", "session": "26", "remediation": "fix_session"}
    labels.update(changes.pop("labels", {}))
    return {"status": "firing", "labels": labels, "startsAt": "2024-01-15T10:30:45.5Z", "fingerprint": "f0", **changes}


def test_an_alert_says_what_it_wants() -> None:
    wanted = alerts.demand(_alert(), ALLOWED)
    assert isinstance(wanted, alerts.Demand)
    assert (wanted.playbook, wanted.backend, wanted.session) == ("fix_session", "shop", "26")
    assert (wanted.alert.name, wanted.alert.fingerprint, wanted.alert.starts_at) == ("A", "f0", 1705314645.5)


def test_one_that_asks_for_nothing_says_why() -> None:
    assert alerts.demand(_alert(status="resolved"), ALLOWED) == "It is resolved."
    assert alerts.demand(_alert(labels={"remediation": ""}), ALLOWED) == "It has no label remediation."


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "maybe"},
        {"labels": {"remediation": "drop_all"}},
        {"startsAt": "yesterday"},
        {"startsAt": "2024-01-15T10:30:45"},
        {"fingerprint": 5},
        {"fingerprint": "f" * 200},
        {"labels": {"x": "y" * 5000}},
        {"labels": {"x": 5}},
    ],
)
def test_one_that_is_wrong_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(alerts.AlertRefused):
        alerts.demand(_alert(**changes), ALLOWED)


@pytest.mark.parametrize("name", ["", "..", "../..", "*", "26 27", "x" * 129, "{{ x }}", "-e", "26\n", "é"])
def test_names_are_checked(name: str) -> None:
    for label in ("backend", "session"):
        with pytest.raises(InvalidName):
            alerts.demand(_alert(labels={label: name}), ALLOWED)


def test_only_what_repairs_one_session_needs_to_know_which() -> None:
    labels = {"session": "", "remediation": "rehydrate"}
    wanted = alerts.demand(_alert(labels=labels), ALLOWED)
    assert isinstance(wanted, alerts.Demand) and wanted.session == ""


def test_without_a_fingerprint_the_labels_give_one() -> None:
    first, same, other = (
        alerts.demand(_alert(fingerprint="", labels=labels), ALLOWED) for labels in ({}, {}, {"session": "27"})
    )
    assert isinstance(first, alerts.Demand) and isinstance(same, alerts.Demand) and isinstance(other, alerts.Demand)
    assert first.alert.fingerprint == same.alert.fingerprint != other.alert.fingerprint


def test_job_ids_are_of_a_session_whatever_the_playbook_and_no_two_collide() -> None:
    assert jobs.job_id("a", "26", "fix_session") == jobs.job_id("a", "26", "other")
    ids = {
        jobs.job_id("a", "b", "p"),
        jobs.job_id("ab", "", "p"),
        jobs.job_id("a", "", "b"),
        jobs.job_id("a", "bp", ""),
        jobs.job_id("b", "a", "p"),
    }
    assert len(ids) == 5
    assert all(len(one) == 64 and one.isalnum() for one in ids)


def test_both_languages_have_every_word() -> None:
    assert set(EN) == set(PT)
    shown = {*OUTCOMES, *REMEDIES, *STEP_OUTCOMES, *brakes.REASONS}
    assert shown <= set(EN)
    assert all(EN.values()) and all(PT.values())
