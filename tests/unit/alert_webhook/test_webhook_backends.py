from __future__ import annotations

from pathlib import Path

import pytest

from alert_webhook.backends import InventoryBackends, ListedBackends, backend_names, read_inventory
from alert_webhook.config import WebhookConfig
from sessionmedic.errors import ConfigError

INVENTORY = """
whatsapp_backends:
  hosts:
    shop:
      whatsapp_backend: {url: "{{ lookup('ansible.builtin.pipe', 'touch PWNED') }}"}
    "support.example.com": {}
  children:
    more: {hosts: {third: {}}}
others: {hosts: {elsewhere: {}}}
"""


def test_the_backends_are_the_hosts_of_the_group_and_nothing_is_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY.replace("PWNED", str(tmp_path / "pwned")))
    names = backend_names(WebhookConfig(inventory=path))
    assert set(names.all()) == {"shop", "support.example.com", "third"}
    assert "shop" in names and "elsewhere" not in names
    assert not (tmp_path / "pwned").exists()


def test_a_list_in_the_configuration_goes_first(tmp_path: Path) -> None:
    names = backend_names(WebhookConfig(inventory=tmp_path / "not-read.yml", backends=("only",)))
    assert names.all() == ("only",) and "only" in names and "shop" not in names


@pytest.mark.parametrize("text", ["others: {hosts: {a: {}}}", "whatsapp_backends: {hosts: {}}", "[unclosed"])
def test_an_inventory_without_a_backend_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="inventory.yml has no host in group whatsapp_backends"):
        read_inventory(WebhookConfig(inventory=path))


def test_a_new_backend_is_found_without_a_restart_and_not_looked_for_all_the_time() -> None:
    now = 0.0
    inventory: list[tuple[str, ...] | ConfigError] = [("shop",)]
    reads = []

    def read() -> tuple[str, ...]:
        reads.append(now)
        if isinstance(inventory[0], ConfigError):
            raise inventory[0]
        return inventory[0]

    names = InventoryBackends(read, lambda: now, every=60)
    inventory[0] = ("shop", "new")
    assert "new" not in names and reads == [0.0]
    now = 60.0
    assert "new" in names and "shop" in names and reads == [0.0, 60.0]
    now = 130.0
    inventory[0] = ConfigError("half written")
    assert "other" not in names and "shop" in names
    assert reads == [0.0, 60.0, 130.0]


def test_listed_backends() -> None:
    assert ListedBackends(("a", "b")).all() == ("a", "b")
