"""What keeps a repair from running: the pause switch and the cooldown; and what a verified repair leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .errors import Paused
from .names import check_name
from .redis_client import Client

PAUSE_KEY = "sessionmedic:paused"
REASONS = (
    "cooldown",
    "budget",
    "storm",
    "paused",
    "terminal",
    "locked",
    "unknown_session",
    "dry_run",
    "own_recovery",
    "needs_approval",
)


@dataclass(frozen=True)
class Pause:
    """Who switched repairs off, when (epoch seconds) and why."""

    by: str
    at: float
    reason: str = ""


def pause(client: Client, by: str, at: float, reason: str = "") -> None:
    """Switch all repairs off, until resume(); survives restarts."""
    client.set(PAUSE_KEY, json.dumps(asdict(Pause(by[:128], at, reason[:500]))))


def resume(client: Client) -> bool:
    """Switch repairs on; False when they were on."""
    return bool(client.delete(PAUSE_KEY))


def paused(client: Client) -> Pause | None:
    """The pause switch. A value that we cannot read still pauses: somebody meant to."""
    raw = client.get(PAUSE_KEY)
    if raw is None:
        return None
    try:
        record = json.loads(raw)
        return Pause(str(record["by"]), float(record["at"]), str(record.get("reason", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Pause("unknown", 0.0)


def refuse_when_paused(client: Client) -> None:
    """:raises Paused: the switch is on."""
    switch = paused(client)
    if switch is not None:
        raise Paused(
            f"Repairs are paused by {switch.by}{f' ({switch.reason})' if switch.reason else ''}.",
            "Resume them, or run by hand with -e ignore_pause=true.",
        )


def _cooldown_key(backend: str, session: str) -> str:
    return f"sessionmedic:cooldown:{check_name(backend, 'backend name')}:{check_name(session)}"


def start_cooldown(client: Client, backend: str, session: str, seconds: float) -> None:
    """No automatic repair of the session for ``seconds``."""
    if seconds > 0:
        client.set(_cooldown_key(backend, session), "1", px=int(seconds * 1000))


def cooldown_left(client: Client, backend: str, session: str) -> float:
    """Seconds until the session may be repaired again; 0 when it may."""
    return max(0.0, int(client.pttl(_cooldown_key(backend, session))) / 1000)


def _verified_key(backend: str) -> str:
    return f"sessionmedic:verified:{check_name(backend, 'backend name')}"


def mark_verified(client: Client, backend: str, session: str, at: float) -> None:
    """Say that a repair was verified: errors of messages sent before ``at`` (epoch seconds) no longer count."""
    client.hset(_verified_key(backend), check_name(session), repr(at))


def verified_since(client: Client, backend: str) -> dict[str, float]:
    """Session to epoch seconds of its last verified repair."""
    return {session: float(at) for session, at in client.hgetall(_verified_key(backend)).items()}
