"""What a crypto error looks like in a log, of what kind it is, which remedy mends it.

The texts are those that Baileys 6 and 7 with libsignal 2 and 6 really print (recorded, failure by failure),
and the error types that users search for.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("bad_mac", "invalid_prekey", "no_session", "session_error", "decrypt_failed", "sender_key", "other")


@dataclass(frozen=True)
class Literal:
    """A text that marks a kind; ``benign`` ones happen in healthy sessions (replays, late messages)."""

    text: bytes
    kind: str
    benign: bool = False


# In the order of how much they say: of several on one record the first decides.
LITERALS: tuple[Literal, ...] = (
    Literal(b"Invalid PreKey ID", "invalid_prekey"),
    Literal(b"Bad MAC", "bad_mac"),
    Literal(b"No session record", "no_session"),
    Literal(b"No SenderKeyRecord found", "sender_key"),
    Literal(b"No session found to decrypt message", "sender_key"),
    Literal(b"Invalid signature!", "sender_key"),
    Literal(b"Received message with old counter", "sender_key", benign=True),
    Literal(b"MessageCounterError", "decrypt_failed", benign=True),
    Literal(b"Key used already or never filled", "decrypt_failed", benign=True),
    Literal(b"Over 2000 messages into the future", "session_error"),
    Literal(b"No matching sessions found for message", "session_error"),
    Literal(b"No sessions", "session_error"),
    Literal(b"PreKeyError", "invalid_prekey"),
    Literal(b"SessionError", "session_error"),
    Literal(b"failed to decrypt message", "decrypt_failed"),
    Literal(b"Failed to decrypt", "decrypt_failed"),
)

# Restart first where the fault may be in memory alone; the ladder climbs when verification fails.
REMEDY = {
    "bad_mac": "regenerate",
    "no_session": "regenerate",
    "session_error": "regenerate",
    "sender_key": "regenerate",
    "invalid_prekey": "restart",
    "decrypt_failed": "restart",
    "other": "restart",
}


def remedy_for(kind: str) -> str:
    """The mildest remedy that was seen to mend errors of this kind (shown fault by fault in the sandbox)."""
    return REMEDY.get(kind, "restart")
