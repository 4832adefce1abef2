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
from sessionmedic.logs.reader import Event, MessagesReceived

# Far longer than the reader holds anything back.
RECENT_SECONDS = 10.0
# Where an event came from, beside the numbers of the log sources.
FLUSH = -1
TIMED = -2


class Ledger:
    """The events of one backend that were counted.

    Every feed and every flush of the reader has a stamp, a time unlike all others: a record without a time of its own
    carries that of the feed or flush that gave it out, and so tells where it came from.
    """

    def __init__(self) -> None:
        self._messages: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()
        self._stamps: OrderedDict[float, int] = OrderedDict()
        self._recent: deque[tuple[float, int, str]] = deque()
        self._counted_before: Counter[str] = Counter()

    def fed(self, stamp: float, source: int) -> None:
        """Log source number ``source`` (or FLUSH) has the stamp ``stamp``."""
        self._stamps[stamp] = source
        while next(iter(self._stamps)) < stamp - RECENT_SECONDS:
            self._stamps.popitem(last=False)

    def is_new(self, event: Event, now: float) -> bool:
        """Whether ``event`` is to be counted; remembers it as counted if so."""
        if isinstance(event, CryptoError) and event.message_id:
            return self._is_new_message(event, now)
        # A clock ahead of ours makes a record with a time look like one without: both names are looked up.
        timed, timeless = _digest(event, event.at), _digest(event, None)
        names = [timed, timeless]
        if isinstance(event, CryptoError) and event.peer:
            names.append(_digest_of_console(event.peer))
        before = next((name for name in names if self._counted_before[name] > 0), None)
        if before is not None:
            self._counted_before[before] -= 1
        source = self._stamps.get(event.at)
        self._remember(now, *((now, TIMED, timed) if source is None else (event.at, source, timeless)))
        return before is None

    def _remember(self, now: float, at: float, source: int, name: str) -> None:
        self._recent.append((at, source, name))
        while self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()

    def _is_new_message(self, event: CryptoError, now: float) -> bool:
        if event.peer:
            # Of its traces the console text alone may be read again: it names no message, only the peer.
            self._remember(now, now, TIMED, _digest_of_console(event.peer))
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

        :param since: the stamps from which on each source, and FLUSH and TIMED, will be given out again.
        """
        while self._messages and next(iter(self._messages.values()))[0] < now - REMEMBER_SECONDS:
            self._messages.popitem(last=False)
        again = [name for at, source, name in self._recent if at >= since.get(source, 0.0)]
        # What the run before counted, and this one has not yet reached again, is still counted.
        again += self._counted_before.elements()
        messages = {message: [seen, sessions] for message, (seen, sessions) in self._messages.items()}
        return {"messages": messages, "recent": again}

    def restore(self, data: Mapping[str, Any]) -> None:
        """:raises KeyError, TypeError, ValueError: not what ``to_json`` gave."""
        for message, (seen, sessions) in data["messages"].items():
            self._messages[str(message)] = (float(seen), [str(session) for session in sessions])
        self._counted_before = Counter(str(key) for key in data["recent"])


def _digest(event: Event, at: float | None) -> str:
    """A short name of what is counted; peers are phone numbers, and need not be on disk."""
    if isinstance(event, CryptoError):
        fields: tuple[object, ...] = ("error", event.session, event.kind, event.peer)
    elif isinstance(event, MessagesReceived):
        fields = ("messages", event.session, event.number)
    else:
        fields = ("connection", event.session, event.word, event.code)
    return hashlib.blake2b(repr((*fields, at)).encode(), digest_size=8).hexdigest()


def _digest_of_console(peer: str) -> str:
    return hashlib.blake2b(repr(("console", peer)).encode(), digest_size=8).hexdigest()
