# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: where a session keeps its auth state, and whether its credentials are whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Union

from .sessionmedic.config import BackendConfig
from .sessionmedic.credentials_json import Verdict, judge
from .sessionmedic.errors import CredentialsInvalid, StoreError
from .sessionmedic.stores.credentials import CredentialsStore, default_database_url
from .sessionmedic.stores.redis_keys import SessionKeys
from .sessionmedic.stores.session_files import SessionFiles

AuthStore = Union[SessionFiles, SessionKeys]


def auth_stores(config: BackendConfig, session: str) -> list[AuthStore]:
    """The stores that the backend is configured with; files first.

    :raises StoreError: session_path is missing.
    """
    stores: list[AuthStore] = []
    if config.session_path:
        if not Path(config.session_path).expanduser().is_dir():
            raise StoreError(f"session_path {config.session_path} is missing.", "Correct session_path of the backend.")
        stores.append(SessionFiles(config, session))
    if config.redis_url:
        stores.append(SessionKeys(config, session))
    return stores


def creds_store(config: BackendConfig, session: str) -> AuthStore | None:
    """The store with the session's auth state, the first one when none has any, None when none is configured.

    :raises StoreError: a store cannot be read.
    """
    stores = auth_stores(config, session)
    return next((store for store in stores if store.exists()), stores[0] if stores else None)


def read_creds(config: BackendConfig, session: str) -> bytes | None:
    """The credentials that the backend would start with; None when there are none."""
    store = creds_store(config, session)
    return store.read_creds() if store is not None and store.exists() else None


def credentials_verdict(config: BackendConfig, session: str) -> Verdict | None:
    """Whether the credentials that the backend would start with are whole; None when no store is configured."""
    if creds_store(config, session) is None:
        return None
    return judge(read_creds(config, session))


def require_credentials(config: BackendConfig, session: str, allow_qr: bool) -> str:
    """Return ``complete``, ``unknown`` (no store is configured) or, when a QR code is allowed, ``incomplete``.

    :raises CredentialsInvalid: a start would end in a QR code, which is not allowed.
    """
    store = creds_store(config, session)
    if store is None:
        return "unknown"
    verdict = judge(read_creds(config, session))
    if verdict.ok:
        return "complete"
    if allow_qr:
        return "incomplete"
    raise CredentialsInvalid(
        f"Session {session} of {config.name} is not started: {verdict.reason}{_where(config, session, store)}",
        "Restore credentials, or run with -e allow_qr=true and scan the QR code.",
    )


def _where(config: BackendConfig, session: str, store: AuthStore) -> str:
    if isinstance(store, SessionFiles) and not store.exists():
        return f" The folder {Path(config.session_path) / config.session_folder.replace('{id}', session)} is missing."
    return ""


def require_store(config: BackendConfig) -> None:
    """:raises StoreError: nothing says where the backend keeps its sessions."""
    if not (config.session_path or config.redis_url):
        raise StoreError(
            f"Nothing says where backend {config.name} keeps its sessions.",
            "Set session_path or redis_url of the backend, or use strategy restart.",
        )


def credentials_table(config: BackendConfig) -> CredentialsStore:
    """The table for saved credentials: the backend's, or a SQLite file beside the backups."""
    return CredentialsStore(default_database_url(config), config.credentials_table)


def has_row(config: BackendConfig, session: str) -> bool:
    """Whether the backend's own table holds credentials of the session, from which it would start again."""
    if not config.database_url:
        return False
    row = CredentialsStore(config.database_url, config.credentials_table).load(session)
    return row is not None and bool(row.creds)


def forget_row(config: BackendConfig, session: str) -> None:
    """Empty the credentials in the backend's own table; the row stays, as the backend's own reset leaves it."""
    table = CredentialsStore(config.database_url, config.credentials_table)
    row = table.load(session)
    if row is not None:
        table.put_back(session, replace(row, creds=None))
