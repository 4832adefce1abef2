"""Names of the backends that may be repaired: those of the inventory, unless the configuration lists them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from sessionmedic.errors import ConfigError
from sessionmedic.service_log import one_line, redact

from .config import WebhookConfig

# How soon an unknown name may have the inventory read again: it costs about half a second of CPU.
REREAD_SECONDS = 60.0
_READ_TIMEOUT = 60.0

# A process of its own: the webhook stays free of Ansible, which takes 40 MB and 0.3 s, and of what inventory plugins
# do. Variables are not evaluated, so no vault password is asked for and no lookup runs.
_LIST = """
import json, sys
import ansible.cli
from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([])
sources = sys.argv[1:] or constants.DEFAULT_HOST_LIST
group = InventoryManager(loader=DataLoader(), sources=sources).groups.get("whatsapp_backends")
print(json.dumps([host.name for host in group.get_hosts()] if group else []))
"""


class BackendNames(Protocol):
    """What the webhook asks."""

    def all(self) -> tuple[str, ...]:
        """Every name."""

    def __contains__(self, name: str) -> bool: ...


class ListedBackends:
    """Names that the configuration gives."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def all(self) -> tuple[str, ...]:
        return self._names

    def __contains__(self, name: str) -> bool:
        return name in self._names


class InventoryBackends:
    """Hosts of group ``whatsapp_backends``; read again, at most once a minute, when an unknown name is asked for.

    :param read: the names, from the inventory.
    """

    def __init__(
        self, read: Callable[[], tuple[str, ...]], clock: Callable[[], float] = time.monotonic, every: float = 0.0
    ) -> None:
        self._read = read
        self._clock = clock
        self._every = every or REREAD_SECONDS
        self._lock = threading.Lock()
        self._names = read()
        self._read_at = clock()

    def all(self) -> tuple[str, ...]:
        return self._names

    def __contains__(self, name: str) -> bool:
        if name in self._names:
            return True
        with self._lock:
            if self._clock() - self._read_at >= self._every:
                self._read_at = self._clock()
                try:
                    self._names = self._read()
                except ConfigError:
                    # A file that is being edited must not take the backends away that we know.
                    return False
        return name in self._names


def backend_names(config: WebhookConfig) -> BackendNames:
    """As configured. :raises ConfigError: the inventory cannot be read, or has no backend."""
    if config.backends is not None:
        return ListedBackends(config.backends)
    return InventoryBackends(lambda: read_inventory(config))


def read_inventory(config: WebhookConfig) -> tuple[str, ...]:
    """Hosts of group ``whatsapp_backends``. :raises ConfigError: it cannot be read, or there is none."""
    environment = dict(os.environ)
    if config.ansible_config is not None:
        environment["ANSIBLE_CONFIG"] = str(config.ansible_config)
    sources = [str(config.inventory)] if config.inventory is not None else []
    try:
        listed = subprocess.run(
            [sys.executable, "-c", _LIST, *sources],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_READ_TIMEOUT,
            check=False,
        )
        names = tuple(json.loads(listed.stdout.splitlines()[-1])) if listed.returncode == 0 else ()
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"The inventory was not read within {_READ_TIMEOUT:.0f} s.", "List the backends in the file instead."
        ) from None
    if not names:
        told = one_line(redact(listed.stderr.strip()), 300)
        raise ConfigError(
            f"The inventory {config.inventory or ''} has no host in group whatsapp_backends.",
            f"Add one, or list the backends in the file. {told}".strip(),
        )
    return names
