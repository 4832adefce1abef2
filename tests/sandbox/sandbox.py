"""Starts the sandbox (``sandbox/``: real Baileys sessions against a local WhatsApp stand-in) and talks to it."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import requests

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "sandbox"
START_SECONDS = 240.0
STOP_SECONDS = 20.0
EMAIL = "admin@sandbox.test"
PASSWORD = "sandbox-password"

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T], seconds: float = 20.0, every: float = 0.1) -> T:
    """Calls ``probe`` until it returns something true.

    :raises AssertionError: it did not within ``seconds``; the message says what was waited for and what came last.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s (last seen: {result!r})")
        time.sleep(every)


class Sandbox:
    """One running sandbox. ``api`` and ``control`` are the base URLs once ``start`` has returned.

    :param config: keys of the sandbox's configuration; ``data_dir`` has to be among them
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.data_dir = Path(self.config["data_dir"])
        self.api = ""
        self.control = ""
        self.token = ""
        self.http = requests.Session()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Sandbox:
        """Returns when every session receives messages from each of its peers.

        :raises RuntimeError: it ended or was not ready in time; the message carries what it wrote to stderr
        """
        if shutil.which("node") is None or not (SANDBOX / "node_modules").is_dir():
            raise RuntimeError("the sandbox needs Node 20 and its packages: run `npm ci --ignore-scripts` in sandbox/")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        config_file = self.data_dir / "sandbox.json"
        config_file.write_text(json.dumps(self.config))
        self.process = subprocess.Popen(
            ["node", str(SANDBOX / "src/main.mjs"), "--config", str(config_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self._first_line(self.process)
        if not line.startswith("READY "):
            self.stop()
            raise RuntimeError(f"the sandbox did not start: {self.errors.strip() or 'nothing on stderr'}")
        urls = json.loads(line.removeprefix("READY "))
        self.api, self.control = urls["api"], urls["control"]
        return self

    @property
    def errors(self) -> str:
        """What the ended process wrote to stderr."""
        return self._errors

    _errors = ""

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=lambda out: lines.put(out.readline()), args=(process.stdout,), daemon=True).start()
        try:
            return lines.get(timeout=START_SECONDS)
        except queue.Empty:
            return ""

    def stop(self) -> int:
        """Ends the sandbox as a supervisor would be ended; returns its exit code."""
        self.http.close()
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            _, self._errors = self.process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, self._errors = self.process.communicate()
        return self.process.returncode

    # -- the control API ----------------------------------------------------------------------------------------------

    def control_get(self, path: str, **query: float) -> Any:
        answer = self.http.get(f"{self.control}/control{path}", params=query, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def control_post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = self.http.post(f"{self.control}/control{path}", json=body or {}, timeout=60)
        if not answer.ok:
            raise AssertionError(f"POST {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def session(self, session: int) -> Any:
        return self.control_get(f"/sessions/{session}")

    def touched(self, session: int) -> dict[str, int]:
        return dict(self.session(session)["touched"])

    def fault(self, session: int, fault: str, **options: object) -> float:
        """Breaks something; returns when, in seconds since the epoch."""
        return float(self.control_post(f"/sessions/{session}/fault", {"fault": fault, **options})["at"])

    def messages(self, session: int, since: float) -> Any:
        return self.control_get(f"/sessions/{session}/messages", since=since)

    def send(self, session: int, count: int, peer: int | None = None, group: bool = False) -> float:
        """Peers send ``count`` messages now (in turn, or all from one); returns the time just before the first."""
        before = time.time()
        time.sleep(0.002)  # the sandbox keeps milliseconds
        self.control_post(f"/sessions/{session}/send", {"count": count, "peer": peer, "group": group})
        return before

    # -- the backend's REST API ---------------------------------------------------------------------------------------

    def login(self) -> str:
        answer = self.http.post(f"{self.api}/auth/login", json={"email": EMAIL, "password": PASSWORD}, timeout=10)
        answer.raise_for_status()
        self.token = answer.json()["token"]
        return self.token

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """A call with a token, whatever the status."""
        if not self.token:
            self.login()
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.http.request(method, f"{self.api}{path}", headers=headers, timeout=30, **options)

    def status(self, session: int) -> str:
        return str(self.call("GET", f"/whatsapp/{session}").json()["status"])

    def wait_status(self, session: int, wanted: str, seconds: float = 20.0) -> None:
        wait_for(f"session {session} {wanted}", lambda: self.status(session) == wanted, seconds)

    # -- remedies, in plain steps -------------------------------------------------------------------------------------

    def disconnect(self, session: int) -> None:
        answer = self.call("PUT", f"/whatsapp/{session}/disconnect")
        assert answer.status_code == 200, answer.text
        wait_for("no socket alive", lambda: self.session(session)["sockets_alive"] == 0)

    def start_session(self, session: int, wanted: str = "CONNECTED") -> None:
        answer = self.call("PUT", f"/whatsapp/{session}/start-session")
        assert answer.status_code == 200, answer.text
        self.wait_status(session, wanted)

    def folder(self, session: int) -> Path:
        return Path(self.config.get("session_path", self.data_dir / "sessions")) / str(session)

    def restart(self, session: int, wanted: str = "CONNECTED") -> None:
        self.disconnect(session)
        self.start_session(session, wanted)

    def regenerate(self, session: int, records: str = "session-*.json") -> None:
        """The records of the Signal sessions are removed while no socket is alive; creds and pre-keys stay."""
        self.disconnect(session)
        for record in self.folder(session).glob(records):
            record.unlink()
        self.start_session(session)

    def restore(self, session: int) -> None:
        """The older copy of the creds takes the place of creds.json."""
        self.disconnect(session)
        self.folder(session).mkdir(parents=True, exist_ok=True)
        shutil.copy(self.data_dir / "creds-copies" / f"{session}.json", self.folder(session) / "creds.json")
        self.start_session(session)

    # -- proof --------------------------------------------------------------------------------------------------------

    def assert_decrypts(self, session: int, per_peer: int = 3, group: bool = False) -> None:
        """Every peer writes; every message is read in the end (a first one may need a retry)."""
        self._assert_outcome(session, "decrypted", per_peer, group)

    def assert_fails(self, session: int, per_peer: int = 3, group: bool = False) -> None:
        """Every peer writes; every message arrives and none can be read."""
        self._assert_outcome(session, "failed", per_peer, group)

    def _assert_outcome(self, session: int, outcome: str, per_peer: int, group: bool) -> None:
        count = per_peer * int(self.config["peers_per_session"])
        since = self.send(session, count, group=group)
        wait_for(f"{count} messages of {session} {outcome}", lambda: self._complete(session, since, outcome, count))

    def _complete(self, session: int, since: float, outcome: str, count: int) -> bool:
        counts = self.messages(session, since)
        assert counts["sent"] == count, counts
        return bool(counts[outcome] == count)

    # -- logs ---------------------------------------------------------------------------------------------------------

    @property
    def log_dir(self) -> Path:
        return Path(self.config.get("log_dir", self.data_dir / "logs"))

    def out_log(self) -> list[dict[str, Any]]:
        """The records of the backend's stdout."""
        text = (self.log_dir / "backend.out.log").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def err_log(self) -> str:
        return (self.log_dir / "backend.err.log").read_text()

    def failures(self, session: int, since: float = 0.0) -> list[dict[str, Any]]:
        """The application's own records about messages of a session that could not be read."""
        return [
            record
            for record in self.out_log()
            if record.get("whatsappId") == session
            and record["msg"] == "[wbotMessageListener] failed to decrypt message"
            and record["time"] >= since * 1000
        ]
