"""Read from Redis which sessions were repaired, so that errors from before the repair stop counting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from sessionmedic import brakes, redis_client
from sessionmedic.errors import StateUnavailable

from .store import BackendStore

READ_SECONDS = 2.0

_log = logging.getLogger(__name__)


class VerifiedMarks:
    """Reads the marks of all backends every READ_SECONDS.

    While Redis is away the marks read last stay, and errors count as if nothing was repaired since.
    """

    def __init__(self, redis_url: str, stores: Sequence[BackendStore]) -> None:
        self._url = redis_url
        self._client = redis_client.connect(redis_url)
        self._stores = stores
        self.readable = False
        self._told = True

    def read(self) -> None:
        """Read once; failures are logged once and shown by ``readable``."""
        try:
            with redis_client.answering(self._url):
                for store in self._stores:
                    store.verified(brakes.verified_since(self._client, store.name))
        except (StateUnavailable, ValueError) as error:
            if self._told:
                _log.error("Marks of verified repairs cannot be read: %s", error)
            self.readable = self._told = False
            return
        if not self._told:
            _log.info("Marks of verified repairs can be read again.")
        self.readable = self._told = True

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(READ_SECONDS):
            self.read()
        self._client.close()
