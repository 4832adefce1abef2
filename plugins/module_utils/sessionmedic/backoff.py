"""Delays between tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable


def delays(base: float, maximum: float, jitter: float, tries: int, random: Callable[[], float]) -> Iterator[float]:
    """``min(base * 1.5^n, maximum) + random(0, jitter)`` seconds before each of ``tries`` tries (requirement 3).

    :param random: returns a number from 0 to 1.
    """
    for number in range(tries):
        yield min(base * 1.5**number, maximum) + random() * jitter
