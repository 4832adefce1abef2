"""Join the traces of one failed message, so that it counts once and for the right session.

Traces are joined by message id. libsignal's console text has none: it is joined by the peer's address, and only tells
of which kind the failure is. Which session failed is never concluded from what stands nearby: it is named by the record
itself, by a record of the same message, or by a file that belongs to one session; else the error is unattributed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from .records import Record

# How long a trace waits for its partners: streams are separate files, read in turn every 0.2 s.
PAIR_SECONDS = 0.5
# A message that is asked for again and fails again is one failing message; backends retry for minutes.
REMEMBER_SECONDS = 600.0
REMEMBER_MESSAGES = 20_000
_GENERIC = frozenset({"session_error", "decrypt_failed"})


@dataclass(frozen=True)
class CryptoError:
    """One message that could not be decrypted.

    :param session: None when no record names it.
    :param at: epoch seconds of the failure.
    :param sent_at: epoch seconds at which the peer sent the message, None when nothing says it.
    :param method: how the session was found: ``explicit``, ``message_id``, ``source``; ``none``.
    """

    session: str | None
    kind: str
    at: float
    sent_at: float | None = None
    peer: str = ""
    message_id: str = ""
    method: str = "none"


@dataclass
class _Message:
    record: Record
    seen: float
    method: str
    emitted: bool = False
    has_console: bool = False
    sessions: set[str] = field(default_factory=set)


@dataclass
class _Console:
    record: Record
    seen: float
    session: str


class Correlator:
    """Joins the records of one backend.

    :param expects_console: whether a stream with libsignal's console text is read, so that waiting for it makes sense.
    """

    def __init__(self, expects_console: bool, pair_seconds: float = PAIR_SECONDS) -> None:
        self._expects_console = expects_console
        self._pair_seconds = pair_seconds
        self._messages: OrderedDict[str, _Message] = OrderedDict()
        self._waiting: dict[str, _Message] = {}
        self._consoles: list[_Console] = []
        self._serial = 0

    def add(self, record: Record, source_session: str, now: float) -> list[CryptoError]:
        """Take one record; return the errors that are complete by it."""
        method = "explicit" if record.session else "source" if source_session else "none"
        if record.console:
            return self._add_console(record, source_session, now)
        record.session = record.session or source_session
        if not record.message_id:
            return self._add_anonymous(record, method, now)
        known = self._messages.get(record.message_id)
        if known is None:
            message = _Message(record, now, method)
            self._remember(record.message_id, message)
            self._take_console(message)
            self._waiting[record.message_id] = message
            return self._emit_if_complete(record.message_id, message)
        if known.emitted:
            return self._another_session(known, record, method)
        if record.session and known.record.session and record.session != known.record.session:
            return self._another_session(known, record, method)
        self._merge(known, record, method)
        return self._emit_if_complete(record.message_id, known)

    def _another_session(self, known: _Message, record: Record, method: str) -> list[CryptoError]:
        """Another session got the same group message, or the session's own line came late."""
        if not record.session or record.session in known.sessions or record.benign or known.record.benign:
            return []
        if record.session == known.record.session and not known.emitted:
            return []
        return [self._event(known, record, method)]

    def flush(self, now: float) -> list[CryptoError]:
        """The errors whose partners did not come in time."""
        events = []
        for key, message in list(self._waiting.items()):
            if now - message.seen >= self._pair_seconds:
                events += self._emit(key, message)
        late = [item for item in self._consoles if now - item.seen >= 2 * self._pair_seconds]
        if late:
            self._consoles = [item for item in self._consoles if now - item.seen < 2 * self._pair_seconds]
            for console in late:
                if not console.record.benign:
                    console.record.session = console.session
                    message = _Message(console.record, console.seen, "source" if console.session else "none")
                    events.append(self._event(message, console.record, message.method))
        return events

    # -- joining ------------------------------------------------------------------------------------------------

    def _merge(self, message: _Message, record: Record, method: str) -> None:
        kept = message.record
        if record.session and not kept.session:
            kept.session = record.session
            # The session was named by another record of the same message than the one that told of the failure.
            message.method = "message_id" if method == "explicit" else method
        if kept.kind in _GENERIC and record.kind not in _GENERIC:
            kept.kind, kept.benign = record.kind, record.benign
        if record.peer and (not kept.peer or record.peer_is_sure > kept.peer_is_sure):
            kept.peer, kept.peer_is_sure = record.peer, record.peer_is_sure
        kept.at = kept.at if kept.at is not None else record.at
        kept.sent_at = kept.sent_at if kept.sent_at is not None else record.sent_at

    def _add_console(self, record: Record, source_session: str, now: float) -> list[CryptoError]:
        for key, message in self._waiting.items():
            if not message.has_console and _may_be_same_peer(message.record, record):
                self._apply_console(message, record)
                return self._emit_if_complete(key, message)
        for message in reversed(self._messages.values()):
            if now - message.seen > 2 * self._pair_seconds:
                break
            if message.emitted and not message.has_console and _may_be_same_peer(message.record, record):
                message.has_console = True
                return []
        self._consoles.append(_Console(record, now, source_session))
        return []

    def _take_console(self, message: _Message) -> None:
        for index, console in enumerate(self._consoles):
            if _may_be_same_peer(message.record, console.record):
                del self._consoles[index]
                self._apply_console(message, console.record)
                return

    @staticmethod
    def _apply_console(message: _Message, console: Record) -> None:
        message.has_console = True
        if message.record.kind in _GENERIC:
            message.record.kind, message.record.benign = console.kind, console.benign

    def _add_anonymous(self, record: Record, method: str, now: float) -> list[CryptoError]:
        message = _Message(record, now, method)
        self._take_console(message)
        self._serial += 1
        key = f"\0{self._serial}"
        self._remember(key, message)
        self._waiting[key] = message
        return self._emit_if_complete(key, message)

    # -- emitting -----------------------------------------------------------------------------------------------

    def _emit_if_complete(self, key: str, message: _Message) -> list[CryptoError]:
        record = message.record
        needs_console = self._expects_console and not message.has_console and record.kind in _GENERIC
        if not record.session or needs_console:
            return []
        return self._emit(key, message)

    def _emit(self, key: str, message: _Message) -> list[CryptoError]:
        self._waiting.pop(key, None)
        message.emitted = True
        if message.record.benign:
            if message.record.session:
                message.sessions.add(message.record.session)
            return []
        return [self._event(message, message.record, message.method)]

    @staticmethod
    def _event(message: _Message, record: Record, method: str) -> CryptoError:
        if record.session:
            message.sessions.add(record.session)
        kind = message.record.kind
        return CryptoError(
            session=record.session or None,
            kind=kind,
            at=record.at if record.at is not None else message.seen,
            sent_at=record.sent_at if record.sent_at is not None else message.record.sent_at,
            peer=record.peer if record.peer_is_sure else message.record.peer or record.peer,
            message_id=record.message_id,
            method=method if record.session else "none",
        )

    def _remember(self, key: str, message: _Message) -> None:
        self._messages[key] = message
        while self._messages:
            oldest_key, oldest = next(iter(self._messages.items()))
            fresh = message.seen - oldest.seen <= REMEMBER_SECONDS
            if (fresh and len(self._messages) <= REMEMBER_MESSAGES) or not (oldest.emitted or not fresh):
                break
            del self._messages[oldest_key]


def _may_be_same_peer(record: Record, console: Record) -> bool:
    return not (record.peer_is_sure and console.peer_is_sure) or record.peer == console.peer
