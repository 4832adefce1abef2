"""One log record (a line, or a line with its indented continuation) as data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..crypto_errors import Literal
from ..errors import InvalidName
from ..names import check_name

ANSI = re.compile(rb"\x1b\[[0-9;]*m")
# libsignal's queue names its job after the peer's address; the stack is the one place where it always stands.
_STACK_ADDRESS = re.compile(r"at (?:async )?([0-9A-Za-z_]+\.[0-9]+) \[as awaitable\]")
_JID = re.compile(r"([0-9A-Za-z_-]+)(?::([0-9]+))?@")
_DOMAINS = {"s.whatsapp.net": "", "c.us": "", "lid": "_1", "hosted": "_128", "hosted.lid": "_129"}
_MESSAGE_ID = re.compile(r"\bmessageId['\"]?\s*[:=]\s*['\"]?([A-Za-z0-9_.-]{4,128})")
# Baileys prints this beside the record of the failure itself.
COMPANION = "transaction failed, rolling back"
CONSOLE_HEAD = b"Failed to decrypt message with any known session"
CONSOLE_ERROR = b"Session error:"
COUNT_MARK = b"messages received"
UPDATE_MARK = b"Connection Update"


@dataclass
class Record:
    """What one record says of a failed message.

    :param console: it is libsignal's console text, which has neither time nor message id.
    :param at: epoch seconds of the record's own time, None when it has none.
    :param sent_at: epoch seconds at which the peer sent the message, where the application says it.
    :param peer: libsignal's address of the peer, by which its records are named.
    :param peer_is_sure: it stood in a stack. Made from a jid it may be the phone number of a peer whose records are
        named by its LID.
    """

    kind: str
    benign: bool
    console: bool = False
    session: str = ""
    message_id: str = ""
    peer: str = ""
    peer_is_sure: bool = False
    at: float | None = None
    sent_at: float | None = None


@dataclass
class Count:
    """Messages that a session decrypted since its last such line."""

    session: str
    number: int
    at: float | None


@dataclass
class Update:
    """The connection of a session became ``word`` (``open``, ``close``, ``connecting``).

    :param code: Baileys' DisconnectReason of a close, None otherwise.
    """

    session: str
    word: str
    code: int | None
    at: float | None


class RecordParser:
    """Parses the records of one backend.

    :param literals: what marks an error, the most telling first.
    :param session_fields: names of fields that hold the session's id.
    """

    def __init__(self, literals: Sequence[Literal], session_fields: Sequence[str]) -> None:
        self._literals = literals
        self._session_fields = tuple(session_fields)
        names = "|".join(re.escape(name) for name in session_fields)
        self._session_text = re.compile(rf"\b(?:{names})['\"]?\s*[:=]\s*['\"]?([A-Za-z0-9][A-Za-z0-9._@-]*)")

    def parse(self, raw: bytes) -> Record | Count | Update | None:
        """The record's meaning; None when it is no failure of a message."""
        if raw[:1] == b"{":
            try:
                fields = json.loads(raw)
            except ValueError:
                fields = None
            if isinstance(fields, dict):
                return self._from_fields(fields)
        if b"\x1b" in raw:
            raw = ANSI.sub(b"", raw)
        text = raw.decode("utf-8", "replace")
        if raw.startswith((CONSOLE_HEAD, CONSOLE_ERROR)):
            return self._from_console(raw, text)
        return self._from_text(raw, text)

    def _literal(self, raw: bytes) -> Literal | None:
        for literal in self._literals:
            if literal.text in raw:
                return literal
        return None

    def _from_console(self, raw: bytes, text: str) -> Record | None:
        errors = b"\n".join(line for line in raw.split(b"\n") if line.startswith(CONSOLE_ERROR))
        found = [literal for literal in self._literals if literal.text in errors]
        if not found:
            return None
        # A record with several sessions prints one error each: a replay in one of them does not excuse the others.
        literal = next((item for item in found if not item.benign), found[0])
        address = _STACK_ADDRESS.search(text)
        peer = address.group(1) if address else ""
        return Record(literal.kind, literal.benign, console=True, peer=peer, peer_is_sure=bool(peer))

    def _from_fields(self, fields: Mapping[str, Any]) -> Record | Count | Update | None:
        session = self._session_of(fields)
        at = _epoch(fields.get("time"))
        message = str(fields.get("msg") or "")
        if COUNT_MARK.decode() in message:
            number = fields.get("received")
            if not session or isinstance(number, bool) or not isinstance(number, int) or number < 0:
                return None
            return Count(session, number, at)
        if message.startswith(COMPANION):
            return None
        if UPDATE_MARK.decode() in message:
            return _update(fields, session, message, at)
        error = fields.get("err") if isinstance(fields.get("err"), dict) else fields.get("error")
        details = error if isinstance(error, dict) else {}
        stated = [str(details.get(name) or "") for name in ("message", "type", "name")]
        if not details and error:
            stated.insert(0, str(error))
        literal = self._literal("\n".join([*stated, message]).encode())
        if literal is None:
            return None
        key = fields.get("key") if isinstance(fields.get("key"), dict) else {}
        assert isinstance(key, dict)
        address = _STACK_ADDRESS.search(str(details.get("stack") or ""))
        jid = key.get("participant") or fields.get("author") or fields.get("sender") or fields.get("remoteJid")
        return Record(
            literal.kind,
            literal.benign,
            session=session,
            message_id=str(fields.get("messageId") or key.get("id") or "")[:128],
            peer=address.group(1) if address else _address(str(jid or key.get("remoteJid") or "")),
            peer_is_sure=address is not None,
            at=at,
            sent_at=_seconds(fields.get("messageTimestamp")),
        )

    def _session_of(self, fields: Mapping[str, Any]) -> str:
        context = fields.get("context")
        for place in (fields, context if isinstance(context, dict) else {}):
            for name in self._session_fields:
                value = place.get(name)
                if value not in (None, ""):
                    return _safe_name(value)
        return ""

    def _from_text(self, raw: bytes, text: str) -> Record | None:
        literal = self._literal(raw)
        if literal is None or COMPANION in text.partition("\n")[0]:
            return None
        session = self._session_text.search(text)
        message_id = _MESSAGE_ID.search(text)
        address = _STACK_ADDRESS.search(text)
        return Record(
            literal.kind,
            literal.benign,
            session=_safe_name(session.group(1)) if session else "",
            message_id=message_id.group(1) if message_id else "",
            peer=address.group(1) if address else "",
            peer_is_sure=address is not None,
        )


def _safe_name(value: object) -> str:
    try:
        return check_name(value)
    except InvalidName:
        return ""


def _update(fields: Mapping[str, Any], session: str, message: str, at: float | None) -> Update | None:
    word = message.rpartition(UPDATE_MARK.decode())[2].strip()
    code = fields.get("statusCode")
    if not session or not word:
        return None
    return Update(session, word, code if isinstance(code, int) and word == "close" else None, at)


def _address(jid: str) -> str:
    """``15550001111:5@s.whatsapp.net`` as libsignal's address ``15550001111.5``, a LID's as ``9999_1.5``.

    Empty for no jid or a group's. The domain types are Baileys' own (jidToSignalProtocolAddress).
    """
    match = _JID.match(jid)
    domain = _DOMAINS.get(jid.rpartition("@")[2])
    if match is None or domain is None:
        return ""
    return f"{match.group(1)}{domain}.{match.group(2) or 0}"


def _epoch(value: Any) -> float | None:
    """Epoch seconds of pino's ``time``: milliseconds, or an ISO date by option."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) / 1000
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
        except ValueError:
            return None
    return None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
