"""Judging credentials (Baileys' ``creds.json``): complete, paired, and of which account.

Nothing of the content goes into a reason: only field names, sizes, and the account's own JID and registration number.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_ME = re.compile(r"(?P<user>[0-9A-Za-z._-]{1,64})(?::(?P<device>[0-9]{1,6}))?@(?P<server>[a-z.]{1,32})", re.ASCII)

# Field, and the number of bytes its value has. https://github.com/WhiskeySockets/Baileys Types/Auth, initAuthCreds.
_KEYS: tuple[tuple[str, int], ...] = (
    ("noiseKey.private", _KEY_BYTES),
    ("noiseKey.public", _KEY_BYTES),
    ("signedIdentityKey.private", _KEY_BYTES),
    ("signedIdentityKey.public", _KEY_BYTES),
    ("signedPreKey.keyPair.private", _KEY_BYTES),
    ("signedPreKey.keyPair.public", _KEY_BYTES),
    ("signedPreKey.signature", _SIGNATURE_BYTES),
)
_REQUIRED = ("noiseKey", "signedIdentityKey", "signedPreKey", "registrationId", "advSecretKey")


@dataclass(frozen=True)
class Identity:
    """Whose credentials these are.

    :param me_id: JID with the device, such as ``15550002222:5@s.whatsapp.net``.
    :param identity_key: SHA-256 of the public identity key, hexadecimal.
    """

    me_id: str
    registration_id: int
    identity_key: str
    # Of both halves: a private half that was scribbled over is another key although the public half is the same.
    key_pair: str = field(default="", repr=False)


@dataclass(frozen=True)
class Verdict:
    """Whether credentials can be used; ``reason`` is one sentence when not, ``identity`` None where it is not whole."""

    ok: bool
    reason: str = ""
    identity: Identity | None = None


class Candidate(NamedTuple):
    """Credentials that may be put back. ``source`` is a label for people, ``saved_at`` epoch seconds or None."""

    source: str
    saved_at: float | None
    data: bytes


class Choice(NamedTuple):
    """The candidate to restore, or None; and why each refused one was refused, as (source, reason)."""

    candidate: Candidate | None
    refused: list[tuple[str, str]]


class _Refused(Exception):
    """A reason to refuse."""


def judge(data: bytes | None, *, current: bytes | None = None) -> Verdict:
    """Whether ``data`` is complete and paired, and, given ``current``, of the same account.

    ``current`` counts as far as it names an account; one that is empty, truncated or unpaired refuses nothing.
    """
    try:
        content = _parsed(data)
        identity = _complete(content)
    except _Refused as refused:
        return Verdict(False, str(refused))
    difference = _other_account(_account(content), _account_of(current))
    return Verdict(not difference, difference, identity)


def choose_credentials(current: bytes | None, candidates: Iterable[tuple[str, float | None, bytes]]) -> Choice:
    """The newest candidate that would mend something.

    Refused are those that ``judge`` refuses against ``current``, and those with the identity key that complete current
    credentials have already.
    """
    held = judge(current)
    refused: list[tuple[str, str]] = []
    ordered = sorted((Candidate(*item) for item in candidates), key=lambda item: -(item.saved_at or 0.0))
    for candidate in ordered:
        verdict = judge(candidate.data, current=current)
        if not verdict.ok or verdict.identity is None:
            refused.append((candidate.source, verdict.reason))
        elif held.identity is not None and held.identity.key_pair == verdict.identity.key_pair:
            refused.append((candidate.source, "They hold the identity key that the session has already."))
        else:
            return Choice(candidate, refused)
    return Choice(None, refused)


def _parsed(data: bytes | None) -> dict[str, Any]:
    if data is None:
        raise _Refused("There are no credentials.")
    if not data.strip():
        raise _Refused("The credentials are empty.")
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _Refused("The credentials are truncated or no JSON document.") from None
    if not isinstance(content, dict):
        raise _Refused("The credentials are not a JSON object.")
    if not content:
        raise _Refused("The credentials are an empty object.")
    return content


def _no_constant(name: str) -> NoReturn:
    # Python reads NaN and Infinity, the backends do not.
    raise ValueError(name)


def _complete(content: dict[str, Any]) -> Identity:
    missing = [name for name in _REQUIRED if content.get(name) is None]
    if missing:
        raise _Refused(f"The credentials have no {', '.join(missing)}.")
    keys = {}
    for path, size in _KEYS:
        value = _bytes(_at(content, path))
        if value is None or len(value) != size:
            raise _Refused(f"The credentials' {path} is not a key of {size} bytes.")
        keys[path] = value
    secret = content["advSecretKey"]
    decoded = _base64(secret) if isinstance(secret, str) else None
    if decoded is None or len(decoded) != _KEY_BYTES:
        raise _Refused(f"The credentials' advSecretKey is not a key of {_KEY_BYTES} bytes.")
    if not _is_count(_at(content, "signedPreKey.keyId")):
        raise _Refused("The credentials' signedPreKey.keyId is not a number.")
    if not _is_count(content["registrationId"]):
        raise _Refused("The credentials' registrationId is not a number.")
    me_id, registration_id = _account(content)
    if me_id is None or registration_id is None:
        raise _Refused("The credentials are not paired with an account (no me).")
    public, private = keys["signedIdentityKey.public"], keys["signedIdentityKey.private"]
    return Identity(
        me_id, registration_id, hashlib.sha256(public).hexdigest(), hashlib.sha256(private + public).hexdigest()
    )


def _account(content: dict[str, Any]) -> tuple[str | None, int | None]:
    """(me.id, registrationId) of whatever is there; both None when no account is named."""
    me_id = _at(content, "me.id")
    if not isinstance(me_id, str) or not _ME.fullmatch(me_id):
        return None, None
    number = content.get("registrationId")
    return me_id, number if _is_count(number) else None


def _account_of(data: bytes | None) -> tuple[str | None, int | None]:
    try:
        return _account(_parsed(data))
    except _Refused:
        return None, None


def _other_account(mine: tuple[str | None, int | None], current: tuple[str | None, int | None]) -> str:
    """One sentence when the accounts differ, else nothing. Phone numbers are not told."""
    ours, theirs = _ME.fullmatch(mine[0] or ""), _ME.fullmatch(current[0] or "")
    if ours is None or theirs is None:
        return ""
    if (ours["user"], ours["server"]) != (theirs["user"], theirs["server"]):
        return "The credentials are of another account than the current ones."
    if (ours["device"] or "0") != (theirs["device"] or "0"):
        return "The credentials are of another linked device of the account than the current ones."
    if mine[1] is not None and current[1] is not None and mine[1] != current[1]:
        return "The credentials have another registrationId than the current ones."
    return ""


def _at(content: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(content, dict):
            return None
        content = content.get(name)
    return content


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _bytes(value: Any) -> bytes | None:
    """Bytes of a Buffer as JSON has it: base64 by BufferJSON, or numbers by JSON.stringify."""
    if not isinstance(value, dict) or value.get("type") != "Buffer":
        return None
    data = value.get("data")
    if isinstance(data, str):
        return _base64(data)
    if isinstance(data, list) and all(_is_count(item) and item < 256 for item in data):
        return bytes(data)
    return None


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
