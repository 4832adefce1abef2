"""What was done to whom and why, kept in files: ``audit.jsonl`` and, for people, ``auto-fix-sessions.log``.

Each entry is one write to a file opened for appending, so that several workers of a machine can share them, and tools
that rotate logs need not tell anybody.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from .errors import StoreError
from .remediations import Remediation
from .service_log import one_line, redact, timestamp

JSON_LINES = "audit.jsonl"
PLAIN = "auto-fix-sessions.log"
DEFAULT_FOLDER = "logs"


class Audit:
    """The two files in ``folder``, which is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: Remediation) -> None:
        """Write an entry about a repair that has ended.

        :raises StoreError: a file cannot be written.
        """
        at = record.finished_at if record.finished_at is not None else record.accepted_at
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            _append(self._folder / JSON_LINES, redact(json.dumps(record.as_dict(), sort_keys=True)))
            _append(self._folder / PLAIN, f"[{timestamp(at)}] {one_line(redact(sentence(record)))}")
        except OSError as error:
            raise StoreError(
                f"The audit log in {self._folder} cannot be written ({error.strerror}).",
                "Correct log_path, or the rights or the free space there.",
            ) from None


def sentence(record: Remediation) -> str:
    """A repair in one sentence."""
    what = f"session {record.session} of {record.backend}" if record.session else f"backend {record.backend}"
    if record.refused:
        result = f"refused ({record.refused})"
    elif record.outcome:
        result = record.outcome + (f" by {record.remedy}" if record.remedy else "")
    else:
        result = "nothing to do"
    took = f" in {record.seconds:.1f} s" if record.seconds is not None else ""
    asked = f"{record.asked_by}, alert {record.alert.name}" if record.alert else record.asked_by
    parts = [f"{record.playbook} of {what}: {result}{took}", f"asked by {asked}"]
    if record.backup:
        parts.append(f"backup {record.backup}")
    if record.message:
        parts.append(record.message)
    return "; ".join([*parts, f"remediation {record.uuid}"])


def _append(path: Path, line: str) -> None:
    data = line.encode("utf-8", "backslashreplace") + b"\n"
    # O_NOFOLLOW: a link put in its place would have us write elsewhere.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        if os.write(handle, data) != len(data):
            raise OSError(28, "no space left")
    finally:
        os.close(handle)
