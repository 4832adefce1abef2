"""How many errors a session had lately: the number that rules compare with their threshold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

# A storm of 100 errors a second must not grow without end; no threshold is near this number.
MAX_ERRORS = 1000


class ErrorWindow:
    """Errors of one session in the last ``seconds``, benign ones left out.

    It starts at the later of now - ``seconds`` and the session's last verified repair; an error whose message was sent
    before that repair does not count either, because backends ask again for old messages after every reconnect.
    Counts stop at MAX_ERRORS.
    """

    __slots__ = ("_errors", "_verified", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._errors: deque[tuple[float, float | None]] = deque(maxlen=MAX_ERRORS)
        self._verified = 0.0

    def add(self, at: float, sent_at: float | None = None) -> None:
        """One error at ``at``, of a message sent at ``sent_at`` (epoch seconds; None when nothing says it)."""
        if self._counts(at, sent_at):
            self._errors.append((at, sent_at))

    def verified(self, at: float) -> bool:
        """A repair was verified at ``at`` (epoch seconds); False for a mark that is not newer than the known one."""
        if at <= self._verified:
            return False
        self._verified = at
        self._errors = deque((error for error in self._errors if self._counts(*error)), maxlen=MAX_ERRORS)
        return True

    def count(self, now: float) -> int:
        """Errors in the window that ends at ``now``."""
        start = now - self.seconds
        errors = self._errors
        # Logs of several streams come slightly out of order: what is old leaves wherever it stands.
        if errors and min(error[0] for error in errors) <= start:
            self._errors = errors = deque((error for error in errors if error[0] > start), maxlen=MAX_ERRORS)
        return len(errors)

    def to_json(self) -> list[list[float | None]]:
        return [[at, sent_at] for at, sent_at in self._errors]

    def restore(self, errors: Iterable[Iterable[float | None]]) -> None:
        """:raises TypeError, ValueError: not what ``to_json`` gave."""
        for at, sent_at in errors:
            self.add(float(at or 0.0), None if sent_at is None else float(sent_at))

    def _counts(self, at: float, sent_at: float | None) -> bool:
        # WhatsApp stamps messages with whole seconds.
        return at > self._verified and (sent_at is None or sent_at >= int(self._verified))
