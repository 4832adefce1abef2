"""Backups of one session: written whole or not at all, and read back against their source before anything is removed.

They lie in ``<backup_path>/<backend>/<session>/<UTC time>-<n>/``; see backup_manifest for what is in one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from . import backup_manifest
from .backup_manifest import FILES, MANIFEST, REDIS, ROW, Backup, Digest, Manifest
from .backup_restore import Restored, restore_backup
from .config import BackendConfig
from .credentials_json import judge
from .errors import BackupError, ConfigError, SessionIsBusy, SessionMedicError
from .names import check_name
from .redis_client import Client
from .stores import auth_names, safe_files
from .stores.credentials import CredentialsStore
from .stores.redis_keys import KeyDump, SessionKeys
from .stores.safe_files import Attributes
from .stores.session_files import SessionFiles

__all__ = [
    "Backup",
    "NothingToBackUp",
    "Restored",
    "backup_credentials",
    "list_backups",
    "prune",
    "restore_backup",
    "verify_backup",
    "write_backup",
]

# A live session rewrites records while they are read; each is tried this often.
TRIES = 5

_PARTIAL = ".partial-"
_NAME = re.compile(r"(?P<stamp>[0-9]{8}T[0-9]{6}Z)-(?P<number>[0-9]+)", re.ASCII)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NothingToBackUp(BackupError):
    """The session has no state in any of the backend's stores, so an empty backup would pass for a good one."""


def write_backup(config: BackendConfig, session: str, now: float, redis_client: Client | None = None) -> Backup:
    """Write a backup of the session's files, keys and row, whichever the backend has.

    :param now: epoch seconds; names the backup.
    :raises BackupError: it could not be written, or does not equal its source. Nothing is left of it then.
    :raises NothingToBackUp: the session has no files, no keys and no row.
    """
    name = check_name(session)
    place = _place(config, name)
    with _as_backup_error(place), _home(config, name) as home:
        _discard_leftovers(home, place)
        with _partial(home, place) as (partial, folder):
            manifest = _write_parts(config, name, now, redis_client, folder)
            _write(folder, MANIFEST, manifest.rendered())
            os.fsync(folder)
            path = place / _publish(home, partial, now)
    return manifest.at(path)


def verify_backup(path: str | os.PathLike[str]) -> Backup:
    """Read every part of a backup again. :raises BackupError: one is missing or is not what was written."""
    return backup_manifest.verify(Path(path)).at(Path(path))


def list_backups(config: BackendConfig, session: str) -> list[Backup]:
    """The session's backups that have a whole manifest, newest first; their parts are not read."""
    name = check_name(session)
    place = _place(config, name)
    found = []
    for entry in sorted(os.listdir(place) if place.is_dir() else []):
        match = _NAME.fullmatch(entry)
        if not match:
            continue
        try:
            manifest = backup_manifest.read_manifest(place / entry)
        except BackupError:
            continue
        if (manifest.backend, manifest.session) == (config.name, name):
            found.append((manifest.created_at, int(match["number"]), manifest.at(place / entry)))
    return [backup for _, _, backup in sorted(found, key=lambda item: item[:2], reverse=True)]


def backup_credentials(path: str | os.PathLike[str]) -> bytes | None:
    """The credentials that a backup holds, as file, key or row; the first usable ones, else the first there are.

    :raises BackupError: the backup has no whole manifest, or the part with the credentials is damaged.
    """
    folder = Path(path)
    manifest = backup_manifest.read_manifest(folder)
    found: list[bytes | None] = []
    if manifest.creds_file in manifest.files:
        found.append(backup_manifest.read_part(folder, manifest, manifest.creds_file))
    if REDIS in manifest.parts:
        keys = backup_manifest.parsed_keys(backup_manifest.read_part(folder, manifest, REDIS))
        found += [item.value for item in keys if re.search(r"[^A-Za-z0-9]creds(\.json)?\Z", item.key)]
    if ROW in manifest.parts:
        found.append(backup_manifest.parsed_row(backup_manifest.read_part(folder, manifest, ROW)).creds)
    there = [data for data in found if data is not None]
    return next((data for data in there if judge(data).ok), there[0] if there else None)


