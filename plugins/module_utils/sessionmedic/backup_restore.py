"""Putting a session back as a backup holds it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from . import backup_manifest
from .backup_manifest import REDIS, ROW, Manifest
from .config import BackendConfig
from .errors import BackupError
from .names import check_name
from .redis_client import Client
from .stores import auth_names, safe_files
from .stores.credentials import CredentialsStore
from .stores.redis_keys import SessionKeys
from .stores.safe_files import Attributes
from .stores.session_files import SessionFiles


@dataclass(frozen=True)
class Restored:
    """What was changed: names of files written and removed, keys written or removed, and whether the row was."""

    files: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    row: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.files or self.removed or self.keys or self.row)


def restore_backup(
    config: BackendConfig, session: str, path: str | os.PathLike[str], redis_client: Client | None = None
) -> Restored:
    """Put files, keys and row back exactly; auth state that was not there then is removed.

    Only while no socket of the session is alive: a live one writes its own state over it.

    :raises BackupError: the backup is damaged, of another session, or holds what the backend's settings do not reach.
    :raises StoreError: a store is away or not writable. All stores are looked at before the first is changed.
    """
    name = check_name(session)
    folder = Path(path)
    manifest = backup_manifest.verify(folder)
    if (manifest.backend, manifest.session) != (config.name, name):
        raise BackupError(
            f"The backup {folder} is of session {manifest.session} of {manifest.backend}.",
            f"Use one of session {name} of {config.name}.",
        )
    files, keys, store = _stores(config, manifest, redis_client)
    if keys is not None:
        keys.names()
    if store is not None:
        store.load(name)
    written, removed = _put_files(files, folder, manifest) if files is not None else ([], [])
    changed_keys: list[str] = []
    if keys is not None:
        dumps = backup_manifest.parsed_keys(backup_manifest.read_part(folder, manifest, REDIS))
        changed_keys = keys.restore_dump(dumps)
    row = False
    if store is not None:
        row = store.put_back(name, backup_manifest.parsed_row(backup_manifest.read_part(folder, manifest, ROW)))
    return Restored(written, removed, changed_keys, row)


def _stores(
    config: BackendConfig, manifest: Manifest, redis_client: Client | None
) -> tuple[SessionFiles | None, SessionKeys | None, CredentialsStore | None]:
    files = keys = store = None
    if manifest.folder is not None:
        if not config.session_path:
            raise _unreachable(config, "files", "session_path")
        files = SessionFiles(config, manifest.session)
    if REDIS in manifest.parts:
        if redis_client is None and not config.redis_url:
            raise _unreachable(config, "keys", "redis_url")
        keys = SessionKeys(config, manifest.session, redis_client)
    if ROW in manifest.parts:
        if not config.database_url:
            raise _unreachable(config, "a row", "database_url")
        store = CredentialsStore(config.database_url, config.credentials_table)
    return files, keys, store


def _unreachable(config: BackendConfig, what: str, setting: str) -> BackupError:
    return BackupError(f"The backup holds {what}, but backend {config.name} has no {setting}.", f"Set {setting}.")


def _put_files(files: SessionFiles, path: Path, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Write everything beside its place first, so that a full disk changes nothing."""
    if not files.exists():
        files.create_folder(manifest.folder)
    with files.opened(write=True) as folder:
        safe_files.discard_leftovers(folder)
        present = files.names_in(folder)
        extra = [name for name in present if name not in manifest.files]
        for name in present:
            safe_files.stat_regular(folder, name)
        staged: dict[str, str] = {}
        try:
            for name, (_, attributes) in manifest.files.items():
                data = backup_manifest.read_part(path, manifest, name)
                if name not in present or not _same(folder, name, data, attributes):
                    staged[name] = safe_files.stage(folder, data, attributes)
            # Credentials last: until then they are those that go with the records that are still there.
            written = sorted(staged, key=_is_creds)
            for name in written:
                safe_files.commit(folder, staged.pop(name), name)
            for name in extra:
                safe_files.discard(folder, name)
            os.fsync(folder)
        except OSError as error:
            raise BackupError(
                f"The files of session {manifest.session} cannot be put back ({error.strerror}).",
                "Check the folder's owner, its mode and the free space, then restore again.",
            ) from error
        finally:
            for temporary in staged.values():
                safe_files.discard(folder, temporary)
    return sorted(written), extra


def _is_creds(name: str) -> bool:
    record = auth_names.parse_file(name)
    return record is not None and record.type == auth_names.CREDS


def _same(folder: int, name: str, data: bytes, attributes: Attributes) -> bool:
    current, found = safe_files.read(folder, name)
    return current == data and Attributes.of(found) == attributes
