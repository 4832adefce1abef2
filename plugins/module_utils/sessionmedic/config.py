"""What we must know of a backend: inventory variable ``whatsapp_backend`` and the exporter's file have this shape."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigError
from .names import check_name, shown

DEFAULT_URL = "http://localhost:8080"
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True)
class AuthConfig:
    """How to log in: ``none``, ``bearer`` (a fixed token) or ``login`` (JWT from username and password)."""

    type: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    login_path: str = "/auth/login"

    def __post_init__(self) -> None:
        _one_of("auth.type", self.type, ("none", "bearer", "login"))
        if self.type == "bearer" and not self.token:
            raise ConfigError("auth.type is bearer but auth.token is empty.", "Set auth.token.")
        if self.type == "login" and not (self.username and self.password):
            raise ConfigError("auth.type is login but auth.username or auth.password is empty.", "Set both of them.")


@dataclass(frozen=True)
class LogSource:
    """One log file.

    :param stream: ``stdout``, ``stderr`` or ``merged`` (both in one file).
    :param session: set when the whole file belongs to one session.
    """

    path: str
    stream: str = "merged"
    session: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("log_sources.path is empty.", "Name a log file.")
        _one_of("log_sources.stream", self.stream, ("stdout", "stderr", "merged"))
        if self.session:
            check_name(self.session, "log_sources.session")


@dataclass(frozen=True)
class CredentialsTable:
    """The table that holds ``creds``; real schemas differ, so requirement 5's names are only defaults."""

    name: str = "WhatsAppSession"
    id_column: str = "sessionId"
    creds_column: str = "creds"
    status_column: str = "status"
    last_connected_column: str = "lastConnected"


@dataclass(frozen=True)
class ErrorPattern:
    """A literal that marks an error line, beyond the known ones."""

    literal: str
    kind: str = "other"
    benign: bool = False

    def __post_init__(self) -> None:
        from .crypto_errors import KINDS

        if not self.literal:
            raise ConfigError("error_patterns.literal is empty.", "Give the text to look for.")
        _one_of("error_patterns.kind", self.kind, KINDS)


@dataclass(frozen=True)
class BackendConfig:
    """One backend: a host of inventory group ``whatsapp_backends``, an entry of the exporter's ``backends``.

    Paths hold one ``{id}`` where a session has a place of its own. Timeouts are seconds.
    """

    name: str
    kind: str = "whaticket"
    url: str = DEFAULT_URL
    auth: AuthConfig = field(default_factory=AuthConfig)
    routes: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    session_path: str = ""
    session_folder: str = "{id}"
    redis_url: str = field(default="", repr=False)
    redis_prefixes: tuple[str, ...] = ("sessions:{id}:",)
    cache_prefixes: tuple[str, ...] = ()
    cache_path: str = ""
    database_url: str = field(default="", repr=False)
    credentials_table: CredentialsTable = field(default_factory=CredentialsTable)
    backup_path: str = ""
    log_sources: tuple[LogSource, ...] = ()
    error_patterns: tuple[ErrorPattern, ...] = ()
    session_fields: tuple[str, ...] = (
        "whatsappId",
        "sessionId",
        "session_id",
        "session",
        "instance",
        "instanceId",
    )
    self_recovery_seconds: float = 0.0
    allow_relink: bool = False
    connect_timeout: float = 3.0
    read_timeout: float = 10.0

    def __post_init__(self) -> None:
        check_name(self.name, "backend name")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise ConfigError(f"Backend {self.name}: url is not an http(s) URL.", "Give it as http://host:port.")
        if self.session_folder.count("{id}") != 1 or "/" in self.session_folder:
            raise ConfigError(
                f"Backend {self.name}: session_folder {shown(self.session_folder)} is not one folder name with {{id}}.",
                'Use "{id}" or "session-{id}".',
            )
        for prefix in (*self.redis_prefixes, *self.cache_prefixes):
            before, found, after = prefix.partition("{id}")
            # Without a separator on both sides the keys of session 2 would cover those of 26.
            if not found or not after or (before and before[-1].isalnum()) or after[0].isalnum():
                raise ConfigError(
                    f"Backend {self.name}: Redis prefix {shown(prefix)} does not hold {{id}} between separators.",
                    'Write it as "sessions:{id}:".',
                )

    @classmethod
    def from_mapping(cls, name: str, mapping: Mapping[str, Any]) -> BackendConfig:
        """Build from plain data (an inventory variable).

        :raises ConfigError: names the unknown, missing or badly shaped key.
        """
        if not isinstance(mapping, Mapping):
            raise ConfigError(
                f"Backend {shown(name)}: whatsapp_backend is not a mapping.", "See docs/configuration.md."
            )
        given = {key: value for key, value in mapping.items() if value is not None and key != "name"}
        config: BackendConfig = _build(cls, {**given, "name": name}, f"backend {name}")
        return config

    def with_environment(self, environ: Mapping[str, str] | None = None) -> BackendConfig:
        """Fill what is silent from DATABASE_URL, SESSION_STORAGE_PATH and CACHE_PATH."""
        env = os.environ if environ is None else environ
        from dataclasses import replace

        return replace(
            self,
            database_url=self.database_url or env.get("DATABASE_URL", ""),
            session_path=self.session_path or env.get("SESSION_STORAGE_PATH", ""),
            cache_path=self.cache_path or env.get("CACHE_PATH", ""),
        )


_NESTED: dict[str, Any] = {"auth": AuthConfig, "credentials_table": CredentialsTable}
_NESTED_LISTS: dict[str, Any] = {"log_sources": LogSource, "error_patterns": ErrorPattern}
_TEXT_LISTS = ("redis_prefixes", "cache_prefixes", "session_fields")
_NUMBERS = ("self_recovery_seconds", "connect_timeout", "read_timeout")


def _build(cls: Any, given: Mapping[str, Any], where: str) -> Any:
    known = {item.name: item for item in fields(cls)}
    for key in given:
        if key not in known:
            raise ConfigError(f"Unknown key {shown(key)} in {where}.", f"Known keys: {', '.join(sorted(known))}.")
    for key, item in known.items():
        if item.default is MISSING and item.default_factory is MISSING and key not in given:
            raise ConfigError(f"Key {key} is missing in {where}.", "Add it.")
    return cls(**{key: _value(key, value, f"{where}: {key}") for key, value in given.items()})


def _value(key: str, value: Any, where: str) -> Any:
    if key in _NESTED:
        nested = _NESTED[key]
        if is_dataclass(value):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is not a mapping.", "Give it as key: value lines.")
        return _build(nested, {k: v for k, v in value.items() if v is not None}, where)
    if key in _NESTED_LISTS or key in _TEXT_LISTS:
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise ConfigError(f"{where} is not a list.", "Give it as a list.")
        if key in _TEXT_LISTS:
            return tuple(str(item) for item in value)
        nested = _NESTED_LISTS[key]
        return tuple(
            item if is_dataclass(item) else _build(nested, {k: v for k, v in item.items() if v is not None}, where)
            for item in value
        )
    if key in ("routes", "states"):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is not a mapping.", "Give it as key: value lines.")
        return {str(k): str(v) for k, v in value.items()}
    if key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ConfigError(f"{where} is not a number of seconds.", "Give it as 10.")
        return float(value)
    if key in ("allow_relink", "benign"):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is not true or false.", "Give it as true or false.")
        return value
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ConfigError(f"{where} is not text.", "Give it as text.")
    return str(value)


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key} {shown(value)} is not known.", f"Use one of {', '.join(allowed)}.")
