"""What outlives a restart: one JSON file, replaced as a whole, with log positions and counts of the same moment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sessionmedic.errors import StoreError

VERSION = 1

_log = logging.getLogger(__name__)


class StateFile:
    """The folder ``folder`` of one exporter.

    :raises StoreError: the folder cannot be made or written, or another exporter uses it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "state.json"
        self._lock_fd = _lock(Path(folder))

    def load(self) -> dict[str, Any]:
        """Backend name to its saved data; empty when there is none. A file that cannot be used is set aside."""
        try:
            data = json.loads(self.path.read_bytes())
            if data["version"] != VERSION:
                raise ValueError(f"version {data['version']!r} is not {VERSION}")
            backends: dict[str, Any] = data["backends"]
            if not isinstance(backends, dict):
                raise ValueError("backends is not an object")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.set_aside(f"{type(error).__name__}: {error}")
            return {}
        return backends

    def set_aside(self, reason: str) -> None:
        """Keep an unusable file under another name, and say so."""
        aside = self.path.with_name(f"state.json.unusable-{int(time.time())}")
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
        _log.error(
            "The state file %s cannot be used (%s). It is kept as %s; counters start at zero and logs are read from "
            "their ends.",
            self.path,
            reason[:200],
            aside.name,
        )

    def save(self, backends: Mapping[str, Any]) -> None:
        """Replace the file. :raises StoreError: it cannot be written; the former one stays."""
        data = json.dumps({"version": VERSION, "backends": backends}, separators=(",", ":")).encode()
        temporary = self.path.with_suffix(".json.new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            raise StoreError(
                f"The state file {self.path} cannot be written ({error.strerror}).", "Check the disk and the rights."
            ) from None

    def close(self) -> None:
        os.close(self._lock_fd)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"state_path {folder} cannot be written ({error.strerror}).",
            "Make the folder and give it to the exporter's user, or set another state_path.",
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StoreError(
            f"Another session-exporter uses state_path {folder}.", "Stop it, or set another state_path."
        ) from None
    return fd
