"""Whether each session has usable credentials where its backend keeps them: files, or keys in Redis."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from sessionmedic import redis_client
from sessionmedic.config import BackendConfig
from sessionmedic.credentials_json import judge
from sessionmedic.errors import SessionMedicError
from sessionmedic.stores import safe_files
from sessionmedic.stores.redis_keys import SessionKeys
from sessionmedic.stores.session_files import SessionFiles

from .series import Credentials
from .store import BackendStore

_PLAIN_NAME = "creds.json"

_log = logging.getLogger(__name__)


NONE = Credentials(0, False)


def in_files(config: BackendConfig, session: str, known: Credentials | None = None) -> Credentials:
    """Look at the session's file; it is read only when it changed since ``known``.

    :raises StoreError: it cannot be read, or is a link.
    """
    files = SessionFiles(config, session)
    if not files.exists():
        return NONE
    with files.opened() as folder:
        try:
            # Listing a folder with a thousand keys for each of ten thousand sessions would cost minutes.
            status = safe_files.stat_regular(folder, _PLAIN_NAME)
        except FileNotFoundError:
            try:
                status = safe_files.stat_regular(folder, files.creds_name())
            except FileNotFoundError:
                return NONE
    if known is not None and (known.bytes, known.saved_at) == (status.st_size, status.st_mtime):
        return known
    return Credentials(status.st_size, judge(files.read_creds()).ok, status.st_mtime)


class CredentialsWatch:
    """Looks at the credentials of all sessions that their backends list, every ``seconds``."""

    def __init__(self, seconds: float, backends: Sequence[tuple[BackendStore, BackendConfig]]) -> None:
        self._seconds = seconds
        self._backends = [item for item in backends if item[1].session_path or item[1].redis_url]
        self._clients = {
            config.name: redis_client.connect(config.redis_url, decode=False)
            for _, config in self._backends
            if config.redis_url
        }
        self._told: set[str] = set()

    def look(self, stop: threading.Event) -> None:
        """One look at all; ends early when ``stop`` is set."""
        for store, config in self._backends:
            problem = ""
            for session in store.listed_sessions():
                if stop.is_set():
                    return
                try:
                    found = self._of_session(config, session, store.credentials_of(session))
                except (SessionMedicError, OSError) as error:
                    problem = str(error)
                    found = None
                store.found_credentials(session, found)
            self._tell(store.name, problem)

    def _of_session(self, config: BackendConfig, session: str, known: Credentials | None) -> Credentials:
        if not config.redis_url:
            return in_files(config, session, known)
        data = SessionKeys(config, session, self._clients[config.name]).read_creds()
        # Forks keep their auth state in Redis or in files, by option: what is in Redis is what they use.
        if data is None and config.session_path:
            return in_files(config, session, known)
        return NONE if data is None else Credentials(len(data), judge(data).ok)

    def _tell(self, backend: str, problem: str) -> None:
        if problem and backend not in self._told:
            _log.error("Credentials of backend %s cannot be looked at: %s", backend, problem)
            self._told.add(backend)
        elif not problem:
            self._told.discard(backend)

    def run(self, stop: threading.Event, seconds_until_first: float = 5.0) -> None:
        """Look until ``stop``; first when the backends have probably been polled."""
        wait = min(seconds_until_first, self._seconds)
        while not stop.wait(wait):
            self.look(stop)
            wait = self._seconds
        for client in self._clients.values():
            client.close()
