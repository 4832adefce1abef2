"""The one place where third-party packages are imported.

A managed host may have none of them: file stores and backups work with the standard library alone, and whatever needs
a package says which one is missing.
"""

from __future__ import annotations

from types import ModuleType

from .errors import MissingLibrary


def _missing(package: str) -> MissingLibrary:
    return MissingLibrary(f"The Python package {package} is not installed.", f"Install it: pip install {package}.")


def redis() -> ModuleType:
    """Package redis. :raises MissingLibrary: when it is not installed."""
    try:
        import redis as package
    except ImportError:
        raise _missing("redis") from None
    return package


def requests() -> ModuleType:
    """Package requests. :raises MissingLibrary: when it is not installed."""
    try:
        import requests as package
    except ImportError:
        raise _missing("requests") from None
    return package


def sqlalchemy() -> ModuleType:
    """Package SQLAlchemy. :raises MissingLibrary: when it is not installed."""
    try:
        import sqlalchemy as package
    except ImportError:
        raise _missing("SQLAlchemy") from None
    return package
