"""The end of a backend's logs, and what is appended while we watch: what a check by hand and a verification read."""

from __future__ import annotations

import os

from ..config import BackendConfig
from .reader import Event, LogReader

# A busy process writes 200 kB/s for the five minutes that count.
TAIL_BYTES = 64 * 1024 * 1024
_BLOCK = 64 * 1024


class LogTail:
    """Reads all log sources of one backend, from ``tail_bytes`` before their ends on.

    :ivar unreadable: paths that could not be read, each with the reason.
    """

    def __init__(self, config: BackendConfig, tail_bytes: int = TAIL_BYTES) -> None:
        self._reader = LogReader(config)
        self._paths = [source.path for source in config.log_sources]
        self._offsets: dict[int, tuple[int, int]] = {}
        self._tail_bytes = tail_bytes
        self.unreadable: dict[str, str] = {}

    @property
    def readable(self) -> bool:
        """Whether there are sources and all of them could be read: the missing one may be the one with the errors."""
        return bool(self._paths) and not self.unreadable

    def read(self, now: float) -> list[Event]:
        """Events of what was appended since the last call (at the first: of the tails).

        Records that wait for a partner come with a later call, or with ``drain``.
        """
        events: list[Event] = []
        for number, path in enumerate(self._paths):
            try:
                events += self._read_one(number, path, now)
                self.unreadable.pop(path, None)
            except OSError as error:
                self.unreadable[path] = error.strerror or type(error).__name__
        return events + self._reader.flush(now)

    def drain(self, now: float) -> list[Event]:
        """What still waits for partners, as if they would not come."""
        return self._reader.flush(now + 60) + self._reader.flush(now + 120)

    def _read_one(self, number: int, path: str, now: float) -> list[Event]:
        events: list[Event] = []
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            inode, offset = self._offsets.get(number, (status.st_ino, -1))
            partial = False
            if offset < 0:
                offset = max(0, status.st_size - self._tail_bytes)
                partial = offset > 0
            elif inode != status.st_ino or offset > status.st_size:
                offset = 0
            file.seek(offset)
            if partial:
                file.readline(self._tail_bytes)
            while True:
                block = file.read(_BLOCK)
                if not block:
                    break
                events += self._reader.feed(number, block, now)
            self._offsets[number] = (status.st_ino, file.tell())
        return events
