"""The real exporter as a process, and what it reads."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.services import HttpService

DEADLINE_SECONDS = 30.0

T = TypeVar("T")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def eventually(look: Callable[[], T], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """The first true answer of ``look``; AssertionError naming ``what`` when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not seen within {seconds:g} s: {what}"
        time.sleep(0.05)


class Exporter(HttpService):
    """session-exporter with the configuration ``config``, whose state lies in ``folder``."""

    name = "session-exporter"

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        super().__init__(folder)
        self.config = {"state_path": str(self.folder / "state"), **config}
        self.config_path = self.folder / "exporter.yml"

    def prepare(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config), encoding="utf-8")

    def command(self) -> list[str]:
        return [
            str(Path(sys.executable).with_name("session-exporter")),
            f"--config.file={self.config_path}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def metrics(self) -> Samples:
        """All samples by name and labels."""
        status, body = self.request("GET", "/metrics")
        if status != 200:
            raise ConnectionError(f"/metrics answered {status}")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """One sample; None when it is absent."""
        return self.metrics().get((name, frozenset(labels.items())))


def errors(samples: Samples) -> dict[tuple[str, str], int]:
    """Session and kind to whatsapp_session_errors_total, zeros left out."""
    found = {}
    for (name, labels), value in samples.items():
        if name == "whatsapp_session_errors_total" and value:
            by_name = dict(labels)
            found[by_name["session"], by_name["kind"]] = int(value)
    return found


def failure(session: str | None, serial: int, **fields: object) -> bytes:
    """A record as Baileys writes it (shape of tests/data/baileys-7/invalid-prekey-id.log), with the session's id."""
    peer = f"5511{serial:09d}"
    place = "(/app/node_modules/libsignal/src/session_cipher.js:205:30)"
    own = {} if session is None else {"whatsappId": session}
    record = {
        "level": 50,
        "time": int(time.time() * 1000),
        "pid": 16397,
        "hostname": "vm",
        **own,
        "key": {"remoteJid": f"{peer}@s.whatsapp.net", "fromMe": False, "id": f"3EB0{serial:016d}"},
        "err": {
            "type": "PreKeyError",
            "message": "Invalid PreKey ID",
            "stack": f"PreKeyError: Invalid PreKey ID\n    at async {peer}.0 [as awaitable] {place}",
            "name": "PreKeyError",
        },
        "messageType": "pkmsg",
        **fields,
        "msg": "failed to decrypt message",
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def append(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


@contextmanager
def silent_backend() -> Iterator[str]:
    """The URL of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in taken:
            connection.close()
