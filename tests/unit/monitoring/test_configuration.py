"""What Prometheus and Alertmanager themselves say of the rendered configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from monitoring.render import load_values, render, write
from tests.unit.monitoring.rules import RENDERED, committed, rules

RULES = rules(committed())


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


@pytest.fixture(params=["", "demo"], ids=["production", "demo"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("secret")
    values = {
        "notify_url": "http://127.0.0.1:1/notify",
        "watchdog_url": "http://127.0.0.1:1/watchdog",
        # promtool looks whether it is there.
        "webhook_bearer_token_file": str(tmp_path / "token"),
    }
    write(render(load_values(request.param, values)), tmp_path)
    return tmp_path


def test_promtool_takes_the_configuration_and_the_rules(folder: Path) -> None:
    result = run("promtool", "check", "config", folder / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 rule files found" in result.stdout


def test_amtool_takes_the_configuration(folder: Path) -> None:
    result = run("amtool", "check-config", folder / "alertmanager.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 receivers" in result.stdout


@pytest.mark.parametrize("alert", list(RULES))
def test_route(alert: str) -> None:
    labels = {"alertname": alert, **RULES[alert]["labels"], "backend": "sandbox", "session": "26"}
    wanted = "notify"
    if alert == "WhatsAppWatchdog":
        wanted = "watchdog"
    elif "remediation" in labels:
        wanted = "sessionmedic,notify"
    result = run(
        "amtool", "config", "routes", "test", f"--config.file={RENDERED / 'alertmanager.yml'}",
        f"--verify.receivers={wanted}", *(f"{key}={value}" for key, value in labels.items()),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_alert_of_somebody_else_starts_nothing() -> None:
    """An unknown remediation is not ours to start; the alert is still told to people."""
    result = run(
        "amtool", "config", "routes", "test", f"--config.file={RENDERED / 'alertmanager.yml'}",
        "--verify.receivers=notify", "alertname=DiskFull", "remediation=rehydrate",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_waits_of_the_remediation_route_are_those_of_the_design() -> None:
    (route,) = [
        route
        for route in yaml.safe_load(committed()["alertmanager.yml"])["route"]["routes"]
        if route["receiver"] == "sessionmedic"
    ]
    assert route["group_by"] == ["alertname", "backend", "session"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("5s", "30s", "60s")
    assert route["continue"] is True


def test_alerts_keep_their_labels_on_the_way() -> None:
    configuration = yaml.safe_load(committed()["prometheus.yml"])
    assert "external_labels" not in configuration["global"]
    assert "alert_relabel_configs" not in configuration["alerting"]
