"""From blocks of log bytes to events, for all sources of one backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from ..config import BackendConfig
from ..crypto_errors import LITERALS, Literal
from .correlate import Correlator, CryptoError
from .records import CONSOLE_ERROR, CONSOLE_HEAD, COUNT_MARK, UPDATE_MARK, Count, RecordParser, Update

# A line longer than this is rubbish or a dump; its head tells all we need.
MAX_RECORD = 256 * 1024
# How long the last record of a block may wait for its continuation lines.
CONTINUATION_SECONDS = 0.3
_CONTINUES = (b" ", b"\t", b"}", b"]")


@dataclass(frozen=True)
class MessagesReceived:
    """``number`` more messages of ``session`` were decrypted; ``at`` is epoch seconds."""

    session: str
    number: int
    at: float


@dataclass(frozen=True)
class ConnectionChanged:
    """The connection of ``session`` became ``word`` at ``at`` (epoch seconds); ``code`` is the reason of a close."""

    session: str
    word: str
    code: int | None
    at: float


Event = Union[CryptoError, MessagesReceived, ConnectionChanged]


def needles(literals: Iterable[Literal]) -> tuple[bytes, ...]:
    """The fewest texts to search for: whatever contains another literal is found with it."""
    texts = {literal.text for literal in literals} | {CONSOLE_ERROR, COUNT_MARK, UPDATE_MARK}
    return tuple(sorted(text for text in texts if not any(other != text and other in text for other in texts)))


class LogReader:
    """Reads the log sources of one backend, which are fed in any order and in blocks cut anywhere.

    ``feed`` may hold back the last record and records that wait for a partner: call ``flush`` about every 0.2 s.
    """

    def __init__(self, config: BackendConfig) -> None:
        extra = tuple(Literal(item.literal.encode(), item.kind, item.benign) for item in config.error_patterns)
        # What the operator adds decides before what we know.
        literals = extra + LITERALS
        self._needles = needles(literals)
        self._parser = RecordParser(literals, config.session_fields)
        self._sessions = [source.session for source in config.log_sources]
        self._correlator = Correlator(any(source.stream != "stdout" for source in config.log_sources))
        self._blocks = [_Blocks() for _ in config.log_sources]

    def feed(self, source: int, data: bytes, now: float) -> list[Event]:
        """Take ``data`` of log source number ``source``, read at ``now`` (epoch seconds)."""
        return self._events(source, self._blocks[source].feed(data, now), now)

    def flush(self, now: float) -> list[Event]:
        """What is complete by waiting long enough."""
        events: list[Event] = []
        for source, blocks in enumerate(self._blocks):
            events += self._events(source, blocks.flush(now), now)
        events += self._correlator.flush(now)
        return events

    def _events(self, source: int, chunk: bytes, now: float) -> list[Event]:
        events: list[Event] = []
        session = self._sessions[source]
        for raw in _hit_records(chunk, self._needles):
            record = self._parser.parse(raw)
            if isinstance(record, Count):
                events.append(MessagesReceived(record.session, record.number, _not_after(record.at, now)))
            elif isinstance(record, Update):
                events.append(ConnectionChanged(record.session, record.word, record.code, _not_after(record.at, now)))
            elif record is not None:
                if record.at is not None:
                    record.at = _not_after(record.at, now)
                events += self._correlator.add(record, session, now)
        return events


def _not_after(at: float | None, now: float) -> float:
    return now if at is None else min(at, now)


class _Blocks:
    """Cuts a stream into chunks that hold whole records only."""

    def __init__(self) -> None:
        self._rest = b""
        self._since = 0.0
        self._in_long_line = False

    def feed(self, data: bytes, now: float) -> bytes:
        if self._in_long_line:
            end = data.find(b"\n")
            if end < 0:
                return b""
            data = data[end + 1 :]
            self._in_long_line = False
        data = self._rest + data
        end = data.rfind(b"\n")
        if end < 0:
            return self._keep(data, now)
        # The last line may still get continuation lines: it waits, unless it is whole in itself.
        start = _record_start(data, end)
        last = data[start : end + 1]
        cut = end + 1 if last[:1] == b"{" and last.rstrip().endswith(b"}") else start
        chunk, rest = data[:cut], data[cut:]
        self._keep(rest, now)
        return chunk

    def flush(self, now: float) -> bytes:
        if not self._rest or now - self._since < CONTINUATION_SECONDS:
            return b""
        end = self._rest.rfind(b"\n")
        if end < 0:
            return b""
        chunk, self._rest = self._rest[: end + 1], self._rest[end + 1 :]
        self._since = now
        return chunk

    def _keep(self, rest: bytes, now: float) -> bytes:
        chunk = b""
        if len(rest) > MAX_RECORD:
            chunk, rest = rest[:MAX_RECORD], b""
            self._in_long_line = not chunk.endswith(b"\n")
        self._rest, self._since = rest, now
        return chunk


def _record_start(data: bytes, end: int) -> int:
    """Where the record that holds the line ending at ``end`` begins."""
    while True:
        start = data.rfind(b"\n", 0, end) + 1
        if start == 0:
            return 0
        if data.startswith(CONSOLE_ERROR, start):
            # One message prints one head and an error for each session of the record; without a head it stands alone.
            before = _record_start(data, start - 1)
            return before if data.startswith((CONSOLE_HEAD, CONSOLE_ERROR), before) else start
        if not data.startswith(_CONTINUES, start):
            return start
        end = start - 1


def _record_end(data: bytes, start: int) -> int:
    """Where the record that begins at ``start`` ends (after its newline)."""
    console = data.startswith((CONSOLE_HEAD, CONSOLE_ERROR), start)
    while True:
        newline = data.find(b"\n", start)
        if newline < 0:
            return len(data)
        start = newline + 1
        if data.startswith(_CONTINUES, start) or console and data.startswith(CONSOLE_ERROR, start):
            continue
        return start


def _hit_records(chunk: bytes, texts: Sequence[bytes]) -> Iterator[bytes]:
    """The records of ``chunk`` that hold one of ``texts``, in order, each once."""
    if not chunk:
        return
    find = chunk.find
    following = [(find(text), text) for text in texts]
    following = [item for item in following if item[0] >= 0]
    while following:
        at = min(following)[0]
        start = _record_start(chunk, at) if at else 0
        end = _record_end(chunk, start)
        yield chunk[start : min(end, start + MAX_RECORD)].rstrip(b"\n")
        end = max(end, at + 1)
        following = [(position if position >= end else find(text, end), text) for position, text in following]
        following = [item for item in following if item[0] >= 0]
