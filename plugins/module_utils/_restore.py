# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: find saved credentials of a session, and put them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ._stores import credentials_table, creds_store, read_creds
from .sessionmedic.backup import backup_credentials, list_backups, restore_backup
from .sessionmedic.config import BackendConfig
from .sessionmedic.credentials_json import Candidate, choose_credentials, judge
from .sessionmedic.errors import BackupError, CredentialsInvalid, StoreError
from .sessionmedic.stores.session_files import SessionFiles


@dataclass(frozen=True)
class Found:
    """What may be put back.

    :ivar candidate: the credentials; None when the session's own are whole and nothing differs from them.
    :ivar whole: the backup to put back as a whole, because nothing is left of the session.
    :ivar refused: what else was found, and why it was not used.
    """

    candidate: Candidate | None
    whole: Path | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)


def find_credentials(config: BackendConfig, session: str) -> Found:
    """The newest saved credentials that would mend the session.

    :raises CredentialsInvalid: the session's own are not whole, and nothing usable was saved.
    :raises StoreError: the table cannot be read.
    """
    current = read_creds(config, session)
    backups: dict[str, Path] = {}
    candidates: list[tuple[str, float | None, bytes]] = []
    refused: list[tuple[str, str]] = []
    if config.database_url or config.backup_path:
        row = credentials_table(config).load(session)
        if row is not None and row.creds is not None:
            candidates.append(("table", row.last_connected, row.creds))
    for backup in list_backups(config, session) if config.backup_path else []:
        source = f"backup {backup.path.name}"
        try:
            creds = backup_credentials(backup.path)
        except BackupError as error:
            refused.append((source, error.message))
            continue
        if creds is not None:
            backups[source] = backup.path
            candidates.append((source, backup.created_at, creds))
    choice = choose_credentials(current, candidates)
    refused += choice.refused
    if choice.candidate is not None:
        store = creds_store(config, session)
        left = store is not None and store.exists()
        return Found(choice.candidate, None if left else backups.get(choice.candidate.source), refused)
    verdict = judge(current)
    if not verdict.ok:
        tried = "; ".join(f"{source}: {reason}" for source, reason in refused) or "nothing was saved"
        raise CredentialsInvalid(
            f"No credentials can be restored for session {session} of {config.name}: {verdict.reason} Saved: {tried}",
            "Pair again with -e strategy=recreate.",
        )
    return Found(None, None, refused)


def put_back(config: BackendConfig, session: str, found: Found) -> None:
    """Write what was found; only while no socket of the session is alive.

    :raises StoreError: it cannot be written, or nothing says where to. What was there is as it was.
    """
    if found.candidate is None:
        return
    if found.whole is not None:
        restore_backup(config, session, found.whole)
        return
    store = creds_store(config, session)
    if store is None:
        raise StoreError(f"Nothing says where session {session} keeps its credentials.", "Set session_path.")
    if isinstance(store, SessionFiles):
        store.write_creds(found.candidate.data, create=True)
    else:
        store.write_creds(found.candidate.data)
