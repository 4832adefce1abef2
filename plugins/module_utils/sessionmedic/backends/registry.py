"""Backend kinds by name: an explicit table, because AnsiballZ ships only what is imported statically."""

from __future__ import annotations

from typing import Callable

from ..config import BackendConfig
from ..errors import ConfigError
from ..names import shown
from .base import Backend
from .whaticket import WhaticketBackend

BACKENDS: dict[str, Callable[[BackendConfig], Backend]] = {
    "whaticket": WhaticketBackend,
}


def create(config: BackendConfig) -> Backend:
    """The adapter for a backend. :raises ConfigError: its kind is not known."""
    try:
        kind = BACKENDS[config.kind]
    except KeyError:
        raise ConfigError(
            f"Backend {config.name}: kind {shown(config.kind)} is not known.",
            f"Use one of {', '.join(sorted(BACKENDS))}.",
        ) from None
    return kind(config)
