"""What the demo says while it runs."""

from __future__ import annotations

import sys
import time
from typing import TextIO

QUIET_SECONDS = 2.0


class Screen:
    """Lines with the seconds since the fault, and a progress line while nothing happens for over two seconds."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._zero: float | None = None
        self._said = time.monotonic()
        self._progress = False

    def start_clock(self, at: float) -> None:
        """``at`` (epoch seconds) is second 0 from here on."""
        self._zero = at

    def say(self, text: str, at: float | None = None) -> None:
        """One line; ``at`` is the epoch second at which it happened, now when not given."""
        self._end_progress()
        if self._zero is None:
            self._out.write(f"          {text}\n")
        else:
            self._out.write(f"{(time.time() if at is None else at) - self._zero:+8.1f}s {text}\n")
        self._out.flush()
        self._said = time.monotonic()

    def waiting(self, for_what: str) -> None:
        """Called again and again while waiting."""
        if time.monotonic() - self._said < QUIET_SECONDS:
            return
        if self._out.isatty():
            self._out.write(f"\r\x1b[K          ... {for_what}")
            self._progress = True
        else:
            self._out.write(f"          ... {for_what}\n")
        self._out.flush()
        # On a terminal the line is redrawn; in a file one line each five periods is enough.
        self._said = time.monotonic() + (0 if self._out.isatty() else 4 * QUIET_SECONDS)

    def plain(self, text: str = "") -> None:
        self._end_progress()
        self._out.write(text + "\n")
        self._out.flush()
        self._said = time.monotonic()

    def _end_progress(self) -> None:
        if self._progress:
            self._out.write("\r\x1b[K")
            self._progress = False
