"""Five errors of a session that nobody has seen before, within one scrape interval, fire; four do not.

Through a real log file, the real exporter and a real Prometheus with the production rules.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from monitoring.render import load_values, render, write
from tests.integration.exporter.conftest import ListedSessions
from tests.integration.exporter.exporter_service import Exporter, append, eventually, failure
from tests.services import Prometheus

SCRAPE_SECONDS = 1


def prometheus(folder: Path, exporter: Exporter) -> Prometheus:
    values = load_values(
        "demo",
        {
            "exporter_targets": [f"127.0.0.1:{exporter.port}"],
            "scrape_interval_seconds": SCRAPE_SECONDS,
            "scrape_timeout_seconds": SCRAPE_SECONDS,
        },
    )
    write(render(values), folder)
    return Prometheus(folder / "data", folder / "prometheus.yml")


def firing(server: Prometheus, session: str) -> list[dict[str, Any]]:
    return [
        alert for alert in server.alerts() if alert["labels"].get("session") == session and alert["state"] == "firing"
    ]


def recent_errors(server: Prometheus, session: str) -> list[float]:
    """The value in Prometheus now, as a list of one or none."""
    found = server.query(f'whatsapp_session_recent_errors{{backend="shop",session="{session}"}}')
    return [float(item["value"][1]) for item in found]


@pytest.mark.parametrize("listed", [True, False], ids=["listed by its backend", "named by the log alone"])
def test_five_errors_of_a_never_seen_session_fire_and_four_do_not(
    tmp_path: Path, backend: ListedSessions, listed: bool
) -> None:
    log = tmp_path / "out.log"
    log.touch()
    source = {"path": str(log), "stream": "stdout"}
    exporter = Exporter(tmp_path, {"backends": [{"name": "shop", "url": backend.url, "log_sources": [source]}]})
    with exporter, prometheus(tmp_path / "prometheus", exporter) as server:
        eventually(lambda: server.query('up{job="sessionmedic-exporter"} == 1'), "Prometheus scrapes the exporter")
        for session in ("4711", "4712"):
            assert recent_errors(server, session) == []
        if listed:
            backend.rows += [backend.row(4711), backend.row(4712)]
        append(log, b"".join(failure("4711", number) for number in range(5)))
        append(log, b"".join(failure("4712", number) for number in range(5, 9)))
        (alert,) = eventually(lambda: firing(server, "4711"), "the alert of session 4711")
        assert alert["labels"] == {
            "alertname": "WhatsAppSessionCorrupted",
            "backend": "shop",
            "session": "4711",
            "severity": "critical",
            "remediation": "fix_session",
        }
        # One scrape brought all: the counter of this session was never below five in Prometheus.
        series = 'sum(min_over_time(whatsapp_session_errors_total{session="4711"}[1m]))'
        assert [item["value"][1] for item in server.query(series)] == ["5"]
        eventually(lambda: recent_errors(server, "4712") == [4.0], "four errors of session 4712")
        later = f"timestamp(ALERTS{{session='4711'}}) > {time.time() + 2 * SCRAPE_SECONDS}"
        eventually(lambda: server.query(later), "two more scrapes and evaluations")
        assert firing(server, "4712") == []
        assert recent_errors(server, "4712") == [4.0]
        append(log, failure("4712", 9))
        eventually(lambda: firing(server, "4712"), "the alert of session 4712 after its fifth error")
