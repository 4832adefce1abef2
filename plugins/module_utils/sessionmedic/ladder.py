"""Remedies from mildest to hardest, and which of them an ill session may get, in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .crypto_errors import remedy_for
from .errors import ConfigError
from .models import TERMINAL, ConnectionState, HealthState
from .names import shown

STRATEGIES = ("auto", "restart", "regenerate", "restore", "recreate")


@dataclass(frozen=True)
class Rung:
    """One remedy; ``peers`` narrows regenerate to the records of these peers (empty: of all)."""

    remedy: str
    peers: tuple[str, ...] = ()


def plan(
    strategy: str,
    health: HealthState,
    state: ConnectionState,
    errors: Mapping[str, int],
    peers: Collection[str] = (),
    tried: Collection[str] = (),
    force: bool = False,
    has_keys: bool = True,
) -> list[Rung]:
    """The remedies to try until one is verified; empty when the session is to be left alone.

    :param errors: kind to number of recent errors.
    :param peers: addresses of the peers whose messages fail.
    :param tried: remedies that failed lately; auto starts above them.
    :param force: also treat a session that looks healthy.
    :param has_keys: whether the session's keys can be reached (regenerate and restore need them).

    Automatic plans end at restore: whatever unlinks the device is a person's decision (``strategy=recreate``).
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"The strategy {shown(strategy)} is not known.", f"Use one of {', '.join(STRATEGIES)}.")
    if strategy == "recreate":
        # A device that was removed can be linked anew; a ban or a fight over the account only gets worse by it.
        never = state in (ConnectionState.BANNED, ConnectionState.CONFLICT) or health is HealthState.NOT_FOUND
        return [] if never else [Rung("recreate")]
    if state in TERMINAL or health is HealthState.NOT_FOUND:
        return []
    if not force and health in (HealthState.HEALTHY, HealthState.UNKNOWN):
        return []
    # A QR code waits for a person; one who asks for restore by name has decided.
    if state is ConnectionState.QR_REQUIRED and not force and strategy != "restore":
        return []
    if strategy == "regenerate":
        return [Rung("regenerate", tuple(peers)), Rung("regenerate")] if peers else [Rung("regenerate")]
    if strategy != "auto":
        return [Rung(strategy)]
    rungs = [Rung("restart")]
    # Degraded may at most be restarted; only broken keys justify touching keys.
    if has_keys and health is not HealthState.DEGRADED:
        if any(remedy_for(kind) != "restart" for kind, count in errors.items() if count) or health in (
            HealthState.STUCK,
            HealthState.CORRUPTED,
        ):
            if peers:
                rungs.append(Rung("regenerate", tuple(peers)))
            rungs += [Rung("regenerate"), Rung("restore")]
    return [rung for rung in rungs if rung.remedy not in tried] or rungs[-1:]
