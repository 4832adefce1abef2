"""The documentation names every key, its examples load, and the commands that it shows exist."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from alert_webhook import config as webhook_config
from session_exporter import config as exporter_config
from sessionmedic.config import BackendConfig

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text("utf-8")


def keys_of(model: Any) -> set[str]:
    if is_dataclass(model):
        return {item.name for item in fields(model)}
    assert issubclass(model, BaseModel)
    return set(model.model_fields)


@pytest.mark.parametrize(
    "model",
    [
        BackendConfig,
        exporter_config.ExporterConfig,
        exporter_config.PollConfig,
        webhook_config.WebhookConfig,
        webhook_config.AuthConfig,
        webhook_config.TlsConfig,
    ],
    ids=lambda model: model.__name__,
)
def test_every_key_is_documented(model: Any) -> None:
    documented = {part for name in re.findall(r"`([a-z_.]+)`", CONFIGURATION) for part in name.split(".")}
    assert keys_of(model) - documented == set()


def example(name: str) -> str:
    match = re.search(rf"```yaml {name}\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert match
    return match[1]


def test_the_examples_load(tmp_path: Path) -> None:
    backend = yaml.safe_load(example("backend"))
    assert BackendConfig.from_mapping(backend.pop("name"), backend).name == "loja"
    for name, load in (("exporter", exporter_config.load), ("webhook", webhook_config.load)):
        file = tmp_path / f"{name}.yml"
        (tmp_path / "inventory").mkdir(exist_ok=True)
        file.write_text(example(name).replace("/etc/sessionmedic/inventory", "inventory"), "utf-8")
        file.chmod(0o600)
        load(file, {})


@pytest.mark.parametrize("name", ["README.md", "README.pt-BR.md", "CONTRIBUTING.md"])
def test_links_and_commands_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []
    playbooks = re.findall(r"playbooks/\w+\.yml", text)
    assert [playbook for playbook in playbooks if not (ROOT / playbook).exists()] == []
    makefile = (ROOT / "Makefile").read_text("utf-8")
    goals = re.findall(r"make ([a-z]+)", text)
    assert goals
    assert [goal for goal in goals if not re.search(rf"^[a-z0-9 ]*\b{goal}\b[a-z0-9 ]*:", makefile, re.MULTILINE)] == []


def test_both_readmes_have_the_same_commands_and_variables() -> None:
    def code(name: str) -> list[str]:
        text = (ROOT / name).read_text("utf-8")
        found = re.findall(r"-e [a-z_]+=[\w]+|make [a-z]+|[A-Z]+_[A-Z_]+", text)
        return sorted({item for item in found if not item.endswith(("=NAME", "=NOME"))})

    english, portuguese = code("README.md"), code("README.pt-BR.md")
    assert set(portuguese) <= set(english)
    assert len(portuguese) > 10
