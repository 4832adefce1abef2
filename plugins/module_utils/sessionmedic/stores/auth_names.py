"""Names of the records that make up a session's auth state, as Baileys and its forks write them.

In Redis a record is ``<type>-<id>``. In files (``useMultiFileAuthState``) it is ``<type>-<id>.json`` with ``/`` as
``__`` and ``:`` as ``-``; one fork appends ``-<first 6 hex digits of the MD5 of the record's name>`` instead of relying
on case, and writes ``:`` and ``/`` as ``_`` and ``@`` as ``_at_``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import ConfigError, InvalidName
from ..names import check_name, shown

LEVELS = ("cache", "keys", "all")

CREDS = "creds"
SESSION = "session"
SENDER_KEY = "sender-key"
SENDER_KEY_MEMORY = "sender-key-memory"
PRE_KEY = "pre-key"

# What level ``keys`` removes. The memory of who got our sender key goes with the sender keys: Baileys makes a new one
# and would not hand it to those it remembers.
KEY_TYPES = frozenset({SESSION, SENDER_KEY, SENDER_KEY_MEMORY})

_USER = r"[0-9A-Za-z]+(?:_[0-9]+)?"
_DEVICE = r"[0-9]+"
_JID = r"[0-9A-Za-z_.-]+@[a-z.]+"
_SESSION = re.compile(rf"session-(?P<user>{_USER})\.{_DEVICE}", re.ASCII)
_SENDER_KEY = re.compile(rf"sender-key-(?P<group>{_JID})(?:::|--)(?P<user>{_USER})(?:::|--){_DEVICE}", re.ASCII)
_SENDER_KEY_MEMORY = re.compile(rf"sender-key-memory-(?P<group>{_JID})", re.ASCII)
_OTHERS = re.compile(
    rf"""
      (?P<pre_key>pre-key)-[0-9]+
    | (?P<sync_key>app-state-sync-key)-[A-Za-z0-9+/=_-]+
    | (?P<sync_version>app-state-sync-version)-[a-z_]+
    | (?P<lid_mapping>lid-mapping)-[0-9A-Za-z]+(?:_reverse)?
    | (?P<device_list>device-list)-{_USER}
    | (?P<tctoken>tctoken)-(?:{_JID}|__index)
    | (?P<identity_key>identity-key)-{_USER}\.{_DEVICE}
    """,
    re.ASCII | re.VERBOSE,
)
_HASHED = re.compile(r"(?P<written>.+)-(?P<digest>[0-9a-f]{6})", re.ASCII)
_SUFFIX = ".json"

# Baileys' domain types: a phone number's user, its LID, and the hosted forms of both, as libsignal addresses them.
_LID, _HOSTED, _HOSTED_LID = "1", "128", "129"
_SERVERS = {"s.whatsapp.net": "", "c.us": "", "lid": _LID, "hosted": _HOSTED, "hosted.lid": _HOSTED_LID}
_PEER = re.compile(
    r"(?P<user>[0-9A-Za-z]+)(?:_(?P<domain>[0-9]+))?(?:[.:](?P<device>[0-9]+))?(?:@(?P<server>[a-z.]+))?", re.ASCII
)
_GROUP = re.compile(r"[0-9-]+@g\.us", re.ASCII)


@dataclass(frozen=True)
class AuthRecord:
    """One record: its type, and whom it concerns.

    :param user: of session and sender keys, the peer's libsignal name: ``15550001111``, for a LID ``99990001111_1``.
    :param group: the group's JID, of sender keys and their memory.
    """

    type: str
    user: str = ""
    group: str = ""


def parse(name: str) -> AuthRecord | None:
    """The record of that name (``session-15550001111.0``), or None when it is no auth state."""
    if name == CREDS:
        return AuthRecord(CREDS)
    match = _SESSION.fullmatch(name)
    if match:
        return AuthRecord(SESSION, user=match["user"])
    match = _SENDER_KEY.fullmatch(name)
    if match:
        return AuthRecord(SENDER_KEY, user=match["user"], group=match["group"])
    match = _SENDER_KEY_MEMORY.fullmatch(name)
    if match:
        return AuthRecord(SENDER_KEY_MEMORY, group=match["group"])
    match = _OTHERS.fullmatch(name)
    if match:
        return AuthRecord(next(found for found in match.groupdict().values() if found))
    return None


def hashed(name: str) -> str:
    """The file name of record ``name`` in the hashed form: ``creds`` becomes ``creds-dcce9a.json``."""
    written = re.sub(r'[<>:\\"/|?*]', "_", name).replace("@", "_at_")
    return f"{written}-{_digest(name)}{_SUFFIX}"


def _digest(name: str) -> str:
    # The fork's own choice of a hash; it tells names apart and protects nothing.
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:6]


def parse_file(name: str) -> AuthRecord | None:
    """The record in a file of that name, or None when the file is no auth state."""
    if not name.endswith(_SUFFIX):
        return None
    stem = name[: -len(_SUFFIX)]
    return _parse_hashed(stem) or parse(stem)


def is_hashed(name: str) -> bool:
    """Whether a file name is in the hashed form."""
    return name.endswith(_SUFFIX) and _parse_hashed(name[: -len(_SUFFIX)]) is not None


def _parse_hashed(stem: str) -> AuthRecord | None:
    match = _HASHED.fullmatch(stem)
    if not match:
        return None
    written = match["written"]
    # The hash is of the name before it was made fit for a file system: find the one that it confirms.
    for name in (
        written,
        written.replace("_at_", "@"),
        written.replace("_at_", "@").replace("__", "::"),
        written.replace("_", "/"),
    ):
        if _digest(name) == match["digest"]:
            record = parse(name)
            if record:
                return record
    return None


@dataclass(frozen=True)
class Peers:
    """The peers to whom a purge is confined: libsignal users, and groups."""

    users: frozenset[str]
    groups: frozenset[str]

    def include(self, record: AuthRecord) -> bool:
        """Whether the record is a session of one of the users, or a sender key of a user or a group."""
        if record.type == SESSION:
            return record.user in self.users
        if record.type == SENDER_KEY:
            return record.user in self.users or record.group in self.groups
        return record.type == SENDER_KEY_MEMORY and record.group in self.groups


def resolve_peers(peers: Iterable[str], read: Callable[[str], bytes | None]) -> Peers:
    """Users and groups behind addresses (``15550001111.0``), users (``15550001111``) and JIDs.

    :param read: returns the content of the record of that name, None when there is none. It is asked for
        ``lid-mapping-*``: Baileys 7 keeps the session of a phone number's address under its LID where it knows one, so
        both names are the same peer.
    :raises InvalidName: an entry is no peer.
    """
    users: set[str] = set()
    groups: set[str] = set()
    for peer in peers:
        text = peer if isinstance(peer, str) else str(peer)
        if _GROUP.fullmatch(text) and len(text) <= 128:
            groups.add(text)
            continue
        match = _PEER.fullmatch(text)
        if not match or len(text) > 128 or (match["server"] and match["server"] not in _SERVERS):
            raise InvalidName(f"The peer {shown(text)} is not valid.", "Give an address such as 15550001111.0.")
        user = check_name(match["user"], "peer")
        domain = match["domain"] or _SERVERS.get(match["server"] or "", "")
        users |= _names_of(user, domain, read)
    return Peers(frozenset(users), frozenset(groups))


def _names_of(user: str, domain: str, read: Callable[[str], bytes | None]) -> set[str]:
    number: str | None
    lid: str | None
    if domain in (_LID, _HOSTED_LID):
        lid, number = user, _mapped(read(f"lid-mapping-{user}_reverse"))
    elif domain in ("", _HOSTED):
        number, lid = user, _mapped(read(f"lid-mapping-{user}"))
        if not domain and lid is None:
            # Logs name a LID's user by its digits alone: it is one when the session knows it as such.
            known = _mapped(read(f"lid-mapping-{user}_reverse"))
            number, lid = (known, user) if known else (user, None)
    else:
        return {f"{user}_{domain}"}
    names = {number, f"{number}_{_HOSTED}"} if number else set()
    return names | ({f"{lid}_{_LID}", f"{lid}_{_HOSTED_LID}"} if lid else set())


def _mapped(content: bytes | None) -> str | None:
    try:
        value = json.loads(content or b"null")
    except ValueError:
        return None
    return value if isinstance(value, str) and value.isascii() and value.isalnum() else None


def check_level(level: str) -> str:
    """:raises ConfigError: the level is none of LEVELS."""
    if level not in LEVELS:
        raise ConfigError(f"The purge level {shown(level)} is not known.", f"Use one of {', '.join(LEVELS)}.")
    return level


def selected(record: AuthRecord, level: str, peers: Peers | None) -> bool:
    """Whether a purge of ``level`` removes the record.

    :param peers: confines level ``keys``; None for all peers.
    """
    if level == "keys":
        return record.type in KEY_TYPES if peers is None else peers.include(record)
    return level == "all"


def check_purge(level: str, peers: Iterable[str] | None) -> None:
    """:raises ConfigError: an unknown level, or peers with another level than ``keys``."""
    if check_level(level) != "keys" and peers:
        raise ConfigError(f"Purge level {level} cannot be confined to peers.", "Use level keys, or name no peers.")
