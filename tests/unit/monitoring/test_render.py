"""render.py: the committed result is current, a profile changes durations alone, bad values are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import render
from sessionmedic.errors import ConfigError
from tests.unit.monitoring.rules import MONITORING, committed, rules

PRODUCTION = render.render(render.load_values())
DEMO = render.render(render.load_values("demo"))
DEFAULTS = render.default_values()
WAITS = ("group_wait", "group_interval", "repeat_interval", "scrape_interval", "scrape_timeout", "evaluation_interval")


def without(document: Any, names: tuple[str, ...]) -> Any:
    if isinstance(document, dict):
        return {key: without(value, names) for key, value in document.items() if key not in names}
    if isinstance(document, list):
        return [without(item, names) for item in document]
    return document


def test_the_committed_result_is_up_to_date() -> None:
    assert committed() == PRODUCTION, "run: python monitoring/render.py --output monitoring/rendered"


def test_demo_judges_by_the_same_rules() -> None:
    production, demo = rules(PRODUCTION), rules(DEMO)
    assert list(production) == list(demo)
    assert {name: rule["expr"] for name, rule in production.items()} == {
        name: rule["expr"] for name, rule in demo.items()
    }
    assert without(list(production.values()), ("for",)) == without(list(demo.values()), ("for",))
    assert {name for name, rule in production.items() if "for" in rule} == {
        name for name, rule in demo.items() if "for" in rule
    }


@pytest.mark.parametrize("name", ["prometheus.yml", "alertmanager.yml"])
def test_demo_has_the_same_configuration_but_for_waits(name: str) -> None:
    production, demo = yaml.safe_load(PRODUCTION[name]), yaml.safe_load(DEMO[name])
    assert production != demo
    assert without(production, WAITS) == without(demo, WAITS)


@pytest.mark.parametrize("key", [key for key in DEFAULTS if render.DURATION.search(key)])
def test_no_duration_that_a_profile_may_change_reaches_an_expression(key: str) -> None:
    changed = render.render({**DEFAULTS, key: DEFAULTS[key] + 7})
    assert changed != PRODUCTION
    assert {name: rule["expr"] for name, rule in rules(changed).items()} == {
        name: rule["expr"] for name, rule in rules(PRODUCTION).items()
    }


@pytest.mark.parametrize("key", list(DEFAULTS))
def test_every_variable_reaches_a_file(key: str) -> None:
    value = DEFAULTS[key]
    other = value + 7 if isinstance(value, int) else ["elsewhere:1"] if isinstance(value, list) else "http://elsewhere/"
    assert render.render({**DEFAULTS, key: other}) != PRODUCTION


def test_a_profile_may_not_change_a_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "lax.yml").write_text("session_corrupted_errors: 1\n")
    (tmp_path / "defaults.yml").write_text((MONITORING / "defaults.yml").read_text())
    monkeypatch.setattr(render, "HERE", tmp_path)
    with pytest.raises(ConfigError, match=r"lax changes session_corrupted_errors\. .*durations only"):
        render.load_values("lax")


@pytest.mark.parametrize(
    "key", ["session_stuck_after_seconds", "session_errors_window_seconds", "remediation_failed_window_seconds"]
)
def test_a_limit_in_seconds_is_no_duration_of_a_profile(key: str) -> None:
    assert key in DEFAULTS
    assert not render.DURATION.search(key)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("no_such_thing", 1, "'no_such_thing' is not known"),
        ("session_corrupted_errors", "5", "session_corrupted_errors is not a whole number"),
        ("session_corrupted_errors", 0, "not a whole number from 1"),
        ("session_corrupted_errors", True, "not a whole number"),
        ("session_corrupted_errors", 2.5, "not a whole number"),
        ("session_corrupted_errors", "5 or vector(1)", "not a whole number"),
        ("session_stuck_for_seconds", -1, "not a whole number from 0"),
        ("many_sessions_corrupted_percent", 100, "not a whole number from 1 to 99"),
        ("scrape_timeout_seconds", 11, "scrape_timeout_seconds is above scrape_interval_seconds"),
        ("session_degraded_errors", 5, "session_degraded_errors is not below session_corrupted_errors"),
        ("exporter_targets", [], "exporter_targets is not a list of host:port"),
        ("exporter_targets", "127.0.0.1:9877", "exporter_targets is not a list of host:port"),
        ("exporter_targets", ["127.0.0.1"], "exporter_targets is not a list of host:port"),
        ("exporter_targets", ["127.0.0.1:70000"], "exporter_targets is not a list of host:port"),
        ("exporter_targets", ['a:1"]\nrule_files: ["x'], "exporter_targets is not a list of host:port"),
        ("webhook_url", "", "webhook_url is not an http"),
        ("webhook_url", "ftp://host/alerts", "webhook_url is not an http"),
        ("webhook_url", "http://host:port/alerts", "webhook_url is not an http"),
        ("webhook_url", 'http://host/"\nreceivers: []', "webhook_url is not one line"),
        ("runbook_base_url", "https://host/{{ $labels.session }}", "runbook_base_url is not an http"),
        ("notify_url", 7, "notify_url is not one line of text"),
        ("webhook_bearer_token_file", "", "webhook_bearer_token_file is empty"),
        ("webhook_bearer_token_file", "a\nb", "webhook_bearer_token_file is not one line"),
    ],
)
def test_a_bad_value_is_refused_by_name(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render.load_values("", {key: value})


def test_a_refused_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        render.load_values("", {"notify_url": "hxxp://hooks.example/secret-token"})
    assert "secret-token" not in str(refused.value)


def test_awkward_but_legal_values_stay_what_they_are() -> None:
    values = render.load_values(
        "",
        {
            "webhook_url": "https://[::1]:9878/alerts?a=b&c=d",
            "webhook_bearer_token_file": 'C: "odd" #folder/tökën',
            "exporter_targets": ["[::1]:9877", "host-2.example:80"],
            "notify_url": "https://hooks.example/T/B?x=1",
            "watchdog_url": "https://switch.example/ping",
        },
    )
    files = render.render(values)
    receivers = {
        item["name"]: item.get("webhook_configs") for item in yaml.safe_load(files["alertmanager.yml"])["receivers"]
    }
    assert receivers["sessionmedic"][0]["url"] == "https://[::1]:9878/alerts?a=b&c=d"
    assert receivers["sessionmedic"][0]["http_config"]["authorization"]["credentials_file"] == 'C: "odd" #folder/tökën'
    assert receivers["notify"] == [{"url": "https://hooks.example/T/B?x=1", "send_resolved": True}]
    assert receivers["watchdog"] == [{"url": "https://switch.example/ping", "send_resolved": False}]
    scrapes = {item["job_name"]: item for item in yaml.safe_load(files["prometheus.yml"])["scrape_configs"]}
    assert scrapes["sessionmedic-exporter"]["static_configs"] == [{"targets": ["[::1]:9877", "host-2.example:80"]}]


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MONITORING / "render.py"), *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_writes_all_files(tmp_path: Path) -> None:
    (tmp_path / "vars.yml").write_text("notify_url: http://127.0.0.1:1/hook\nscrape_interval_seconds: 3\n")
    sets = ("session_corrupted_errors=9", "exporter_targets=a:1,b:2", "scrape_interval_seconds=4")
    result = script(
        *("--output", str(tmp_path / "out"), "--profile", "demo", "--vars", str(tmp_path / "vars.yml")),
        *(word for value in sets for word in ("--set", value)),
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    written = {str(path.relative_to(tmp_path / "out")): path.read_text() for path in (tmp_path / "out").rglob("*.yml")}
    assert written == render.render(
        render.load_values(
            "demo",
            {"notify_url": "http://127.0.0.1:1/hook"},
            {"session_corrupted_errors": 9, "exporter_targets": ["a:1", "b:2"], "scrape_interval_seconds": 4},
        )
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "lax"], "The profile 'lax' is not known. Known: demo."),
        (["--set", "novalue"], "--set 'novalue' has no value."),
        (["--set", "session_corrupted_errors=many"], "session_corrupted_errors is not a whole number"),
        (["--vars", "missing.yml"], "missing.yml cannot be read: No such file or directory."),
    ],
)
def test_a_refused_command_writes_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = script("--output", str(tmp_path / "out"), *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("render: ") and message in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["notify_url: 'planted-secret\nb: [", "- planted-secret", "planted-secret"])
def test_a_vars_file_that_is_not_a_mapping_is_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "vars.yml").write_text(text)
    result = script("--output", str(tmp_path / "out"), "--vars", str(tmp_path / "vars.yml"))
    assert result.returncode == 2 and "vars.yml" in result.stderr
    assert "planted-secret" not in result.stderr


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = script("--output", str(tmp_path / "file" / "out"))
    assert result.returncode == 1
    assert "out cannot be written: Not a directory. Choose another --output." in result.stderr
    assert "Traceback" not in result.stderr
