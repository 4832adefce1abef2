"""What is known of each session, and what of it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sessionmedic.crypto_errors import KINDS
from sessionmedic.health import Limits, classify
from sessionmedic.logs.correlate import CryptoError
from sessionmedic.models import (
    FLAP_SECONDS,
    ConnectionState,
    Health,
    HealthState,
    Session,
    StateGroup,
    StateSpell,
    explained,
    new_spell,
)

from .window import ErrorWindow

KIND_INDEX = {kind: number for number, kind in enumerate(KINDS)}


class Credentials(NamedTuple):
    """What is shown of a session's credentials; ``bytes`` is 0 when there are none.

    :param saved_at: epoch seconds of the file's last change; None where the place does not tell.
    """

    bytes: int
    valid: bool
    saved_at: float | None = None


class SessionSeries:
    """One session: counters that only grow, and the latest of everything else.

    ``listed`` is None while the backend does not list the session (it was named by a log, or it is gone). ``labels`` is
    what the exposition makes of its names, made once.
    """

    __slots__ = (
        "answering",
        "close_code",
        "connected_at",
        "credentials",
        "errors",
        "gone_since",
        "health",
        "id",
        "labels",
        "listed",
        "memory_bytes",
        "messages",
        "observed_at",
        "recent",
        "reason",
        "reconnects",
        "spell",
        "window",
    )

    def __init__(self, session: str, limits: Limits, now: float) -> None:
        self.id = session
        self.labels = ""
        self.listed: Session | None = None
        self.spell: StateSpell | None = None
        self.observed_at = 0.0
        self.connected_at = 0.0
        self.gone_since: float | None = now
        self.answering: bool | None = None
        # Baileys' reason of the last close that the log tells: backends show the same "disconnected" for all.
        self.close_code: int | None = None
        self.errors = [0] * len(KINDS)
        self.messages: int | None = None
        self.reconnects = 0
        self.memory_bytes: int | None = None
        self.credentials: Credentials | None = None
        self.window = ErrorWindow(limits.window_seconds)
        self.recent = 0
        # None until it is judged for the first time.
        self.health: HealthState | None = None
        self.reason = ""

    @property
    def state(self) -> ConnectionState:
        return ConnectionState.UNKNOWN if self.listed is None else self.listed.state

    @property
    def changes_with_time(self) -> bool:
        """Whether its health can change though nothing happens."""
        return self.recent > 0 or (self.spell is not None and self.spell.group is StateGroup.TRANSITORY)

    def count(self, error: CryptoError) -> None:
        self.errors[KIND_INDEX.get(error.kind, KIND_INDEX["other"])] += 1
        self.window.add(error.at, error.sent_at)

    def observe(self, session: Session, now: float) -> None:
        """The backend lists it as ``session`` at ``now`` (epoch seconds)."""
        before = self.spell
        if session.state is ConnectionState.CONNECTED:
            self.close_code = None
        session = replace(session, state=explained(session.state, self.close_code))
        connected = session.state is ConnectionState.CONNECTED
        if before is None:
            self.spell = new_spell(session.state, now)
        else:
            spell = before.observe(session.state, now)
            if spell.since == before.since and spell.group is StateGroup.TRANSITORY and self._was_unseen(now):
                # Nobody looked for long: it may have been connected in between, so its time starts again.
                spell = StateSpell(spell.group, now, spell.transitory_until)
            if connected and before.group not in (StateGroup.CONNECTED, StateGroup.UNKNOWN):
                self.reconnects += 1
            self.spell = spell
        if connected:
            self.connected_at = now
        else:
            self.answering = None
        self.listed = session
        self.observed_at = now
        self.gone_since = None

    def is_in_new_spell(self, before: StateSpell | None) -> bool:
        """Whether group or time in it are not those of ``before``."""
        after = self.spell
        if before is None or after is None:
            return before is not after
        return (before.group, before.since) != (after.group, after.since)

    def _was_unseen(self, now: float) -> bool:
        return now - self.observed_at > FLAP_SECONDS

    def gone(self, now: float) -> None:
        """The backend no longer lists it."""
        self.listed = None
        if self.gone_since is None:
            self.gone_since = now

    def judge(self, now: float, limits: Limits) -> bool:
        """Work out health and recent errors at ``now``; whether one of them changed."""
        recent = self.window.count(now)
        if self.listed is None or self.spell is None:
            verdict = Health(HealthState.NOT_FOUND, "its backend does not list it")
        else:
            verdict = classify(self.listed.state, self.spell, recent, now, limits, self.answering)
        changed = verdict.state is not self.health or recent != self.recent
        self.health, self.reason, self.recent = verdict.state, verdict.reason, recent
        return changed

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"errors": {kind: n for kind, n in zip(KINDS, self.errors, strict=True) if n}}
        if self.messages is not None:
            data["messages"] = self.messages
        if self.reconnects:
            data["reconnects"] = self.reconnects
        if self.close_code is not None:
            data["close_code"] = self.close_code
        if self.connected_at:
            data["connected_at"] = self.connected_at
        if self.spell is not None:
            data["spell"] = [self.spell.group.value, self.spell.since, self.spell.transitory_until]
            data["observed_at"] = self.observed_at
        window = self.window.to_json()
        if window:
            data["window"] = window
        return data

    def restore(self, data: Mapping[str, Any]) -> None:
        """:raises KeyError, TypeError, ValueError: not what ``to_json`` gave."""
        for kind, number in data["errors"].items():
            self.errors[KIND_INDEX.get(kind, KIND_INDEX["other"])] += int(number)
        self.messages = None if data.get("messages") is None else int(data["messages"])
        self.reconnects = int(data.get("reconnects", 0))
        self.close_code = None if data.get("close_code") is None else int(data["close_code"])
        self.connected_at = float(data.get("connected_at", 0.0))
        if "spell" in data:
            group, since, transitory_until = data["spell"]
            self.spell = StateSpell(StateGroup(group), float(since), float(transitory_until))
            self.observed_at = float(data["observed_at"])
        self.window.restore(data.get("window", ()))
