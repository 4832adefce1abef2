"""Every module documents what it accepts and returns, and every list of modules is complete."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessionmedic.config import AuthConfig, BackendConfig, CredentialsTable, ErrorPattern, LogSource
from tests.playbooks import ROOT

PLUGINS = ROOT / "plugins"
COLLECTION = "ansible_collections.sessionmedic.whatsapp.plugins"
# Implemented by action plugins alone.
ON_THE_CONTROLLER = {"session_request", "session_select", "session_summary", "session_table"}
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
BOTH_WAYS = [name for name in MODULES if name not in ON_THE_CONTROLLER]


def module(name: str) -> Any:
    return importlib.import_module(f"{COLLECTION}.modules.{name}")


@cache
def documentation() -> dict[str, Any]:
    """What ansible-doc makes of all modules, fragments included."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-doc"), "--json", "-t", "module"]
        + [f"sessionmedic.whatsapp.{name}" for name in MODULES],
        cwd=ROOT,
        env={**os.environ, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.rpartition(".")[2]: item for name, item in json.loads(done.stdout).items()}


def as_documented(spec: dict[str, Any]) -> dict[str, Any]:
    """An argument specification in the words of documentation."""
    return {
        name: {
            "type": option["type"],
            "elements": option.get("elements"),
            "choices": list(option["choices"]) if option.get("choices") else None,
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "options": as_documented(option["options"]) if option.get("options") else {},
        }
        for name, option in spec.items()
    }


def as_read(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "type": option["type"],
            "elements": option.get("elements"),
            "choices": list(option["choices"]) if option.get("choices") else None,
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "options": as_read(option.get("suboptions") or {}),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_options_are_documented_as_they_are(name: str) -> None:
    documented = as_read(documentation()[name]["doc"]["options"])
    assert documented == as_documented(module(name).ARGUMENT_SPEC)


@pytest.mark.parametrize("name", MODULES)
def test_every_returned_key_has_a_type_and_a_sample(name: str) -> None:
    def check(keys: dict[str, Any], top: bool) -> None:
        for key, about in keys.items():
            assert about["type"], key
            assert "sample" in about, key
            assert about["description"], key
            assert not top or about["returned"], key
            check(about.get("contains") or {}, top=False)

    returned = documentation()[name]["return"]
    assert returned
    check(returned, top=True)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_examples_and_says_what_it_supports(name: str) -> None:
    about = documentation()[name]
    assert "sessionmedic.whatsapp." in about["examples"]
    attributes = about["doc"]["attributes"]
    for attribute in ("check_mode", "diff_mode", "idempotent"):
        assert attributes[attribute]["support"] in ("full", "none", "N/A"), attribute


def test_secrets_are_no_log() -> None:
    argspec = importlib.import_module(f"{COLLECTION}.module_utils._argspec")
    secret = {key for key, option in {**argspec.BACKEND, **argspec.AUTH}.items() if option.get("no_log")}
    assert secret == {"password", "token", "redis_url", "database_url"}
    assert argspec.guard_spec()["redis_url"]["no_log"]


@pytest.mark.parametrize(
    ("spec", "dataclass"),
    [
        ("BACKEND", BackendConfig),
        ("AUTH", AuthConfig),
        ("LOG_SOURCE", LogSource),
        ("ERROR_PATTERN", ErrorPattern),
        ("CREDENTIALS_TABLE", CredentialsTable),
    ],
)
def test_the_backend_options_are_the_fields_of_its_configuration(spec: str, dataclass: Any) -> None:
    argspec = importlib.import_module(f"{COLLECTION}.module_utils._argspec")
    fields = {field.name for field in dataclasses.fields(dataclass)} - (
        {"name"} if dataclass is BackendConfig else set()
    )
    assert set(getattr(argspec, spec)) == fields


def test_the_action_group_has_all_modules_that_take_the_shared_options() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert runtime["action_groups"] == {"session": BOTH_WAYS}
    assert runtime["requires_ansible"] == ">=2.19.0"
    for name in BOTH_WAYS:
        group = documentation()[name]["doc"]["attributes"]["action_group"]
        assert group["membership"] == ["sessionmedic.whatsapp.session"]


def test_every_module_has_an_action_plugin_of_its_name() -> None:
    assert sorted(path.stem for path in (PLUGINS / "action").glob("*.py")) == MODULES
    for name in BOTH_WAYS:
        plugin = importlib.import_module(f"{COLLECTION}.action.{name}").ActionModule
        assert plugin.module is module(name)


def test_both_configurations_of_ansible_say_the_same() -> None:
    def read(path: Path) -> dict[str, str]:
        parser = configparser.ConfigParser()
        parser.read(path)
        values = {**parser["defaults"], **parser["callback_remediation"]}
        for key in ("collections_path", "inventory", "log_path"):
            values[key] = str((path.parent / values[key]).resolve())
        return values

    assert read(ROOT / "ansible.cfg") == read(ROOT / "playbooks/ansible.cfg")


def test_what_runs_on_managed_hosts_is_python_3_9() -> None:
    shipped = [*(PLUGINS / "modules").glob("*.py"), *(PLUGINS / "module_utils").glob("_*.py")]
    assert len(shipped) > len(MODULES)
    for path in shipped:
        ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
