"""Render all session series, keeping the text and its compressed form of all that did not change.

A gzip answer is one stream of deflate blocks. Each piece is compressed once, by a compressor of its own, so that it
refers to nothing before it, and flushed, so that it ends on a byte: pieces can be joined. The checksum is taken anew.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence

from ..store import Aspect, BackendStore, Chunk
from .families import FAMILIES, Family, labels

# Text that repeats as much as ours shrinks to 3 % even at the fastest level.
_LEVEL = 1
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_DEFLATE_END = b"\x03\x00"


class Piece:
    """A part of the answer; compressed when somebody first asks for it."""

    __slots__ = ("_packed", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        if self._packed is None:
            deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            self._packed = deflate.compress(self.text) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return self._packed


_NOTHING = Piece(b"")


class Renderer:
    """Renders the session series of ``stores``.

    :param rest: the text of all other metrics, given whether it is wanted in OpenMetrics.
    """

    def __init__(
        self, stores: Sequence[BackendStore], rest: Callable[[bool], bytes], families: Sequence[Family] = FAMILIES
    ) -> None:
        self._stores = stores
        self._rest = rest
        self._families = families
        self._lock = threading.Lock()
        self._kept: dict[Chunk, list[Piece]] = {}
        self._headers = {
            openmetrics: [Piece(family.header(openmetrics).encode()) for family in families]
            for openmetrics in (False, True)
        }

    def text(self, openmetrics: bool = False) -> bytes:
        """The whole answer."""
        return b"".join(piece.text for piece in self._pieces(openmetrics))

    def gzip(self, openmetrics: bool = False) -> bytes:
        """The whole answer, compressed."""
        pieces = self._pieces(openmetrics)
        checksum = length = 0
        for piece in pieces:
            checksum = zlib.crc32(piece.text, checksum)
            length += len(piece.text)
        end = checksum.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little")
        return b"".join([_GZIP_HEAD, *(piece.packed for piece in pieces), _DEFLATE_END, end])

    def _pieces(self, openmetrics: bool) -> list[Piece]:
        with self._lock:
            by_chunk = self._refresh()
        pieces: list[Piece] = []
        for number, header in enumerate(self._headers[openmetrics]):
            of_family = [kept[number] for kept in by_chunk if kept[number] is not _NOTHING]
            if of_family:
                pieces += [header, *of_family]
        pieces.append(Piece(self._rest(openmetrics)))
        return pieces

    def _refresh(self) -> list[list[Piece]]:
        kept: dict[Chunk, list[Piece]] = {}
        for store in self._stores:
            with store.lock:
                readable = store.refresh()
                for chunk in store.chunks:
                    kept[chunk] = self._chunk(store, chunk, readable)
        self._kept = kept
        return [list(pieces) for pieces in kept.values()]

    def _chunk(self, store: BackendStore, chunk: Chunk, readable: bool) -> list[Piece]:
        pieces = self._kept.get(chunk)
        changed = chunk.changed
        if pieces is None:
            pieces = [_NOTHING] * len(self._families)
            changed = Aspect.ALL
        if not changed:
            return pieces
        chunk.changed = Aspect.NONE
        for series in chunk.sessions:
            series.labels = series.labels or labels(store.name, series.id)
        for number, family in enumerate(self._families):
            if family.aspect & changed:
                lines = family.lines
                text = "".join([lines(series, readable) for series in chunk.sessions]).encode()
                pieces[number] = Piece(text) if text else _NOTHING
        return pieces
