# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: whether a backup still equals the session that it was taken from, and a new one if not.

A remedy takes its backup before the socket is closed, and closing changes files. So it asks for a backup again when the
socket is down: the one that there is serves when it still equals the session in every byte, else a new one is written.
The purge then compares once more. That is simpler, and safer, than to reason about what closing may have changed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ._stores import auth_stores
from .sessionmedic import backup_manifest
from .sessionmedic.backup import Backup, NothingToBackUp, list_backups, write_backup
from .sessionmedic.backup_manifest import REDIS, ROW, Digest, Manifest
from .sessionmedic.config import BackendConfig
from .sessionmedic.errors import BackupError, StoreError
from .sessionmedic.stores import safe_files
from .sessionmedic.stores.credentials import CredentialsStore
from .sessionmedic.stores.redis_keys import SessionKeys
from .sessionmedic.stores.session_files import SessionFiles


def without_missing_folder(config: BackendConfig, session: str) -> BackendConfig:
    """The backend as far as the session has state: without session_path when the session's folder is gone.

    Credentials vanish with containers, and what is left must still be backed up and restored.

    :raises StoreError: session_path itself is missing, or something else stands in the folder's place.
    """
    stores = auth_stores(config, session)
    if not (stores and isinstance(stores[0], SessionFiles)) or stores[0].exists():
        return config
    return replace(config, session_path="")


def newest_equal(config: BackendConfig, session: str) -> Backup | None:
    """The newest backup when it is whole and equals the session in every byte, else None.

    :raises StoreError: a store cannot be read.
    """
    newest = next(iter(list_backups(config, session)), None)
    return newest if newest is not None and equals_session(config, session, newest.path) else None


def equals_session(config: BackendConfig, session: str, path: Path) -> bool:
    """Whether the backup at ``path`` is whole and holds what the session has now.

    :raises StoreError: a store cannot be read.
    """
    try:
        manifest = backup_manifest.verify(path)
    except BackupError:
        return False
    return (
        (manifest.backend, manifest.session) == (config.name, session)
        and _files_equal(config, session, manifest)
        and _keys_equal(config, session, path, manifest)
        and _row_equal(config, session, path, manifest)
    )


def _files_equal(config: BackendConfig, session: str, manifest: Manifest) -> bool:
    config = without_missing_folder(config, session)
    if not config.session_path:
        return not manifest.files
    files = SessionFiles(config, session)
    try:
        with files.opened() as folder:
            return files.names_in(folder) == sorted(manifest.files) and all(
                Digest.of(safe_files.read(folder, name)[0]) == digest for name, (digest, _) in manifest.files.items()
            )
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"The files of session {session} cannot be read ({error.strerror}).", "Check them.") from None


def _keys_equal(config: BackendConfig, session: str, path: Path, manifest: Manifest) -> bool:
    if not (config.redis_url and config.redis_prefixes):
        return REDIS not in manifest.parts
    kept = []
    if REDIS in manifest.parts:
        kept = backup_manifest.parsed_keys(backup_manifest.read_part(path, manifest, REDIS))
    now = SessionKeys(config, session).dump()
    # The remaining time of a key that expires is never the same twice.
    return [(item.key, item.dump) for item in kept] == [(item.key, item.dump) for item in now]


def _row_equal(config: BackendConfig, session: str, path: Path, manifest: Manifest) -> bool:
    if not config.database_url:
        return ROW not in manifest.parts
    kept = None
    if ROW in manifest.parts:
        kept = backup_manifest.parsed_row(backup_manifest.read_part(path, manifest, ROW))
    return CredentialsStore(config.database_url, config.credentials_table).load(session) == kept


def ensure_backup(config: BackendConfig, session: str, now: float) -> tuple[bool, Backup | None]:
    """A backup that equals the session, written unless there is one; whether it was written; None for no state.

    :raises BackupError: it cannot be written. :raises StoreError: a store cannot be read.
    """
    present = newest_equal(config, session)
    if present is not None:
        return False, present
    try:
        return True, write_backup(without_missing_folder(config, session), session, now)
    except NothingToBackUp:
        return False, None


def require_equal(config: BackendConfig, session: str, path: str | os.PathLike[str]) -> None:
    """:raises BackupError: there is no backup at ``path`` that equals the session, so nothing may be removed."""
    if not path or not equals_session(config, session, Path(path)):
        raise BackupError(
            f"No backup equals session {session} of {config.name} as it is now.",
            "Nothing was removed; back it up while it is disconnected.",
        )
