"""A backup on the disk: which parts it has, and that each still is what was written.

A backup is a folder with ``manifest.json``, ``files/`` (byte copies of the session's files), ``redis.json`` (its keys)
and ``row.json`` (its row of the credentials table); the last two where the backend has them. All of it holds keys: mode
0700 and 0600.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .errors import BackupError, StoreError
from .names import check_name
from .stores import auth_names, safe_files
from .stores.credentials import StoredCredentials
from .stores.redis_keys import KeyDump
from .stores.safe_files import Attributes

FORMAT = 1
MANIFEST = "manifest.json"
FILES = "files"
REDIS = "redis.json"
ROW = "row.json"


@dataclass(frozen=True)
class Backup:
    """One whole backup.

    :param created_at: epoch seconds.
    :param files: number of files.
    :param keys: number of Redis keys.
    :param row: whether it holds a row of the credentials table.
    :param bytes: size of all parts together.
    """

    path: Path
    created_at: float
    files: int
    keys: int
    row: bool
    bytes: int


class Digest(NamedTuple):
    """Size in bytes and SHA-256 of a part."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. ``folder`` is None when the session's files were not part of it."""

    backend: str
    session: str
    created_at: float
    folder: Attributes | None = None
    files: Mapping[str, tuple[Digest, Attributes]] = field(default_factory=dict)
    parts: Mapping[str, Digest] = field(default_factory=dict)
    creds_file: str = ""
    keys: int = 0
    row: bool = False

    def at(self, path: Path) -> Backup:
        size = sum(digest.size for digest, _ in self.files.values()) + sum(part.size for part in self.parts.values())
        return Backup(path, self.created_at, len(self.files), self.keys, self.row, size)

    def rendered(self) -> bytes:
        content = {
            "format": FORMAT,
            "backend": self.backend,
            "session": self.session,
            "created_at": self.created_at,
            "folder": asdict(self.folder) if self.folder else None,
            "files": {
                name: {**digest._asdict(), **asdict(attributes)} for name, (digest, attributes) in self.files.items()
            },
            "parts": {name: digest._asdict() for name, digest in self.parts.items()},
            "creds_file": self.creds_file,
            "keys": self.keys,
            "row": self.row,
        }
        return json.dumps({**content, "sha256": _own_digest(content)}, indent=1).encode() + b"\n"

    @classmethod
    def parsed(cls, data: bytes) -> Manifest:
        """:raises ValueError: the manifest is not whole, was changed, or names what a backup does not hold."""
        content = json.loads(data)
        try:
            if content.pop("sha256") != _own_digest(content) or content["format"] != FORMAT:
                raise ValueError("changed")
            files = {name: (_digest(item), _attributes(item)) for name, item in content["files"].items()}
            if not all(auth_names.parse_file(name) for name in files) or set(content["parts"]) - {REDIS, ROW}:
                raise ValueError("unknown part")
            return cls(
                check_name(content["backend"], "backend name"),
                check_name(content["session"]),
                float(content["created_at"]),
                _attributes(content["folder"]) if content["folder"] else None,
                files,
                {name: _digest(item) for name, item in content["parts"].items()},
                str(content["creds_file"]),
                int(content["keys"]),
                bool(content["row"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not whole") from error


def _own_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(item: Mapping[str, Any]) -> Digest:
    return Digest(int(item["size"]), str(item["sha256"]))


def _attributes(item: Mapping[str, Any]) -> Attributes:
    # Permission bits only: what comes from a file must not make a set-user-id file.
    return Attributes(int(item["mode"]) & 0o777, int(item["uid"]), int(item["gid"]), int(item["mtime_ns"]))


def read_manifest(path: Path) -> Manifest:
    """The manifest of the backup in that folder. :raises BackupError: there is no whole one."""
    try:
        with safe_files.opened_folder(path) as folder:
            return Manifest.parsed(safe_files.read(folder, MANIFEST)[0])
    except OSError as error:
        raise BackupError(
            f"{path} holds no backup ({error.strerror}).", "Name a folder with a manifest.json."
        ) from None
    except (ValueError, StoreError):
        raise changed(path, MANIFEST) from None


def read_part(path: Path, manifest: Manifest, name: str) -> bytes:
    """One part, ``redis.json``, ``row.json`` or a file's copy, checked against the manifest.

    :raises BackupError: it is missing or not what was written.
    """
    in_files = name in manifest.files
    expected = manifest.files[name][0] if in_files else manifest.parts[name]
    try:
        with safe_files.opened_folder(path / FILES if in_files else path) as folder:
            data = safe_files.read(folder, name, max(expected.size, 1))[0]
    except (OSError, StoreError):
        raise changed(path, name) from None
    if Digest.of(data) != expected:
        raise changed(path, name)
    return data


def verify(path: Path) -> Manifest:
    """Read every part again and check it. :raises BackupError: a part is missing, changed or was added."""
    manifest = read_manifest(path)
    for name in (*manifest.files, *manifest.parts):
        read_part(path, manifest, name)
    if manifest.folder is not None:
        try:
            with safe_files.opened_folder(path / FILES) as folder:
                present = set(safe_files.listed(folder))
        except OSError:
            raise changed(path, FILES) from None
        for name in present - set(manifest.files):
            raise changed(path, name)
    return manifest


def changed(path: Path, name: str) -> BackupError:
    return BackupError(f"The backup {path} is damaged: {name} is not what was written.", "Use another backup.")


def rendered_keys(dumps: list[KeyDump]) -> bytes:
    """``redis.json``: what DUMP gave, and the value to read by eye or to restore into another version of Redis."""
    items = [
        {
            "key": _packed(item.key.encode("utf-8", "surrogateescape")),
            "type": item.type,
            "ttl_ms": item.ttl_ms,
            "dump": base64.b64encode(item.dump).decode("ascii"),
            "value": None if item.value is None else _packed(item.value),
        }
        for item in dumps
    ]
    return json.dumps(items, indent=1).encode() + b"\n"


def parsed_keys(data: bytes) -> list[KeyDump]:
    return [
        KeyDump(
            _unpacked(item["key"]).decode("utf-8", "surrogateescape"),
            item["type"],
            item["ttl_ms"],
            base64.b64decode(item["dump"]),
            None if item["value"] is None else _unpacked(item["value"]),
        )
        for item in json.loads(data)
    ]


def rendered_row(row: StoredCredentials) -> bytes:
    content = {
        "creds": None if row.creds is None else _packed(row.creds),
        "status": row.status,
        "last_connected": row.last_connected,
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def parsed_row(data: bytes) -> StoredCredentials:
    content = json.loads(data)
    creds = None if content["creds"] is None else _unpacked(content["creds"])
    return StoredCredentials(creds, content["status"], content["last_connected"])


def _packed(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _unpacked(item: Mapping[str, str]) -> bytes:
    return item["text"].encode() if "text" in item else base64.b64decode(item["base64"])
