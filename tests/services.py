"""Real servers for tests, on free ports of 127.0.0.1 and in folders of the test.

Every class takes the folder it may write in, and is used as a context manager or with start() and stop()::

    with RedisServer(tmp_path / "redis") as server:
        client = redis.Redis.from_url(server.url)

The port is chosen by the constructor, so that one server's address can be written into another one's configuration
before either runs, and it stays the same over stop() and start(). stop() keeps the data.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 4000

ServiceT = TypeVar("ServiceT", bound="Service")


class ServiceError(RuntimeError):
    """A server did not start; the message ends with the tail of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """One process of a server: subclasses say how it is started and when it is ready."""

    name = ""
    ready_seconds = READY_SECONDS

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.log_path = self.folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id while it runs; raises ServiceError otherwise."""
        if self._process is None:
            raise ServiceError(f"{self.name} is not running.")
        return self._process.pid

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def prepare(self) -> None:
        """Write what the server needs before each start."""

    def start(self: ServiceT) -> ServiceT:
        """Start and wait until it answers; raises ServiceError with the log's tail if it does not."""
        if self._process is not None:
            raise ServiceError(f"{self.name} runs already.")
        self.prepare()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.kill()
            raise
        return self

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.ready_seconds
        while not self.ready():
            code = process.poll()
            if code is not None or time.monotonic() > deadline:
                why = f"is not ready after {self.ready_seconds:.0f} s" if code is None else f"ended with code {code}"
                raise ServiceError(f"{self.name} {why}:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """SIGTERM, SIGKILL if that does not end it; data stays. Harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash does; data stays."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log_tail(self) -> str:
        data = self.log_path.read_bytes() if self.log_path.exists() else b""
        return data[-LOG_TAIL_BYTES:].decode(errors="replace")

    def __enter__(self: ServiceT) -> ServiceT:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class HttpService(Service):
    """A server that says at /-/ready when it is ready."""

    def ready(self) -> bool:
        try:
            return self.request("GET", "/-/ready")[0] == 200
        except OSError:
            return False

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status code and body; raises OSError when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(
                method, path, body, {**(headers or {}), **({"Content-Type": "application/json"} if body else {})}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.name} broke off its answer.") from error
        finally:
            connection.close()

    def get_json(self, path: str) -> Any:
        status, body = self.request("GET", path)
        if status != 200:
            raise ServiceError(f"{self.name} answered {status} to GET {path}: {body[:500]!r}")
        return json.loads(body)

    def reload(self) -> None:
        """Have it read its configuration again; raises ServiceError when it refuses that."""
        status, body = self.request("POST", "/-/reload", timeout=60)
        if status != 200:
            raise ServiceError(f"{self.name} refused its configuration: {body[:2000]!r}")


class Prometheus(HttpService):
    """Prometheus with the configuration file ``config``; rule files are found relative to that file."""

    name = "prometheus"

    def __init__(self, folder: Path, config: Path, port: int = 0) -> None:
        super().__init__(folder, port)
        self.config = Path(config)

    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.config.resolve()}",
            f"--storage.tsdb.path={self.folder.resolve() / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
            # Alertmanagers are found some 5 s after the start; what fired before would be sent a minute later.
            "--rules.alert.resend-delay=5s",
        ]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Instant query: [{"metric": {label: value}, "value": [epoch seconds, "number"]}, ...]."""
        answer = self.get_json(f"/api/v1/query?{urlencode({'query': expression})}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts: [{"labels", "annotations", "state", "activeAt", "value"}, ...]."""
        result: list[dict[str, Any]] = self.get_json("/api/v1/alerts")["data"]["alerts"]
        return result


