"""Auth states for tests, in the shape that Baileys writes; keys are made from a seed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sessionmedic.config import BackendConfig

BACKEND = "sandbox"

# One file of every kind that useMultiFileAuthState of Baileys 7 writes, beside creds.json.
RECORDS = (
    "app-state-sync-key-AAAAAEx1.json",
    "app-state-sync-version-critical_block.json",
    "app-state-sync-version-regular.json",
    "device-list-15550002222.json",
    "identity-key-15550001111.0.json",
    "lid-mapping-15550003333.json",
    "lid-mapping-99990003333_reverse.json",
    "pre-key-1.json",
    "pre-key-2.json",
    "sender-key-120363000000000001@g.us--15550001111--0.json",
    "sender-key-120363000000000001@g.us--99990003333_1--0.json",
    "sender-key-15550009999-1595953599@g.us--15550001111--12.json",
    "sender-key-memory-120363000000000001@g.us.json",
    "session-15550001111.0.json",
    "session-15550001111.12.json",
    "session-15550001112.0.json",
    "session-99990003333_1.0.json",
    "tctoken-15550001111@s.whatsapp.net.json",
    "tctoken-__index.json",
)


def key(seed: str, size: int = 32) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)


def as_buffer(data: bytes) -> dict[str, Any]:
    return {"type": "Buffer", "data": base64.b64encode(data).decode()}


def pair(seed: str) -> dict[str, Any]:
    return {"private": as_buffer(key(f"{seed} private")), "public": as_buffer(key(f"{seed} public"))}


def creds_content(
    seed: str = "first", me: str | None = "15550002222:5@s.whatsapp.net", registration: int = 228
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "noiseKey": pair(f"{seed} noise"),
        "pairingEphemeralKeyPair": pair(f"{seed} pairing"),
        "signedIdentityKey": pair(f"{seed} identity"),
        "signedPreKey": {"keyPair": pair(f"{seed} pre-key"), "signature": as_buffer(key(seed, 64)), "keyId": 1},
        "registrationId": registration,
        "advSecretKey": base64.b64encode(key(f"{seed} secret")).decode(),
        "nextPreKeyId": 31,
        "registered": False,
        "platform": "android",
    }
    if me is not None:
        content["me"] = {"id": me, "name": "Bob"}
    return content


def creds(seed: str = "first", me: str | None = "15550002222:5@s.whatsapp.net", registration: int = 228) -> bytes:
    return json.dumps(creds_content(seed, me, registration), separators=(",", ":")).encode()


def content_of(name: str) -> bytes:
    if name.startswith("lid-mapping-15550003333"):
        return b'"99990003333"'
    if name.startswith("lid-mapping-99990003333_reverse"):
        return b'"15550003333"'
    return json.dumps({"of": name}).encode()


def make_session(storage: Path, session: str, names: Iterable[str] = RECORDS, seed: str = "first") -> Path:
    """A session's folder with the named files, creds.json and files that are not ours."""
    folder = storage / session
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(content_of(name))
    (folder / "creds.json").write_bytes(creds(seed))
    (folder / "notes.txt").write_text("not ours")
    (folder / "session-backup.json").write_text("not ours either")
    return folder


def backend(tmp_path: Path, **changes: Any) -> BackendConfig:
    settings = {"session_path": str(tmp_path / "storage"), "backup_path": str(tmp_path / "backups")}
    return BackendConfig(name=BACKEND, **{**settings, **changes})


def tree(path: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below a folder: kind, mode and owner, of files also time and content, to compare before and after."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            item = Path(folder) / name
            at = item.lstat()
            regular = stat.S_ISREG(at.st_mode)
            rest = (at.st_mtime_ns, item.read_bytes()) if regular else ()
            found[str(item.relative_to(path))] = (at.st_mode, at.st_uid, at.st_gid, *rest)
    return found
