"""All logs of one backend: followers, reader, and the places from which a next run must read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sessionmedic.config import BackendConfig
from sessionmedic.logs.reader import CONTINUATION_SECONDS, Event, LogReader

from .follower import Block, Follower, LogFile
from .ledger import FLUSH, TIMED, Ledger
from .rotation import TAIL_BYTES, Position

# After this long the reader has given out whatever it got (it pairs for 0.5 s, console text for 1 s).
SETTLE_SECONDS = 1.5
# One turn of one file; the other files and backends get theirs in between.
TURN_BYTES = 4 * 1024 * 1024
# A record begins where a line begins with none of these (see sessionmedic.logs.reader).
_CONTINUES = (b" ", b"\t", b"}", b"]", b"Session error:")
_TICK = 1e-6
# Stamps run ahead of the clock by ticks; more than this, and the clock was set back.
BACKWARD_SECONDS = 1.0


@dataclass(frozen=True)
class _Mark:
    """A place in a file, and a stamp: feeds of what comes after the place have this stamp or a later one."""

    file: LogFile
    offset: int
    tail: bytes
    stamp: float

    def position(self) -> Position:
        return self.file.position_at(self.offset, self.tail)


@dataclass
class _Source:
    """One log.

    ``start`` is where the last record begins, which may still grow; ``end`` is the end of the last whole line.
    """

    follower: Follower
    file: LogFile | None = None
    offset: int = 0
    tail: bytes = b""
    fed_at: float = 0.0
    start: _Mark | None = None
    end: _Mark | None = None

    def mark(self, flushed_at: float) -> _Mark | None:
        """Before this place the reader has taken every record as whole, when it was flushed at ``flushed_at``."""
        return self.end if flushed_at - self.fed_at >= CONTINUATION_SECONDS else self.start


@dataclass(frozen=True)
class _Turn:
    """The marks of all sources at the end of one turn; what comes after them was given out from ``since`` on."""

    since: float
    flushed_at: float
    marks: tuple[_Mark | None, ...]


class BackendLogs:
    """Reads the logs of one backend; one thread calls it.

    :param saved: what ``to_json`` gave in an earlier run.
    """

    def __init__(
        self, config: BackendConfig, saved: Mapping[str, Any] | None = None, from_beginning: bool = False
    ) -> None:
        self.name = config.name
        self._reader = LogReader(config)
        self._ledger = Ledger()
        positions: Mapping[str, Any] = {}
        if saved:
            positions = saved["sources"]
            self._ledger.restore(saved["ledger"])
        self._sources = [
            _Source(
                Follower(
                    source.path,
                    Position.from_json(positions[source.path]) if source.path in positions else None,
                    from_beginning,
                )
            )
            for source in config.log_sources
        ]
        self._resumed = bool(positions)
        self._stamp = 0.0
        # Turns of which the reader may still hold records back, and the newest of which it does not.
        self._turns: deque[_Turn] = deque()
        self._settled: _Turn | None = None
        self._caught_up_at: float | None = None
        self.replayed = not config.log_sources

    @property
    def followers(self) -> list[Follower]:
        return [source.follower for source in self._sources]

    def read(self, now: float) -> tuple[list[Event], bool]:
        """One turn of every file at ``now`` (epoch seconds): the new events, and whether there is more to read."""
        events = self._after_clock_jump(now)
        began = self._next_stamp(now)
        for number, source in enumerate(self._sources):
            last: Block | None = None
            for block in source.follower.blocks(TURN_BYTES):
                if last is not None:
                    events += self._feed_block(number, source, last, now, is_last=False)
                last = block
            if last is not None:
                events += self._feed_block(number, source, last, now, is_last=True)
                source.follower.last_read_at = now
        self._stamp = self._next_stamp(now)
        self._ledger.fed(self._stamp, FLUSH)
        events += self._reader.flush(self._stamp)
        self._end_turn(began)
        new = [event for event in events if self._ledger.is_new(event, self._stamp)]
        more = not all(source.follower.caught_up for source in self._sources)
        self._note_replay(more)
        return new, more

    def to_json(self) -> dict[str, Any]:
        """Positions and ledger as of the last ``read``; they belong to the counts as of the same moment."""
        positions: dict[str, Any] = {}
        since: dict[int, float] = {}
        if self._settled is not None:
            since = {FLUSH: self._settled.flushed_at + _TICK / 2, TIMED: self._settled.since}
        for number, source in enumerate(self._sources):
            mark = None if self._settled is None else self._settled.marks[number]
            position = source.follower.began if mark is None else mark.position()
            if position is not None:
                positions[source.follower.path] = position.to_json()
            if mark is not None:
                since[number] = mark.stamp
        return {"sources": positions, "ledger": self._ledger.to_json(since, self._stamp)}

    def close(self) -> None:
        for source in self._sources:
            source.follower.close()

    # -- feeding ------------------------------------------------------------------------------------------------

    def _feed(self, number: int, data: bytes, now: float) -> list[Event]:
        # Every feed has a time of its own: it tells later which feed a record without a time came from.
        self._stamp = self._next_stamp(now)
        self._sources[number].fed_at = self._stamp
        self._ledger.fed(self._stamp, number)
        return self._reader.feed(number, data, self._stamp)

    def _next_stamp(self, now: float) -> float:
        return max(now, self._stamp + _TICK)

    def _feed_block(self, number: int, source: _Source, block: Block, now: float, is_last: bool) -> list[Event]:
        events: list[Event] = []
        data = block.data
        if source.file is not block.file or source.offset != block.offset:
            # Another file, or its truncation: what came before ended there, whole line or not.
            if source.tail and source.tail[-1:] != b"\n":
                events += self._feed(number, b"\n", now)
            source.file, source.tail = block.file, b""
        if is_last:
            events += self._feed_marked(number, source, block, now)
        else:
            events += self._feed(number, data, now)
        source.offset = block.offset + len(data)
        source.tail = (source.tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        return events

    def _feed_marked(self, number: int, source: _Source, block: Block, now: float) -> list[Event]:
        """Feed the last block of a turn in parts, so that what comes after a mark has stamps of its own."""
        data = block.data
        cut = _last_record(data, begins_line=source.tail[-1:] in (b"", b"\n"))
        line_end = data.rfind(b"\n") + 1
        events: list[Event] = []
        fed = 0
        if cut > 0:
            events += self._feed(number, data[:cut], now)
            fed = cut
        if cut >= 0:
            # An empty line has the reader give out the record before the mark, which it would with the one after it.
            events += self._feed(number, b"\n", now)
            source.start = self._mark(source, block, cut, now)
        if line_end > fed:
            events += self._feed(number, data[fed:line_end], now)
            fed = line_end
        if line_end:
            source.end = self._mark(source, block, line_end, now)
        if fed < len(data):
            events += self._feed(number, data[fed:], now)
        return events

    def _mark(self, source: _Source, block: Block, place: int, now: float) -> _Mark:
        before = block.data[max(0, place - TAIL_BYTES) : place]
        tail = (source.tail + before)[-TAIL_BYTES:]
        return _Mark(block.file, block.offset + place, tail, self._next_stamp(now))

    # -- what is settled ----------------------------------------------------------------------------------------

    def _end_turn(self, began: float) -> None:
        marks = tuple(source.mark(self._stamp) for source in self._sources)
        newest = self._turns[-1] if self._turns else self._settled
        if newest is None or newest.marks != marks:
            growing = [source.start for source, mark in zip(self._sources, marks, strict=True) if mark is source.start]
            since = min([began, *(mark.stamp for mark in growing if mark is not None)])
            self._turns.append(_Turn(since, self._stamp, marks))
        while self._turns and self._turns[0].flushed_at <= self._stamp - SETTLE_SECONDS:
            self._settled = self._turns.popleft()

    def _after_clock_jump(self, now: float) -> list[Event]:
        """When the clock was set back, the reader would hold until it has caught up: have it give out all."""
        if now >= self._stamp - BACKWARD_SECONDS:
            return []
        events = self._reader.flush(self._stamp + 2 * SETTLE_SECONDS)
        self._stamp = now
        self._turns.clear()
        self._settled = _Turn(now, now, tuple(source.end for source in self._sources))
        return events

    def _note_replay(self, more: bool) -> None:
        if self.replayed or more:
            return
        if self._caught_up_at is None:
            self._caught_up_at = self._stamp
        # What the reader still holds back may have been counted by the earlier run: counters must not go down.
        if not self._resumed or self._stamp - self._caught_up_at >= SETTLE_SECONDS:
            self._ledger.end_replay()
            self.replayed = True


def _last_record(data: bytes, begins_line: bool) -> int:
    """Where the last record of ``data`` begins, -1 when that is before ``data``."""
    end = len(data) - 1
    while end > 0:
        end = data.rfind(b"\n", 0, end)
        if end < 0:
            break
        if not data.startswith(_CONTINUES, end + 1):
            return end + 1
    return 0 if begins_line and not data.startswith(_CONTINUES) else -1
