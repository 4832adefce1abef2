"""File access below a folder that others may write in: by folder descriptor, never through a link, never half.

The remedies run as root while a backend owns the folders; a link planted there must not lead a read or a write out.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..errors import StoreError
from ..names import shown

# creds of 6 MB have been seen; what is far larger is not auth state.
MAX_SIZE = 64 * 1024 * 1024

TEMPORARY_PREFIX = ".sessionmedic-"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a planted FIFO would wait for its writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Attributes:
    """What a file carries beside its content. ``mtime_ns`` is None where it does not matter."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int | None = None

    @classmethod
    def of(cls, found: os.stat_result) -> Attributes:
        return cls(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns)


@contextmanager
def opened_folder(path: str | os.PathLike[str], dir_fd: int | None = None, follow: bool = False) -> Iterator[int]:
    """Descriptor of a folder. :raises OSError: missing, not a folder, or a link while ``follow`` is false."""
    descriptor = os.open(path, _FOLDER | (0 if follow else os.O_NOFOLLOW), dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stat_regular(folder: int, name: str) -> os.stat_result:
    """:raises StoreError: the name is a link, a folder or another thing that is no regular file."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        what = "link" if stat.S_ISLNK(found.st_mode) else "folder" if stat.S_ISDIR(found.st_mode) else "special file"
        raise StoreError(f"{shown(name)} is a {what}, not a regular file.", "Remove it by hand; nothing was changed.")
    return found


def read(folder: int, name: str, limit: int = MAX_SIZE) -> tuple[bytes, os.stat_result]:
    """Content of a regular file and what it was when it was read whole.

    :raises StoreError: not a regular file, or larger than ``limit`` bytes.
    :raises OSError: missing or unreadable.
    """
    stat_regular(folder, name)
    descriptor = os.open(name, _READ, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{shown(name)} is not a regular file.", "Remove it by hand; nothing was changed.")
        data = file.read(limit + 1)
        if len(data) > limit:
            raise StoreError(f"{shown(name)} is larger than {limit // 2**20} MiB.", "It is not auth state; look at it.")
    return data, found


def create(folder: int, name: str, data: bytes, attributes: Attributes | None = None, sync: bool = True) -> None:
    """Write a new file, mode 0600 unless ``attributes`` say otherwise. :raises OSError: it exists, or no space."""
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if attributes is not None:
            found = os.fstat(descriptor)
            if (found.st_uid, found.st_gid) != (attributes.uid, attributes.gid):
                os.fchown(descriptor, attributes.uid, attributes.gid)
            os.fchmod(descriptor, attributes.mode)
            if attributes.mtime_ns is not None:
                os.utime(descriptor, ns=(attributes.mtime_ns, attributes.mtime_ns))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(folder: int, name: str) -> None:
    """Have a written file's content on the disk."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stage(folder: int, data: bytes, attributes: Attributes) -> str:
    """Write ``data`` under a temporary name in the folder, synced, and return the name; on failure it is removed."""
    name = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.tmp"
    try:
        create(folder, name, data, attributes)
    except BaseException:
        discard(folder, name)
        raise
    return name


def commit(folder: int, staged: str, name: str) -> None:
    """Put a staged file in its place, at once; sync the folder afterwards."""
    os.rename(staged, name, src_dir_fd=folder, dst_dir_fd=folder)


def discard(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def discard_leftovers(folder: int) -> None:
    """Remove what an ended process had staged: it holds keys."""
    for name in os.listdir(folder):
        if name.startswith(TEMPORARY_PREFIX) and name.endswith(".tmp"):
            discard(folder, name)


def writable(folder: int) -> bool:
    """Whether names in the folder can be added and removed (false on read-only mounts and immutable folders too)."""
    return os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True)


def listed(folder: int) -> list[str]:
    """Names in the folder, sorted."""
    return sorted(os.listdir(folder))