def prune(config: BackendConfig, session: str, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` backups, and return what was removed.

    The newest one that is good in every byte stays, however old it is.

    :raises ConfigError: ``keep`` is below 1.
    """
    if keep < 1:
        raise ConfigError("The number of backups to keep is below 1.", "Keep at least one.")
    backups = list_backups(config, session)
    kept = {backup.path for backup in backups[:keep]}
    for backup in backups:
        try:
            verify_backup(backup.path)
        except BackupError:
            continue
        kept.add(backup.path)
        break
    removed = [backup.path for backup in backups if backup.path not in kept]
    for path in removed:
        with _as_backup_error(path.parent):
            shutil.rmtree(path)
    return removed


def _place(config: BackendConfig, session: str) -> Path:
    if not config.backup_path:
        raise BackupError(f"Backend {config.name} has no backup_path.", "Set backup_path; nothing was changed.")
    return Path(config.backup_path).expanduser().absolute() / check_name(config.name, "backend name") / session


@contextmanager
def _as_backup_error(place: Path) -> Iterator[None]:
    try:
        yield
    except BackupError:
        raise
    except SessionMedicError as error:
        raise BackupError(error.message, error.hint) from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise BackupError(
                f"There is no space left for the backup in {place}.", "Free some; nothing was changed."
            ) from error
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        raise BackupError(
            f"The backup in {place} cannot be written ({what}).",
            "Check backup_path and the session's folder; nothing was changed.",
        ) from error


@contextmanager
def _home(config: BackendConfig, session: str) -> Iterator[int]:
    """The folder of the session's backups, made when it is missing."""
    root = Path(config.backup_path).expanduser().absolute()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with safe_files.opened_folder(root, follow=True) as top:
        with suppress(FileExistsError):
            os.mkdir(config.name, 0o700, dir_fd=top)
        with safe_files.opened_folder(config.name, dir_fd=top) as middle:
            with suppress(FileExistsError):
                os.mkdir(session, 0o700, dir_fd=middle)
            with safe_files.opened_folder(session, dir_fd=middle) as home:
                yield home


@contextmanager
def _partial(home: int, place: Path) -> Iterator[tuple[str, int]]:
    """A folder to write in, removed unless it was renamed; locked while its writer lives."""
    name = f"{_PARTIAL}{secrets.token_hex(8)}"
    os.mkdir(name, 0o700, dir_fd=home)
    try:
        with safe_files.opened_folder(name, dir_fd=home) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield name, folder
    finally:
        shutil.rmtree(place / name, ignore_errors=True)


def _discard_leftovers(home: int, place: Path) -> None:
    """Remove what a killed writer left: it holds keys and is no backup."""
    for name in safe_files.listed(home):
        if not name.startswith(_PARTIAL):
            continue
        with suppress(OSError), safe_files.opened_folder(name, dir_fd=home) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place / name, ignore_errors=True)


def _publish(home: int, partial: str, now: float) -> str:
    stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        name = f"{stamp}-{number}"
        try:
            # A whole backup is never empty, so rename takes no place that is taken.
            os.rename(partial, name, src_dir_fd=home, dst_dir_fd=home)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            number += 1
        else:
            os.fsync(home)
            return name


def _write_parts(config: BackendConfig, session: str, now: float, redis_client: Client | None, folder: int) -> Manifest:
    copied: dict[str, tuple[Digest, Attributes]] = {}
    attributes: Attributes | None = None
    creds_file = ""
    parts: dict[str, Digest] = {}
    keys: list[KeyDump] = []
    row = False
    if config.session_path:
        os.mkdir(FILES, 0o700, dir_fd=folder)
        files = SessionFiles(config, session)
        with files.opened() as source, safe_files.opened_folder(FILES, dir_fd=folder) as target:
            attributes = Attributes.of(os.fstat(source))
            copied = _FileCopies(files, source, target).copy()
            creds_file = files.creds_name()
            os.fsync(target)
    if config.redis_prefixes and (redis_client is not None or config.redis_url):
        keys, parts[REDIS] = _write_keys(SessionKeys(config, session, redis_client), folder)
    if config.database_url:
        store = CredentialsStore(config.database_url, config.credentials_table)
        digest = _write_row(store, session, folder)
        row = digest is not None
        if digest is not None:
            parts[ROW] = digest
    if not (copied or keys or row):
        raise NothingToBackUp(
            f"Session {session} of {config.name} has no files, keys or row to back up.",
            "Check session_path, redis_prefixes and database_url.",
        )
    return Manifest(config.name, session, now, attributes, copied, parts, creds_file, len(keys), row)


def _write(folder: int, name: str, data: bytes) -> Digest:
    """Write a part anew and read it back."""
    safe_files.discard(folder, name)
    safe_files.create(folder, name, data)
    if safe_files.read(folder, name, max(len(data), 1))[0] != data:
        raise BackupError(f"{name} of the backup does not read back as it was written.", "Check the disk.")
    return Digest.of(data)


class _FileCopies:
    """Copies of a session's files, each compared with its source when it is on the disk."""

    def __init__(self, files: SessionFiles, source: int, target: int) -> None:
        self._files = files
        self._source = source
        self._target = target
        self._done: dict[str, tuple[Digest, Attributes]] = {}

    def copy(self) -> dict[str, tuple[Digest, Attributes]]:
        names = self._files.names_in(self._source)
        # All are written before the first is synced: the file system then commits them together.
        for name in names:
            self._following(name, self._copy)
        for name in names:
            self._following(name, self._compare)
        for name in self._files.names_in(self._source):
            if name not in self._done:
                self._following(name, self._compare)
        for name in set(self._done) - set(self._files.names_in(self._source)):
            self._vanished(name)
        return dict(sorted(self._done.items()))

    def _following(self, name: str, step: Callable[[str], None]) -> None:
        try:
            step(name)
        except FileNotFoundError:
            self._vanished(name)

    def _vanished(self, name: str) -> None:
        record = auth_names.parse_file(name)
        if record is None or record.type != auth_names.PRE_KEY:
            raise BackupError(
                f"{name} vanished while it was being backed up.", "See what else removes the session's files."
            )
        # A pre-key is used once: the first message of a new peer removes it at any time.
        self._done.pop(name, None)
        safe_files.discard(self._target, name)

    def _copy(self, name: str) -> None:
        data, found = safe_files.read(self._source, name)
        safe_files.discard(self._target, name)
        safe_files.create(self._target, name, data, sync=False)
        self._done[name] = Digest.of(data), Attributes.of(found)

    def _compare(self, name: str) -> None:
        for _ in range(TRIES):
            if name in self._done:
                safe_files.sync(self._target, name)
                copy = safe_files.read(self._target, name)[0]
                data, found = safe_files.read(self._source, name)
                if copy == data:
                    self._done[name] = Digest.of(data), Attributes.of(found)
                    return
            self._copy(name)
        raise SessionIsBusy(f"{name} keeps changing while it is being backed up.", "Stop the session, then try again.")


def _write_keys(keys: SessionKeys, folder: int) -> tuple[list[KeyDump], Digest]:
    dumps = keys.dump()
    for _ in range(TRIES):
        digest = _write(folder, REDIS, backup_manifest.rendered_keys(dumps))
        written = backup_manifest.parsed_keys(safe_files.read(folder, REDIS)[0])
        again = keys.dump()
        if _content(written) == _content(again):
            return again, digest
        gone = {item.key for item in dumps} - {item.key for item in again}
        for key in sorted(gone):
            if keys.type_of(key) != auth_names.PRE_KEY:
                raise BackupError(
                    f"The key {key} vanished while it was being backed up.", "See what else removes the session's keys."
                )
        dumps = again
    raise SessionIsBusy("The session's keys keep changing while they are backed up.", "Stop the session first.")


def _content(dumps: list[KeyDump]) -> list[tuple[str, bytes]]:
    # The remaining time of a key that expires is never the same twice.
    return [(item.key, item.dump) for item in dumps]


def _write_row(store: CredentialsStore, session: str, folder: int) -> Digest | None:
    row = store.load(session)
    for _ in range(TRIES):
        if row is None:
            return None
        digest = _write(folder, ROW, backup_manifest.rendered_row(row))
        written = backup_manifest.parsed_row(safe_files.read(folder, ROW)[0])
        again = store.load(session)
        if written == again:
            return digest
        if again is None:
            break
        row = again
    raise SessionIsBusy("The session's row keeps changing while it is backed up.", "Stop the session first.")