class Alertmanager(HttpService):
    """Alertmanager with the configuration file ``config``, without a cluster."""

    name = "alertmanager"

    def __init__(self, folder: Path, config: Path, port: int = 0) -> None:
        super().__init__(folder, port)
        self.config = Path(config)

    def command(self) -> list[str]:
        return [
            "prometheus-alertmanager",
            f"--config.file={self.config.resolve()}",
            f"--storage.path={self.folder.resolve() / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Active alerts with ``labels``, ``status`` (state, inhibitedBy, silencedBy) and ``receivers``."""
        result: list[dict[str, Any]] = self.get_json("/api/v2/alerts")
        return result

    def post_alerts(self, alerts: list[dict[str, Any]]) -> None:
        """Hand in alerts as Prometheus does: [{"labels", "annotations", "startsAt", "endsAt"}, ...]."""
        status, body = self.request("POST", "/api/v2/alerts", json.dumps(alerts).encode())
        if status != 200:
            raise ServiceError(f"alertmanager answered {status} to posted alerts: {body[:500]!r}")


class RedisServer(Service):
    """Redis as we ask users to run it: append-only file on, noeviction."""

    name = "redis"

    def __init__(self, folder: Path, port: int = 0, password: str = "") -> None:
        super().__init__(folder, port)
        self.password = password

    @property
    def url(self) -> str:
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self.folder.resolve()}"',
            "daemonize no",
            "appendonly yes",
            'save ""',
            "maxmemory-policy noeviction",
        ]
        if self.password:
            lines.append(f'requirepass "{self.password}"')
        config = self.folder / "redis.conf"
        config.touch(mode=0o600)
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def command(self) -> list[str]:
        return ["redis-server", str(self.folder.resolve() / "redis.conf")]

    def ready(self) -> bool:
        # Without the right password a server that is up answers with an error; while loading its file, with -LOADING.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                client.sendall(b"PING\r\n")
                answer = client.recv(64)
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))


class PostgresServer(Service):
    """PostgreSQL with one superuser ``postgres`` and its database, over TCP alone.

    PostgreSQL refuses root, and its own user cannot reach into a test's folder (mode 0700): so the data lie in a
    temporary folder of their own that belongs to that user, and go when the context ends.
    """

    name = "postgres"
    user = "postgres"

    def __init__(self, folder: Path, port: int = 0, password: str = "") -> None:
        super().__init__(folder, port)
        self.password = password
        self._home: Path | None = None

    @property
    def url(self) -> str:
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        return f"postgresql://{self.user}{secret}@127.0.0.1:{self.port}/postgres"

    @staticmethod
    def program(name: str) -> str:
        """Path of a program of the newest installed PostgreSQL; Debian keeps them out of PATH."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
        if not found:
            raise ServiceError(f"PostgreSQL's {name} is not installed: apt-get install postgresql.")
        return str(found[-1])

    def prepare(self) -> None:
        if self._home is not None:
            return
        self._home = Path(tempfile.mkdtemp(prefix="sessionmedic-postgres-"))
        secret = self._home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password or "unused", encoding="utf-8")
        if os.geteuid() == 0:
            owner = pwd.getpwnam(self.user)
            for path in (self._home, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        method = "scram-sha-256" if self.password else "trust"
        made = subprocess.run(
            [
                *self._as_owner(),
                self.program("initdb"),
                f"--pgdata={self._home / 'data'}",
                f"--username={self.user}",
                f"--pwfile={secret}",
                f"--auth={method}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            capture_output=True,
            check=False,
            cwd="/",
        )
        secret.unlink()
        if made.returncode:
            raise ServiceError(f"initdb ended with code {made.returncode}:\n{made.stderr.decode(errors='replace')}")

    def _as_owner(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", "--reset-env", "--"]

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "40",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [*self._as_owner(), self.program("postgres"), "-D", f"{self._home}/data", *options]

    def ready(self) -> bool:
        asked = subprocess.run(
            [self.program("pg_isready"), "--host=127.0.0.1", f"--port={self.port}", "--quiet"], check=False
        )
        return asked.returncode == 0

    def _end(self, how: signal.Signals) -> None:
        # SIGTERM is PostgreSQL's "smart" shutdown, which waits for every client; SIGINT is the fast one.
        super()._end(signal.SIGINT if how is signal.SIGTERM else how)

    def __enter__(self) -> PostgresServer:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home)
            self._home = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
