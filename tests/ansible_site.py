"""A backend as Ansible sees it: the sandbox, Redis for locks, a folder for backups, and an inventory of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from tests.playbooks import Ansible, Run
from tests.sandbox.sandbox import EMAIL, PASSWORD, Sandbox, wait_for
from tests.services import RedisServer

REDIS_PASSWORD = "MARKED-redis-password"
DATABASE_MARK = "MARKED-database-password"
BACKEND = "sandbox"
# Peers of the session under test write so often; errors are there soon after a fault.
MESSAGE_MS = 200
# Shortened times; every count is the production one.
FAST = {"verify_settle_seconds": 2, "verify_timeout_seconds": 8}


class Site:
    """A running sandbox with all that a repair needs.

    :param sessions: ids of the sandbox's sessions.
    """

    def __init__(self, folder: Path, sessions: list[int], **sandbox: Any) -> None:
        self.folder = folder
        self.backups = folder / "backups"
        self.redis = RedisServer(folder / "redis", password=REDIS_PASSWORD)
        self.sandbox = Sandbox(
            {
                "data_dir": str(folder / "sandbox"),
                "sessions": sessions,
                "peers_per_session": 2,
                "message_interval_ms": 0,
                "admin_password": PASSWORD,
                **sandbox,
            }
        )

    def start(self) -> Site:
        self.redis.start()
        self.sandbox.start()
        return self

    def stop(self) -> None:
        self.sandbox.stop()
        self.redis.stop()

    @property
    def backend(self) -> dict[str, Any]:
        """``whatsapp_backend`` of the sandbox."""
        logs = self.sandbox.log_dir
        return {
            "url": self.sandbox.api,
            "auth": {"type": "login", "username": EMAIL, "password": PASSWORD},
            "session_path": str(self.sandbox.folder(0).parent),
            "backup_path": str(self.backups),
            "log_sources": [
                {"path": str(logs / "backend.out.log"), "stream": "stdout"},
                {"path": str(logs / "backend.err.log"), "stream": "stderr"},
            ],
        }

    def writing(self, session: int) -> None:
        """Have the peers of ``session`` write until the sandbox stops."""
        self.sandbox.control_post(f"/sessions/{session}/traffic", {"interval_ms": MESSAGE_MS})

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis.url, decode_responses=True)

    def locks(self) -> list[str]:
        with self.client() as client:
            return sorted(str(key) for key in client.scan_iter(match="sessionmedic:lock:*"))

    def ansible(self, folder: Path, backends: Mapping[str, Any] | None = None, **environ: str) -> Ansible:
        return Ansible(folder, backends or {BACKEND: self.backend}, {"REDIS_URL": self.redis.url, **environ})

    def files(self, session: int) -> dict[str, bytes]:
        """The session's files by name."""
        folder = self.sandbox.folder(session)
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}

    def backups_of(self, session: int) -> list[Path]:
        return sorted((self.backups / BACKEND / str(session)).glob("2*"))


def broken(site: Site, session: int, fault: str, **options: Any) -> None:
    """Break a session, and wait until enough messages failed for it to count as corrupted."""
    site.writing(session)
    at = site.sandbox.fault(session, fault, **options)
    wait_for("errors", lambda: site.sandbox.messages(session, at)["failed"] >= 6)


def reads_again(site: Site, session: int) -> None:
    """New messages of every peer decrypt."""
    site.writing(session)
    since = time.time()
    wait_for(
        f"messages of every peer of {session}",
        lambda: min(site.sandbox.messages(session, since)["decrypted_by_peer"].values(), default=0) >= 2,
        seconds=40,
    )


def row(run: Run, session: int) -> list[str]:
    """Outcome, remedy, seconds and the words of the reason, from the table at the end."""
    line = next(line for line in run.stdout.splitlines() if line.startswith(f"{BACKEND}/{session} "))
    return line.split()[1:]


def untouched(site: Site, session: int) -> bool:
    return not any(site.sandbox.touched(session).values())
