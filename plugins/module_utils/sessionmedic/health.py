"""The health of a session, from its state, the time in it, and its recent errors."""

from __future__ import annotations

from dataclasses import dataclass

from .models import ConnectionState, Health, HealthState, StateGroup, StateSpell


@dataclass(frozen=True)
class Limits:
    """Where health changes. Requirement 1: 5 errors in 5 minutes; requirement 4: 30 s in a transitory state."""

    corrupted_errors: int = 5
    window_seconds: float = 300.0
    stuck_seconds: float = 30.0


DEFAULT_LIMITS = Limits()


def classify(
    state: ConnectionState,
    spell: StateSpell,
    recent_errors: int,
    now: float,
    limits: Limits = DEFAULT_LIMITS,
    answering: bool | None = None,
) -> Health:
    """The verdict on a session that its backend lists.

    :param recent_errors: errors in the last ``limits.window_seconds``, benign ones left out.
    :param now: epoch seconds.
    :param answering: result of the deep check; None where there is none.
    """
    errors = f"{recent_errors} crypto error{'' if recent_errors == 1 else 's'} in {limits.window_seconds:g} s"
    if spell.group is StateGroup.UNKNOWN:
        return Health(HealthState.UNKNOWN, "the state of the connection is not known")
    if spell.group is StateGroup.TERMINAL:
        return Health(HealthState.DISCONNECTED, f"{state.value}: needs a person")
    if spell.group is StateGroup.WAITING:
        return Health(HealthState.DISCONNECTED, "waits for a person to scan the QR code")
    if recent_errors >= limits.corrupted_errors:
        return Health(HealthState.CORRUPTED, errors, should_cleanup=True)
    if spell.group is StateGroup.TRANSITORY:
        seconds = now - spell.since
        if seconds > limits.stuck_seconds:
            return Health(HealthState.STUCK, f"{state.value} for {seconds:.0f} s", should_cleanup=True)
        return Health(HealthState.DEGRADED, f"{state.value} for {seconds:.0f} s")
    if spell.group is StateGroup.DOWN:
        return Health(HealthState.DEGRADED, f"{state.value} for {now - spell.since:.0f} s, and should be connected")
    if answering is False:
        return Health(HealthState.DEGRADED, "says connected but does not answer")
    if recent_errors:
        return Health(HealthState.DEGRADED, errors)
    return Health(HealthState.HEALTHY, "connected, no recent errors")
