"""Find what was rotated away: the rest of a renamed file, the copy of a truncated one, files in between."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

HEAD_BYTES = 256
TAIL_BYTES = 64

# What logrotate (.1, -20240115), pm2-logrotate (__2024-01-15_10-30-45) and Docker (.1) add to a name.
_ADDED = re.compile(r"[0-9TZ._:~-]+(?:old|bak)?")


@dataclass(frozen=True)
class Position:
    """A place in a log file that outlives renaming and restarts.

    The bytes around it are kept as digests: no log text reaches the state file.

    :param offset: bytes from the start of the file.
    :param head: digest of the first ``head_bytes`` of the file (at most HEAD_BYTES, none beyond ``offset``).
    :param tail: digest of the ``tail_bytes`` just before ``offset`` (at most TAIL_BYTES).
    """

    inode: int
    offset: int
    head: str
    head_bytes: int
    tail: str
    tail_bytes: int

    @classmethod
    def of(cls, inode: int, offset: int, head: bytes, tail: bytes) -> Position:
        return cls(inode, offset, digest(head), len(head), digest(tail), len(tail))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Position:
        """:raises KeyError, TypeError, ValueError: the data are not a position."""
        numbers = {name: int(data[name]) for name in ("inode", "offset", "head_bytes", "tail_bytes")}
        if min(numbers.values()) < 0:
            raise ValueError("negative number in a position")
        return cls(head=str(data["head"]), tail=str(data["tail"]), **numbers)

    def matches(self, fd: int) -> bool:
        """Whether the open file holds, up to the position, what was read before."""
        status = os.fstat(fd)
        if status.st_size < self.offset:
            return False
        if not self.head_bytes:
            return status.st_ino == self.inode
        return (
            digest(os.pread(fd, self.head_bytes, 0)) == self.head
            and digest(os.pread(fd, self.tail_bytes, self.offset - self.tail_bytes)) == self.tail
        )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def open_log(path: str) -> int:
    """Open a regular file for reading; a FIFO or a device would block or never end.

    :raises OSError: it cannot be opened, or is not a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


def find_rest(path: str, position: Position) -> int | None:
    """The file beside ``path`` that holds what was read up to ``position``, opened; None when it is gone.

    Renaming keeps the inode; copytruncate and PM2 keep the contents only. A compressed file is neither.
    """
    candidates = sorted(_siblings(path), key=lambda found: (found.inode != position.inode, -found.modified))
    for sibling in candidates:
        if sibling.inode != position.inode and not (position.head_bytes and _is_rotated_name(path, sibling.path)):
            continue
        try:
            fd = open_log(sibling.path)
        except OSError:
            continue
        if position.matches(fd):
            return fd
        os.close(fd)
    return None


def written_between(path: str, old: int, known: Collection[int], new: int | None = None) -> list[int]:
    """Files rotated after the open file ``old`` and before ``path`` (or the open file ``new``), opened, oldest first.

    :param known: inodes that are read anyway.
    """
    since = os.fstat(old).st_mtime_ns
    until = math.inf if new is None else os.fstat(new).st_mtime_ns
    found: list[int] = []
    for sibling in sorted(_siblings(path), key=lambda entry: entry.modified):
        if sibling.inode in known or not _is_rotated_name(path, sibling.path):
            continue
        if not since <= sibling.modified <= until:
            continue
        try:
            fd = open_log(sibling.path)
        except OSError:
            continue
        if _is_copy(fd, old):
            os.close(fd)
        else:
            found.append(fd)
    return found


def _is_copy(fd: int, old: int) -> bool:
    """Whether the open file ``fd`` holds what ``old`` holds, or held when it was copied."""
    size = os.fstat(fd).st_size
    if size > os.fstat(old).st_size:
        return False
    tail = max(0, size - HEAD_BYTES)
    return all(os.pread(fd, HEAD_BYTES, at) == os.pread(old, min(HEAD_BYTES, size), at) for at in (0, tail))


class _Sibling(NamedTuple):
    path: str
    inode: int
    modified: int


def _siblings(path: str) -> Iterator[_Sibling]:
    """The other regular files of the folder; ``modified`` is in nanoseconds."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name == name:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield _Sibling(entry.path, status.st_ino, status.st_mtime_ns)
    except OSError:
        return


def _is_rotated_name(path: str, sibling: str) -> bool:
    """``out.log`` was rotated to ``out.log.1``, ``out-20240115.log``, ``out__2024-01-15_10-30-45.log``."""
    stem, extension = os.path.splitext(os.path.basename(path))
    name = os.path.basename(sibling)
    if not name.startswith(stem):
        return False
    rest = name[len(stem) :]
    if extension:
        rest = rest.replace(extension, "", 1)
    return _ADDED.fullmatch(rest) is not None
