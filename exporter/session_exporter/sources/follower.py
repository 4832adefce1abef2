"""Follow one log file: every byte once, in order, whatever rotates, truncates or restarts in between."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from .rotation import HEAD_BYTES, TAIL_BYTES, Position, find_rest, open_log, written_between

BLOCK_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class SourceStatus(str, Enum):
    """Whether the file can be read."""

    READING = "reading"
    MISSING = "missing"
    UNREADABLE = "unreadable"


class Block(NamedTuple):
    """Bytes of one file; ``data`` begins at ``offset``."""

    file: LogFile
    offset: int
    data: bytes


class TruncatedError(Exception):
    """The file no longer holds, before our offset, what we read there."""


class LogFile:
    """One open file, and how far it was read."""

    def __init__(self, fd: int, offset: int = 0) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self.id = (status.st_dev, status.st_ino)
        self.offset = offset
        self.head = os.pread(fd, min(HEAD_BYTES, offset), 0)
        self._tail = os.pread(fd, min(TAIL_BYTES, offset), max(0, offset - TAIL_BYTES))
        self._in_doubt = True

    def read(self) -> bytes:
        """The next bytes, at most BLOCK_BYTES; empty at the end. :raises TruncatedError: what we read is gone."""
        if not self._in_doubt:
            data = os.pread(self.fd, BLOCK_BYTES, self.offset)
        else:
            # A file truncated and grown again looks like one that only grew, but for the bytes before our offset.
            data = os.pread(self.fd, len(self._tail) + BLOCK_BYTES, self.offset - len(self._tail))
            if not data.startswith(self._tail):
                raise TruncatedError
            data = data[len(self._tail) :]
        self._in_doubt = not data
        if data:
            if len(self.head) < HEAD_BYTES:
                self.head += data[: HEAD_BYTES - len(self.head)]
            self.offset += len(data)
            self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        return data

    def position(self) -> Position:
        return Position.of(self.id[1], self.offset, self.head, self._tail)

    def position_at(self, offset: int, tail: bytes) -> Position:
        """The position of an earlier ``offset``, with the bytes just before it."""
        return Position.of(self.id[1], offset, self.head[:offset], tail[-TAIL_BYTES:])

    def close(self) -> None:
        os.close(self.fd)


class Follower:
    """Follows ``path``; one thread calls it.

    A file is read from its end when it is there at first sight, from its start when it appears later.

    :param position: where an earlier run stopped. ``began`` is where this one began; None before the file was seen.
    :param from_beginning: read also what a file holds at first sight.
    """

    def __init__(self, path: str, position: Position | None = None, from_beginning: bool = False) -> None:
        self.path = path
        self.status = SourceStatus.MISSING
        self.caught_up = False
        self.bytes_read = 0
        self.last_read_at: float | None = None
        self.rotations = {"renamed": 0, "copied": 0, "truncated": 0, "lost": 0}
        self.began = position
        self._resume = position
        self._from_beginning = from_beginning
        self._told: SourceStatus | None = None
        self._first_size: int | None = None
        self._files: deque[LogFile] = deque()
        self._folder_changed: int | None = None
        self._skip_partial_line = False

    def blocks(self, budget: int) -> Iterator[Block]:
        """Yield what was written since the last call, about ``budget`` bytes; ``caught_up`` says if that is all."""
        self.caught_up = False
        while budget > 0:
            if not self._files and not self._open_first():
                self.caught_up = True
                return
            file = self._files[0]
            offset = file.offset
            try:
                data = file.read()
            except TruncatedError:
                self._restart(file)
                continue
            except OSError as error:
                self._tell(SourceStatus.UNREADABLE, error)
                self.caught_up = True
                return
            if data:
                budget -= len(data)
                self.bytes_read += len(data)
                yield from self._clean(file, offset, data)
            elif len(self._files) > 1:
                self._files.popleft().close()
            elif not self._move_on(file):
                self.caught_up = True
                return

    def close(self) -> None:
        while self._files:
            self._files.popleft().close()

    # -- where to begin -----------------------------------------------------------------------------------------

    def _open_first(self) -> bool:
        fd = self._open()
        if self._resume is not None:
            return self._open_resumed(fd, self._resume)
        if fd is None:
            return False
        offset = 0
        if not self._from_beginning:
            size = os.fstat(fd).st_size
            offset = size if self._first_size is None else self._first_size if self._first_size <= size else 0
            self._skip_partial_line = offset > 0 and os.pread(fd, 1, offset - 1) != b"\n"
        self._from_beginning = True
        self._files.append(LogFile(fd, offset))
        self.began = self._files[0].position()
        return True

    def _open_resumed(self, fd: int | None, position: Position) -> bool:
        if fd is not None and position.matches(fd):
            self._files.append(LogFile(fd, position.offset))
        else:
            rest = find_rest(self.path, position)
            if rest is not None:
                self.rotations["renamed" if os.fstat(rest).st_ino == position.inode else "copied"] += 1
                self._files.append(LogFile(rest, position.offset))
                self._append_successors(rest, fd)
            elif fd is None:
                # Perhaps it is being rotated just now: what was read of it stays known.
                return False
            else:
                self.rotations["lost"] += 1
                _log.warning(
                    "Log %s was rotated while nobody read it, and the rest of the old file is not beside it: "
                    "what it held is not counted.",
                    self.path,
                )
                self._files.append(LogFile(fd))
                self.began = self._files[0].position()
        self._resume = None
        self._from_beginning = True
        return True

    def _open(self) -> int | None:
        try:
            fd = open_log(self.path)
        except FileNotFoundError as error:
            # Whatever appears later under this name is new.
            self._from_beginning = True
            self._tell(SourceStatus.MISSING, error)
            return None
        except OSError as error:
            if self._first_size is None and not self._from_beginning:
                try:
                    self._first_size = os.stat(self.path).st_size
                except OSError:
                    self._first_size = None
            self._tell(SourceStatus.UNREADABLE, error)
            return None
        self._tell(SourceStatus.READING)
        return fd

    # -- what may happen to a file --------------------------------------------------------------------------------

    def _move_on(self, file: LogFile) -> bool:
        """At the end of the live file: go on with its successor if there is one; False when all is read."""
        newest: os.stat_result | None = None
        try:
            newest = os.stat(self.path)
        except FileNotFoundError as error:
            self._tell(SourceStatus.MISSING, error)
        except OSError as error:
            self._tell(SourceStatus.UNREADABLE, error)
            return False
        if newest is not None and (newest.st_dev, newest.st_ino) == file.id:
            self._tell(SourceStatus.READING)
            return False
        if os.fstat(file.fd).st_size > file.offset:
            return True
        # Until the new file is there and has something in it, its writer may still be busy with the one before.
        if newest is None or newest.st_size == 0:
            return self._move_on_to_older(file, newest)
        fd = self._open()
        if fd is None:
            return False
        self._append_successors(file.fd, fd)
        return self._leave(file)

    def _move_on_to_older(self, file: LogFile, newest: os.stat_result | None) -> bool:
        """Go on with the file before the newest, if that is not ours; look for it only when the folder changed."""
        try:
            folder_changed = os.stat(os.path.dirname(self.path) or ".").st_mtime_ns
        except OSError:
            return False
        if folder_changed == self._folder_changed:
            return False
        self._folder_changed = folder_changed
        known = {file.id[1]} if newest is None else {file.id[1], newest.st_ino}
        between = written_between(self.path, file.fd, known)
        self._files += [LogFile(fd) for fd in between]
        return bool(between) and self._leave(file)

    def _leave(self, file: LogFile) -> bool:
        self.rotations["renamed"] += 1
        self._files.remove(file)
        file.close()
        return True

    def _append_successors(self, old: int, current: int | None) -> None:
        known = {os.fstat(fd).st_ino for fd in (old, current) if fd is not None}
        for fd in written_between(self.path, old, known):
            self._files.append(LogFile(fd))
        if current is not None:
            self._files.append(LogFile(current))

    def _restart(self, file: LogFile) -> None:
        """The file was truncated, or copied and truncated: read the rest of the copy, then the file anew."""
        if len(self._files) > 1:
            # A file that was rotated away and is rewritten has nothing new for us.
            self._files.popleft().close()
            return
        copy = find_rest(self.path, file.position())
        self.rotations["truncated" if copy is None else "copied"] += 1
        again = os.dup(file.fd)
        self._files.popleft().close()
        if copy is None:
            self._files.append(LogFile(again))
        else:
            self._files.append(LogFile(copy, file.offset))
            # Between the copy and the file as it is now; what came after that is found at its end.
            between = written_between(self.path, copy, {file.id[1], os.fstat(copy).st_ino}, again)
            self._files += [LogFile(fd) for fd in (*between, again)]

    def _clean(self, file: LogFile, offset: int, data: bytes) -> Iterator[Block]:
        if self._skip_partial_line:
            end = data.find(b"\n")
            if end < 0:
                return
            self._skip_partial_line = False
            offset, data = offset + end + 1, data[end + 1 :]
        if data[:1] == b"\0":
            # A writer without O_APPEND goes on at its old offset after a truncation: a hole before the first line.
            rest = data.lstrip(b"\0")
            offset, data = offset + len(data) - len(rest), rest
        if data:
            yield Block(file, offset, data)

    def _tell(self, status: SourceStatus, error: OSError | None = None) -> None:
        """Log a change of status once."""
        self.status = status
        if status is self._told:
            return
        if status is SourceStatus.MISSING:
            _log.warning("Log %s is not there; it is read from its start once it is.", self.path)
        elif status is SourceStatus.UNREADABLE:
            reason = error.strerror if error is not None else ""
            _log.error("Log %s cannot be read (%s). Check its path and rights.", self.path, reason)
        elif self._told is not None:
            _log.info("Log %s is read now.", self.path)
        self._told = status
