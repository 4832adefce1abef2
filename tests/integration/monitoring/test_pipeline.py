"""From /metrics to the webhook through real Prometheus and Alertmanager, with the demo's durations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from monitoring.render import load_values, render, write
from tests.integration.monitoring.endpoints import Metrics, Receiver, eventually
from tests.services import Alertmanager, Prometheus, free_port

TOKEN = "the-webhook-token"


@dataclass
class Chain:
    exporter: Metrics
    webhook: Receiver
    people: Receiver
    prometheus: Prometheus
    alertmanager: Alertmanager

    def firing(self, alert: str, **labels: str) -> list[dict[str, Any]]:
        """Alerts that fire in Prometheus."""
        wanted = {"alertname": alert, **labels}
        return [
            item
            for item in self.prometheus.alerts()
            if item["state"] == "firing" and wanted.items() <= item["labels"].items()
        ]

    def inhibited(self, alert: str, **labels: str) -> list[dict[str, Any]]:
        """Alerts that Alertmanager has and holds back because of another."""
        wanted = {"alertname": alert, **labels}
        return [
            item
            for item in self.alertmanager.alerts()
            if item["status"]["inhibitedBy"] and wanted.items() <= item["labels"].items()
        ]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder: Path = tmp_path_factory.mktemp("chain")
    (folder / "token").write_text(TOKEN)
    with Metrics() as exporter, Receiver() as webhook, Receiver() as people:
        port = free_port()
        write(
            render(
                load_values(
                    "demo",
                    {
                        "exporter_targets": [exporter.target],
                        "webhook_targets": [webhook.target],
                        "alertmanager_targets": [f"127.0.0.1:{port}"],
                        "webhook_url": f"http://{webhook.target}/alerts",
                        "webhook_bearer_token_file": str(folder / "token"),
                        "notify_url": f"http://{people.target}/",
                        "watchdog_url": f"http://{people.target}/watchdog",
                    },
                )
            ),
            folder,
        )
        with (
            Alertmanager(folder / "alertmanager", folder / "alertmanager.yml", port) as alertmanager,
            Prometheus(folder / "prometheus", folder / "prometheus.yml") as prometheus,
        ):
            # Corrupted all the time, for test_it_is_sent_again.
            exporter.update({errors("again", "26"): 5})
            yield Chain(exporter, webhook, people, prometheus, alertmanager)


def errors(backend: str, session: str) -> str:
    return f'whatsapp_session_recent_errors{{backend="{backend}",session="{session}"}}'


def test_a_burst_of_five_reaches_the_webhook_once_a_session_and_its_twin_of_four_does_not(chain: Chain) -> None:
    chain.exporter.update({errors("burst", "26"): 5, errors("burst", "27"): 4, errors("burst", "28"): 6})
    path, authorization, payload = eventually(
        lambda: chain.webhook.requests(backend="burst", session="26"), "session 26 at the webhook"
    )[0]
    assert path == "/alerts"
    assert authorization == f"Bearer {TOKEN}"
    labels = {
        "alertname": "WhatsAppSessionCorrupted",
        "backend": "burst",
        "session": "26",
        "severity": "critical",
        "remediation": "fix_session",
    }
    assert (payload["version"], payload["status"], payload["receiver"]) == ("4", "firing", "sessionmedic")
    assert payload["groupLabels"] == {"alertname": "WhatsAppSessionCorrupted", "backend": "burst", "session": "26"}
    (alert,) = payload["alerts"]
    assert alert["labels"] == labels
    assert payload["commonLabels"] == labels
    assert alert["annotations"]["description"] == (
        "Session 26 of backend burst has 5 crypto errors in the last 300 s (limit 5)."
    )
    eventually(lambda: chain.webhook.payloads(backend="burst", session="28"), "session 28 in a payload of its own")
    eventually(lambda: chain.people.payloads(alertname="WhatsAppSessionCorrupted", backend="burst"), "people are told")
    # Judged in the same evaluations as 26 and 28, which have long arrived.
    assert chain.webhook.payloads(session="27") == []
    assert chain.firing("WhatsAppSessionCorrupted", session="27") == []

    chain.exporter.update({errors("burst", "26"): 0})
    (resolved,) = eventually(lambda: chain.webhook.payloads("resolved", session="26"), "resolved")[0]["alerts"]
    assert resolved["labels"] == labels


def test_a_backend_that_goes_down_with_its_sessions_starts_no_repair(chain: Chain) -> None:
    # An exporter that held the old values would say both at once; the other backend shows that the way is open.
    chain.exporter.update(
        {
            'whatsapp_backend_up{backend="dead"}': 0,
            errors("dead", "26"): 9,
            'whatsapp_session_health{backend="dead",session="26",state="stuck"}': 1,
            'whatsapp_backend_up{backend="alive"}': 1,
            errors("alive", "26"): 9,
        }
    )
    eventually(lambda: chain.webhook.payloads(backend="alive"), "the living backend's session at the webhook")
    eventually(lambda: chain.inhibited("WhatsAppSessionCorrupted", backend="dead"), "corrupted inhibited")
    eventually(lambda: chain.inhibited("WhatsAppSessionStuck", backend="dead"), "stuck inhibited")
    eventually(lambda: chain.people.payloads(alertname="WhatsAppBackendDown", backend="dead"), "people are told")
    assert chain.webhook.payloads(backend="dead") == []
    assert chain.people.payloads(alertname="WhatsAppSessionCorrupted", backend="dead") == []

    chain.exporter.update({'whatsapp_backend_up{backend="dead"}': 1})
    eventually(lambda: chain.webhook.payloads(backend="dead", session="26"), "repaired when the backend is back")


def test_many_at_once_start_no_single_repairs(chain: Chain) -> None:
    chain.exporter.update({errors("storm", str(number)): 7 for number in range(5)} | {errors("fair", "1"): 7})
    eventually(lambda: chain.webhook.payloads(backend="fair"), "the other backend's session at the webhook")
    eventually(lambda: len(chain.inhibited("WhatsAppSessionCorrupted", backend="storm")) == 5, "all five inhibited")
    eventually(lambda: chain.people.payloads(alertname="WhatsAppManySessionsCorrupted"), "people are told")
    assert chain.webhook.payloads(backend="storm") == []


def test_the_first_failed_repair_of_a_session_is_told(chain: Chain) -> None:
    labels = 'backend="first",session="26",remedy="restart"'
    chain.exporter.update({f'whatsapp_remediations_total{{{labels},outcome="failed"}}': 1})
    (payload,) = eventually(
        lambda: chain.people.payloads(alertname="WhatsAppRemediationFailed", backend="first"), "people are told"
    )[:1]
    assert payload["alerts"][0]["labels"] == {
        "alertname": "WhatsAppRemediationFailed",
        "backend": "first",
        "session": "26",
        "severity": "critical",
    }


def test_the_watchdog_and_the_missing_worker_arrive(chain: Chain) -> None:
    eventually(lambda: chain.people.requests(alertname="WhatsAppWatchdog"), "the watchdog")
    path = chain.people.requests(alertname="WhatsAppWatchdog")[0][0]
    assert path == "/watchdog"
    eventually(lambda: chain.people.payloads(alertname="WhatsAppNoWorker"), "no worker, as no series says otherwise")


def test_prometheus_reads_the_webhook_with_its_token(chain: Chain) -> None:
    eventually(lambda: chain.webhook.scraped_with, "a scrape of the webhook")
    assert set(chain.webhook.scraped_with) == {f"Bearer {TOKEN}"}


def test_it_is_sent_again_while_it_fires(chain: Chain) -> None:
    """So that a repair which was refused or lost is asked for again."""
    payloads = eventually(lambda: chain.webhook.payloads(backend="again")[:2][1:], "a second payload for one alert")
    first = chain.webhook.payloads(backend="again")[0]
    assert payloads[0]["alerts"] == first["alerts"]


def test_an_exporter_that_goes_away_ends_the_alerts_of_its_sessions(chain: Chain) -> None:
    """Last of this file: the exporter does not come back."""
    chain.exporter.update({errors("gone", "26"): 9})
    eventually(lambda: chain.firing("WhatsAppSessionCorrupted", backend="gone"), "it fires")
    chain.exporter.close()
    eventually(lambda: not chain.firing("WhatsAppSessionCorrupted"), "no alert without series")
    (down,) = eventually(lambda: chain.firing("WhatsAppExporterDown"), "the exporter is missed")
    assert down["labels"] == {
        "alertname": "WhatsAppExporterDown",
        "instance": chain.exporter.target,
        "severity": "critical",
    }
