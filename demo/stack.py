"""Everything that the main job needs, started on free ports of 127.0.0.1 in one folder.

Real: Redis, Prometheus, Alertmanager, the exporter, the webhook, the worker, Ansible, Baileys and libsignal. Only the
WhatsApp server is a stand-in (see sandbox/README.md).
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.services import Alertmanager, HttpService, Prometheus, RedisServer, Service

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
BACKEND = "sandbox"
SANDBOX_PASSWORD = "sandbox-password"


class Sandbox(Service):
    """The backend that is broken: real Baileys sessions and the stand-in for WhatsApp."""

    name = "sandbox"
    # Each session pairs, makes 812 pre-keys as Baileys does, and reads a message of each peer.
    ready_seconds = 150.0

    def __init__(self, folder: Path, sessions: tuple[int, ...], **options: Any) -> None:
        super().__init__(folder)
        self.data = self.folder.resolve() / "data"
        self.config = {"data_dir": str(self.data), "sessions": list(sessions), **options}
        self.api = self.control = ""

    @property
    def session_path(self) -> Path:
        return self.data / "sessions"

    @property
    def log_dir(self) -> Path:
        return self.data / "logs"

    def prepare(self) -> None:
        self.log_path.unlink(missing_ok=True)
        (self.folder / "sandbox.json").write_text(json.dumps(self.config), "utf-8")

    def command(self) -> list[str]:
        return ["node", str(ROOT / "sandbox/src/main.mjs"), "--config", str(self.folder.resolve() / "sandbox.json")]

    def ready(self) -> bool:
        for line in self.log_path.read_text("utf-8").splitlines():
            if line.startswith("READY "):
                where = json.loads(line.removeprefix("READY "))
                self.api, self.control = where["api"], where["control"]
                # The same ports after a restart: others hold the address.
                self.config["api_port"] = int(self.api.rpartition(":")[2])
                self.config["control_port"] = int(self.control.rpartition(":")[2])
                return True
        return False

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """GET ``/control/<path>``, or POST when there is a body."""
        return ask(f"{self.control}/control/{path}", body)

    def messages(self, session: int, since: float) -> dict[str, Any]:
        """``sent``, ``decrypted``, ``failed`` of the messages that peers sent since then."""
        answer: dict[str, Any] = self.ask(f"sessions/{session}/messages?since={since}")
        return answer

    def break_session(self, session: int, fault: str, **options: Any) -> float:
        """Cause ``fault``; epoch seconds at which it was done."""
        return float(self.ask(f"sessions/{session}/fault", {"fault": fault, **options})["at"])


class SessionExporter(HttpService):
    """session-exporter with the configuration file ``config``."""

    name = "session-exporter"

    def __init__(self, folder: Path, config: Path, port: int = 0) -> None:
        super().__init__(folder, port)
        self.config = config

    def command(self) -> list[str]:
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        return [str(BIN / "session-exporter"), f"--config.file={self.config}", listen]


class AlertWebhook(HttpService):
    """alert-webhook with the configuration file ``config``; ready is asked without a worker too."""

    name = "alert-webhook"

    def __init__(self, folder: Path, config: Path, token: str, port: int = 0) -> None:
        super().__init__(folder, port)
        self.config = config
        self._token = token

    def command(self) -> list[str]:
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        return [str(BIN / "alert-webhook"), f"--config.file={self.config}", listen]

    def ready(self) -> bool:
        try:
            return self.request("GET", "/-/healthy")[0] == 200
        except OSError:
            return False

    def api(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """GET ``/api/<path>``, or POST when there is a body."""
        return ask(f"{self.url}/api/{path}", body, {"Authorization": f"Bearer {self._token}"})


class AlertWorker(Service):
    """alert-worker with the configuration file ``config``; ready when the webhook says that somebody works."""

    name = "alert-worker"

    def __init__(self, folder: Path, config: Path, webhook: AlertWebhook) -> None:
        super().__init__(folder)
        self.config = config
        self._webhook = webhook

    def command(self) -> list[str]:
        return [str(BIN / "alert-worker"), f"--config.file={self.config}"]

    def ready(self) -> bool:
        try:
            return self._webhook.request("GET", "/-/ready")[0] == 200
        except OSError:
            return False


@dataclass(frozen=True)
class Durations:
    """What is shortened against production, in seconds; counts and expressions are never changed."""

    verify_settle: float = 5.0
    verify_timeout: float = 15.0
    poll: float = 2.0
    cooldown: float = 5.0


@dataclass
class Stack:
    """All parts; ``start`` starts them in order, ``stop`` stops what was started, in the opposite order."""

    folder: Path
    sessions: tuple[int, ...] = (2, 26, 27)
    durations: Durations = field(default_factory=Durations)
    sandbox_options: dict[str, Any] = field(default_factory=dict)
    profile: str = "demo"
    redis_password: str = ""

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token = secrets.token_urlsafe(24)
        self.inventory = self.folder / "inventory.yml"
        self.logs = self.folder / "logs"
        self.backups = self.folder / "backups"
        self.redis = RedisServer(self.folder / "redis", password=self.redis_password)
        self.sandbox = Sandbox(self.folder / "sandbox", self.sessions, **self.sandbox_options)
        self.exporter = SessionExporter(self.folder / "exporter", self.folder / "exporter.yml")
        self.webhook = AlertWebhook(self.folder / "webhook", self.folder / "webhook.yml", self.token)
        self.worker = AlertWorker(self.folder / "worker", self.folder / "webhook.yml", self.webhook)
        monitoring = self.folder / "monitoring"
        self.alertmanager = Alertmanager(self.folder / "alertmanager", monitoring / "alertmanager.yml")
        self.prometheus = Prometheus(self.folder / "prometheus", monitoring / "prometheus.yml")
        self.running: list[Service] = []

    def services(self) -> list[Service]:
        """In the order in which they are started."""
        return [
            self.redis,
            self.sandbox,
            self.exporter,
            self.webhook,
            self.worker,
            self.alertmanager,
            self.prometheus,
        ]

    def launch(self, service: Service) -> None:
        """Start one part, after its configuration was written."""
        # Before it runs: a start that is broken off must be ended too.
        self.running.append(service)
        if service is self.exporter:
            self.configure()
        service.start()

    def start(self) -> Stack:
        for service in self.services():
            self.launch(service)
        return self

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()

    def __enter__(self) -> Stack:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def backend(self) -> dict[str, Any]:
        """The sandbox as inventory variable ``whatsapp_backend`` and as the exporter's entry."""
        logs = self.sandbox.log_dir
        return {
            "kind": "whaticket",
            "url": self.sandbox.api,
            "auth": {"type": "login", "username": "admin@sandbox.test", "password": SANDBOX_PASSWORD},
            "session_path": str(self.sandbox.session_path),
            "backup_path": str(self.backups),
            "log_sources": [
                {"path": str(logs / "backend.out.log"), "stream": "stdout"},
                {"path": str(logs / "backend.err.log"), "stream": "stderr"},
            ],
        }

    def environment(self) -> dict[str, str]:
        """For commands by hand against this stack."""
        return {
            **os.environ,
            "REDIS_URL": self.redis.url,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_INVENTORY": str(self.inventory),
            "SESSIONMEDIC_LOG_PATH": str(self.logs),
        }

    def playbook(self, name: str, *arguments: str, timeout: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Run a playbook by hand."""
        command = [str(BIN / "ansible-playbook"), str(ROOT / "playbooks" / f"{name}.yml"), *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def configure(self) -> None:
        """Write every part's configuration; the sandbox runs, because its address stands in it."""
        durations = self.durations
        _write_yaml(
            self.inventory,
            {
                "whatsapp_backends": {
                    "hosts": {BACKEND: {"ansible_connection": "local", "whatsapp_backend": self.backend()}}
                }
            },
        )
        _write_yaml(
            self.exporter.config,
            {
                "state_path": str(self.folder / "exporter/state"),
                "redis_url": self.redis.url,
                "poll": {"connection_seconds": durations.poll, "transitory_seconds": durations.poll},
                "backends": [{"name": BACKEND, **self.backend()}],
            },
        )
        token_file = self.folder / "webhook_token"
        _write_private(token_file, self.token)
        _write_yaml(
            self.webhook.config,
            {
                "redis_url": self.redis.url,
                "auth": {"bearer_token_file": str(token_file)},
                "playbook_path": str(ROOT / "playbooks"),
                "inventory": str(self.inventory),
                "ansible_config": str(ROOT / "ansible.cfg"),
                "log_path": str(self.logs),
                "cooldown_seconds": durations.cooldown,
                "variables": {
                    "verify_settle_seconds": durations.verify_settle,
                    "verify_timeout_seconds": durations.verify_timeout,
                },
            },
        )
        self._render_monitoring(token_file)

    def _render_monitoring(self, token_file: Path) -> None:
        settings = {
            "exporter_targets": f"127.0.0.1:{self.exporter.port}",
            "webhook_targets": f"127.0.0.1:{self.webhook.port}",
            "alertmanager_targets": f"127.0.0.1:{self.alertmanager.port}",
            "webhook_url": f"{self.webhook.url}/alerts",
            "webhook_bearer_token_file": str(token_file),
        }
        command = [sys.executable, str(ROOT / "monitoring/render.py"), "--output", str(self.folder / "monitoring")]
        command += ["--profile", self.profile] if self.profile else []
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def ask(url: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Any:
    """JSON from our own servers on 127.0.0.1; raises OSError when they do not answer well."""
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: TID251 - no backend is asked here
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{url} answered {error.code}: {error.read(300)!r}") from None


def wait_until(check: Any, seconds: float, every: float = 0.2) -> Any:
    """What ``check`` returns once it is true; None when it is not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            return None
        time.sleep(every)


def _write_yaml(path: Path, content: Any) -> None:
    _write_private(path, yaml.safe_dump(content, sort_keys=False))


def _write_private(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content, "utf-8")
