"""A small backend for what the sandbox cannot be made to do: one step of a repair that fails at a moment of our choice.

It speaks the Whaticket dialect of requirement 1 over real HTTP and keeps nothing but states. There is no WhatsApp
behind it, so it proves nothing about keys.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.http_backend import Reply, ScriptedBackend
from tests.playbooks import Run

PASSWORD = "MARKED-little-password"
QUICK = {"verify_settle_seconds": 0.2, "verify_timeout_seconds": 3}


def credentials(user: str = "5511999990000") -> bytes:
    """Whole credentials with random keys, in the form of Baileys' creds.json."""

    def key(size: int = 32) -> dict[str, str]:
        return {"type": "Buffer", "data": base64.b64encode(os.urandom(size)).decode()}

    def pair() -> dict[str, Any]:
        return {"private": key(), "public": key()}

    content = {
        "noiseKey": pair(),
        "signedIdentityKey": pair(),
        "signedPreKey": {"keyPair": pair(), "signature": key(64), "keyId": 1},
        "registrationId": 7,
        "advSecretKey": base64.b64encode(os.urandom(32)).decode(),
        "me": {"id": f"{user}:5@s.whatsapp.net", "name": "shop"},
    }
    return json.dumps(content).encode()


class LittleBackend:
    """Sessions with a state each, and a folder with credentials and records each.

    :ivar name: how the sessions' names begin.
    :ivar answers_until_connected: after so many answers about a session it is connected; 0 for never.
    :ivar on: call (``disconnect`` or ``start``) to what happens after it; it gets the session id.
    """

    def __init__(self, folder: Path, *sessions: str) -> None:
        self.sessions = dict.fromkeys(sessions, "CONNECTED")
        self.storage = folder / "sessions"
        self.log = folder / "backend.log"
        self.log.write_text("")
        self.name = "shop"
        self.answers_until_connected = 0
        self.on: dict[str, Callable[[str], None]] = {}
        self.server = ScriptedBackend(self._answer)
        for session in sessions:
            place = self.storage / session
            place.mkdir(parents=True)
            (place / "creds.json").write_bytes(credentials())
            (place / "session-5511888880000.0.json").write_text('{"_sessions": {}}')
            (place / "pre-key-1.json").write_text('{"private": "", "public": ""}')
        self.folder = folder

    @property
    def backend(self) -> dict[str, Any]:
        return {
            "url": self.server.url,
            "auth": {"type": "login", "username": "admin@example.com", "password": PASSWORD},
            "session_path": str(self.storage),
            "backup_path": str(self.folder / "backups"),
            "log_sources": [{"path": str(self.log)}],
            "connect_timeout": 1,
            "read_timeout": 1,
        }

    def calls(self, part: str) -> int:
        """Number of requests whose path ends so."""
        return sum(call.endswith(part) for call in self.server.calls)

    def files(self, session: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.storage / session).iterdir() if path.is_file()}

    def backups(self, session: str) -> list[Path]:
        return sorted((self.folder / "backups").glob(f"*/{session}/2*"))

    def _answer(self, method: str, path: str, headers: Any) -> Reply:
        if path == "/auth/login":
            return 200, {"token": "a-token"}
        if path == "/whatsapp":
            return 200, [self._row(session) for session in self.sessions]
        _, _, session, *call = path.split("/")
        if session not in self.sessions:
            return 404, {"error": "ERR_NO_WAPP_FOUND"}
        if call:
            name = {"disconnect": "disconnect", "start-session": "start"}[call[0]]
            self.sessions[session] = {"disconnect": "DISCONNECTED", "start": "CONNECTED"}[name]
            if name in self.on:
                self.on[name](session)
        if self.answers_until_connected:
            self.answers_until_connected -= 1
            if not self.answers_until_connected:
                self.sessions[session] = "CONNECTED"
        return 200, self._row(session)

    def _row(self, session: str) -> dict[str, Any]:
        return {"id": session, "name": f"{self.name}-{session}", "status": self.sessions[session]}

    def __enter__(self) -> LittleBackend:
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)


def refused(run: Run, *words: str) -> None:
    """The run failed with these words, and showed neither a traceback nor the password."""
    assert run.rc != 0, run.output
    text = " ".join(run.output.split())
    for word in words:
        assert word in text, run.output
    assert "Traceback" not in text
    assert PASSWORD not in text


def nothing_done(little: LittleBackend) -> None:
    """No call that changes something was made."""
    assert little.calls("disconnect") + little.calls("start-session") == 0
