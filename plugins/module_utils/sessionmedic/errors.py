"""The one exception tree: every error that a person may see is a SessionMedicError."""

from __future__ import annotations


class SessionMedicError(Exception):
    """Root of all errors of the project.

    :param message: one sentence that names what is wrong, free of secrets.
    :param hint: the next step for the reader, one sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(SessionMedicError):
    """A setting is missing, unknown or of the wrong shape."""


class InvalidName(SessionMedicError):
    """A backend name or session id that must not reach a path, a key or a shell."""


class UnknownSession(SessionMedicError):
    """No backend has the session."""


class TerminalSession(SessionMedicError):
    """The session was logged out or banned, or lost its place to another device: a person's business."""


class AmbiguousSession(SessionMedicError):
    """Several backends have the session."""


class BackendUnavailable(SessionMedicError):
    """The backend does not answer, or not in time."""


class BackendAuthError(SessionMedicError):
    """The backend refuses our login."""


class BackendAnswerError(SessionMedicError):
    """The backend answered something that is not its contract (HTML, HTTP 500, half a document)."""


class LockHeld(SessionMedicError):
    """Somebody else repairs the session now."""


class LockLost(SessionMedicError):
    """The lock we worked under is no longer ours."""


class Paused(SessionMedicError):
    """The pause switch is on."""


class StateUnavailable(SessionMedicError):
    """Redis, which holds locks and records, cannot be reached."""


class StoreError(SessionMedicError):
    """Session files, keys or rows cannot be read or changed safely."""


class BackupError(SessionMedicError):
    """A backup could not be written or does not equal its source."""


class SessionIsBusy(BackupError):
    """A session that is written all the time cannot be copied whole; with its socket closed it can."""


class CredentialsInvalid(SessionMedicError):
    """Credentials are truncated, empty, unpaired or of another account."""


class MissingLibrary(SessionMedicError):
    """A Python package is not installed where the module runs."""
