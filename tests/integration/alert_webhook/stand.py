"""A webhook and workers as processes of their own, against a real Redis."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessionmedic.redis_client import Client, connect
from tests.services import HttpService, RedisServer, Service

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
PLAYBOOKS = Path(__file__).parent / "playbooks"
BACKEND = "shop"


class Webhook(HttpService):
    name = "alert-webhook"

    def __init__(self, folder: Path, config: Path, arguments: tuple[str, ...] = ()) -> None:
        super().__init__(folder)
        self.config = config
        self.arguments = arguments

    def command(self) -> list[str]:
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        return [str(BIN / "alert-webhook"), f"--config.file={self.config}", listen, *self.arguments]

    def ready(self) -> bool:
        try:
            return self.request("GET", "/-/healthy")[0] == 200
        except OSError:
            return False


class Worker(Service):
    name = "alert-worker"

    def __init__(self, folder: Path, config: Path) -> None:
        super().__init__(folder)
        self.config = config

    def command(self) -> list[str]:
        return [str(BIN / "alert-worker"), f"--config.file={self.config}"]

    def ready(self) -> bool:
        return "waiting for jobs" in self.log_tail()


@dataclass
class Stand:
    """Redis and one configuration; webhooks and workers are started as a test wants them and end with it."""

    folder: Path
    redis: RedisServer
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    running: list[Service] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.steering = self.folder / "steering"
        self.steering.mkdir()
        self.logs = self.folder / "logs"
        self.token_file = self.folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(f"{self.token}\n")
        self.client: Client = connect(self.redis.url)

    def configure(self, **changes: Any) -> Path:
        """The file for webhook and worker; ``None`` leaves a key away."""
        settings: dict[str, Any] = {
            "redis_url": self.redis.url,
            "auth": {"bearer_token_file": str(self.token_file)},
            "playbook_path": str(PLAYBOOKS),
            "ansible_config": str(ROOT / "ansible.cfg"),
            "log_path": str(self.logs),
            "backends": [BACKEND],
            "cooldown_seconds": 0,
            "heartbeat_seconds": 1,
            "variables": {"steering": str(self.steering)},
            **changes,
        }
        path = self.folder / f"webhook-{next(self.numbers)}.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({key: value for key, value in settings.items() if value is not None}))
        return path

    def webhook(self, config: Path, *arguments: str) -> Webhook:
        return self._start(Webhook(self.folder / f"webhook-{next(self.numbers)}", config, arguments))

    def worker(self, config: Path) -> Worker:
        return self._start(Worker(self.folder / f"worker-{next(self.numbers)}", config))

    def _start(self, service: Any) -> Any:
        self.running.append(service)
        return service.start()

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()
        self.client.close()

    def ask(
        self, webhook: Webhook, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; the right token unless another Authorization is given."""
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection("127.0.0.1", webhook.port, timeout=20)
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def json(self, webhook: Webhook, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, _, answer = self.ask(webhook, method, path, None if body is None else json.dumps(body).encode())
        return status, json.loads(answer)

    def post(self, webhook: Webhook, *alerts: dict[str, Any]) -> tuple[int, Any]:
        return self.json(webhook, "POST", "/alerts", payload(*alerts))

    def remediations(self, webhook: Webhook) -> list[dict[str, Any]]:
        status, answer = self.json(webhook, "GET", "/api/remediations")
        assert status == 200, answer
        return list(answer["remediations"])

    def ended(self, webhook: Webhook, session: str, seconds: float = 20.0) -> dict[str, Any]:
        """The newest remediation of a session, once it has ended."""

        def newest() -> dict[str, Any] | None:
            mine = [one for one in self.remediations(webhook) if one["session"] == session]
            return mine[0] if mine and mine[0]["finished_at"] else None

        return dict(until(newest, seconds, f"the end of the repair of {session}"))

    def effects(self) -> list[str]:
        path = self.steering / "effects"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def steer(self, what: str, session: str) -> Path:
        path = self.steering / f"{what}-{session}"
        path.touch()
        return path

    def audit(self) -> list[dict[str, Any]]:
        path = self.logs / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def alert(session: str | None = "26", status: str = "firing", **labels: Any) -> dict[str, Any]:
    """An alert as Alertmanager sends it; a label that is None is left away."""
    all_labels = {
        "alertname": "WhatsAppSessionCorrupted",
        "backend": BACKEND,
        "session": session,
        "severity": "critical",
        "remediation": "fix_session",
        **labels,
    }
    return {
        "status": status,
        "labels": {name: value for name, value in all_labels.items() if value is not None},
        "annotations": {"summary": "Session corrupted"},
        "startsAt": "2026-11-21T02:30:45.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"f{abs(hash(str(session))):x}"[:16],
    }


def payload(*alerts: dict[str, Any], version: str = "4") -> dict[str, Any]:
    """Alertmanager's webhook payload."""
    return {
        "version": version,
        "groupKey": '{}:{alertname="WhatsAppSessionCorrupted"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "sessionmedic",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
    }


def until(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``check`` returns once it is true; fails the test when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
