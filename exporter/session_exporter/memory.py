"""Memory and start time of the backends' processes, found by the port that they listen on."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from sessionmedic.service_log import MEMORY

from .store import BackendStore

# They listen for somebody else: their memory says nothing of the backend.
FORWARDERS = frozenset(
    {
        "caddy",
        "conmon",
        "docker-proxy",
        "envoy",
        "haproxy",
        "kubectl",
        "nginx",
        "pasta",
        "pasta.avx2",
        "rootlessport",
        "slirp4netns",
        "ssh",
        "sshd",
        "traefik",
    }
)
_ANY = ("0.0.0.0", "::")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessMemory:
    """Bytes by kind (``rss`` of the process, ``children`` of all below it), and its start in epoch seconds."""

    bytes: Mapping[str, int] = field(default_factory=dict)
    started_at: float | None = None


def listeners() -> dict[tuple[str, int], int]:
    """Process ids by the address and port they listen on; those of other users need CAP_SYS_PTRACE."""
    return {
        (connection.laddr.ip, connection.laddr.port): connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid
    }


def measure(url: str, listening: Mapping[tuple[str, int], int]) -> ProcessMemory:
    """Memory of the process that serves ``url`` on this machine; empty when it is elsewhere or not to be seen."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = {item[4][0] for item in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except OSError:
        return ProcessMemory()
    pid = next((listening[str(address), port] for address in addresses if (address, port) in listening), None)
    if pid is None and any(_is_local(str(address)) for address in addresses):
        pid = next((listening[address, port] for address in _ANY if (address, port) in listening), None)
    return ProcessMemory() if pid is None else _of_process(pid)


def _of_process(pid: int) -> ProcessMemory:
    try:
        process = psutil.Process(pid)
        if process.name() in FORWARDERS:
            return ProcessMemory()
        kinds = {"rss": process.memory_info().rss}
        started_at = process.create_time()
        below = 0
        for child in process.children(recursive=True):
            try:
                below += child.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return ProcessMemory()
    return ProcessMemory({**kinds, "children": below} if below else kinds, started_at)


def _is_local(address: str) -> bool:
    if address == "::1" or address.startswith("127."):
        return True
    return any(address == own.address for owned in psutil.net_if_addrs().values() for own in owned)


class MemoryWatch:
    """Measures all backends every ``seconds``, with one look at the machine's sockets."""

    def __init__(self, seconds: float, backends: Sequence[tuple[BackendStore, str]]) -> None:
        self._seconds = seconds
        self._backends = backends

    def look(self) -> None:
        try:
            listening = listeners()
        except (psutil.Error, OSError) as error:
            _log.warning(
                "Listening sockets cannot be seen (%s): memory is not known.",
                type(error).__name__,
                extra={"category": MEMORY},
            )
            listening = {}
        for store, url in self._backends:
            found = measure(url, listening)
            store.measured(found.bytes, found.started_at)

    def run(self, stop: threading.Event) -> None:
        self.look()
        while not stop.wait(self._seconds):
            self.look()
