"""What was counted lately, so that bytes that are read again after a restart are not counted again.

The state file names, for each log, a place before which the reader holds nothing back. Bytes after that place are read
again at the next start, and what they hold was partly counted: events with a message id are known by it, others are
struck off a list.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from sessionmedic.logs.correlate import REMEMBER_MESSAGES, REMEMBER_SECONDS, CryptoError
from sessionmedic.logs.reader import Event

# Far longer than the reader holds anything back.
RECENT_SECONDS = 10.0


class Ledger:
    """The events of one backend that were counted."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()
        # (when, source or -1, digest): time-less events carry the unique time of the feed that they came from.
        self._recent: deque[tuple[float, int, str]] = deque()
        self._stamps: OrderedDict[float, int] = OrderedDict()
        self._counted_before: Counter[str] = Counter()

    def fed(self, stamp: float, source: int) -> None:
        """Bytes of log source number ``source`` were handed to the reader with time ``stamp``, unlike all others."""
        self._stamps[stamp] = source
        while next(iter(self._stamps)) < stamp - RECENT_SECONDS:
            self._stamps.popitem(last=False)

    def is_new(self, event: Event, now: float) -> bool:
        """Whether ``event`` is to be counted; remembers it as counted if so."""
        if isinstance(event, CryptoError) and event.message_id:
            return self._is_new_message(event, now)
        source = self._stamps.get(event.at, -1)
        key = _digest(event, timed=source < 0)
        if self._counted_before[key] > 0:
            self._counted_before[key] -= 1
            return False
        self._recent.append((event.at if source >= 0 else now, source, key))
        while self._recent and self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()
        return True

    def _is_new_message(self, event: CryptoError, now: float) -> bool:
        session = event.session or ""
        known = self._messages.get(event.message_id)
        if known is not None:
            if not session or session in known[1]:
                return False
            known[1].append(session)
            return True
        self._messages[event.message_id] = (now, [session])
        while len(self._messages) > REMEMBER_MESSAGES:
            self._messages.popitem(last=False)
        return True

    def end_replay(self) -> None:
        """All bytes that were read by an earlier run have been read again."""
        self._counted_before.clear()

    def to_json(self, since: Mapping[int, float], now: float) -> dict[str, Any]:
        """The entries that the next run needs.

        :param since: for each source the stamp of the first feed after the place that it will be read from again; a
            source that is missing will not be read again.
        """
        while self._messages and next(iter(self._messages.values()))[0] < now - REMEMBER_SECONDS:
            self._messages.popitem(last=False)
        earliest = min(since.values(), default=None)
        again = [
            key
            for at, source, key in self._recent
            if (at >= since[source] if source in since else source < 0 and earliest is not None and at >= earliest)
        ]
        # What the run before counted, and this one has not yet reached again, is still counted.
        again += self._counted_before.elements()
        messages = {message: [seen, sessions] for message, (seen, sessions) in self._messages.items()}
        return {"messages": messages, "recent": again}

    def restore(self, data: Mapping[str, Any]) -> None:
        """:raises KeyError, TypeError, ValueError: not what ``to_json`` gave."""
        for message, (seen, sessions) in data["messages"].items():
            self._messages[str(message)] = (float(seen), [str(session) for session in sessions])
        self._counted_before = Counter(str(key) for key in data["recent"])


def _digest(event: Event, timed: bool) -> str:
    """A short name of what is counted; peers are phone numbers, and need not be on disk."""
    if isinstance(event, CryptoError):
        fields: tuple[object, ...] = ("error", event.session, event.kind, event.peer)
    else:
        fields = ("messages", event.session, event.number)
    return hashlib.blake2b(repr((*fields, event.at if timed else None)).encode(), digest_size=8).hexdigest()
