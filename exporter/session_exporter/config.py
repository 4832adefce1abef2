"""The exporter's file: read, checked as a whole, every error naming its key and never a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from sessionmedic import service_file
from sessionmedic.backends import registry
from sessionmedic.config import BackendConfig, ErrorPattern
from sessionmedic.errors import ConfigError, SessionMedicError
from sessionmedic.health import DEFAULT_LIMITS, Limits

# Strict: `true` is no number of seconds. Text may be given as a number (a session's id).
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
SecondsOrOff = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]

_MODEL = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True)


class PollConfig(BaseModel):
    """How often each tier looks, in seconds; 0 switches a tier off.

    ``timeout_seconds``: when a check gives up.
    """

    model_config = _MODEL

    connection_seconds: Seconds = 30.0
    transitory_seconds: Seconds = 10.0
    deep_seconds: SecondsOrOff = 120.0
    recovery_seconds: SecondsOrOff = 60.0
    memory_seconds: SecondsOrOff = 300.0
    credentials_seconds: SecondsOrOff = 300.0
    timeout_seconds: Seconds = 10.0


class ExporterConfig(BaseModel):
    """The whole file. Times are seconds."""

    model_config = _MODEL

    listen_address: str = "127.0.0.1:9877"
    state_path: str = "/var/lib/sessionmedic/exporter"
    redis_url: SecretStr = SecretStr("")
    window_seconds: Seconds = DEFAULT_LIMITS.window_seconds
    corrupted_errors: Annotated[int, Field(strict=True, ge=1)] = DEFAULT_LIMITS.corrupted_errors
    stuck_seconds: Seconds = DEFAULT_LIMITS.stuck_seconds
    forget_seconds: Seconds = 600.0
    from_beginning: Annotated[bool, Field(strict=True)] = False
    poll: PollConfig = PollConfig()
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    error_patterns: tuple[ErrorPattern, ...] = ()
    backends: tuple[BackendConfig, ...]

    @property
    def limits(self) -> Limits:
        return Limits(self.corrupted_errors, self.window_seconds, self.stuck_seconds)

    def secrets(self) -> list[str]:
        """What must never be logged."""
        found = [self.redis_url.get_secret_value()]
        for backend in self.backends:
            found += [backend.auth.password, backend.auth.token, backend.redis_url, backend.database_url]
        return [secret for secret in found if secret]


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> ExporterConfig:
    """Read and check the file; the environment fills in where it is silent.

    :raises ConfigError: the file cannot be read, is no YAML, or a key is wrong; the message names file and key.
    """
    env = os.environ if environ is None else environ
    data = service_file.read(Path(path), env)
    _fill_in(data, env)
    try:
        config = ExporterConfig.model_validate(data)
        config = config.model_copy(update={"backends": tuple(_complete(item, config, env) for item in config.backends)})
        _check_together(config)
        service_file.listen_address(config.listen_address)
    except ValidationError as error:
        problems = "; ".join(
            _sentence(details, data) for details in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{path}: {problems}.", "Correct it, and try it with --check-config.") from None
    except SessionMedicError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from None
    return config


def _fill_in(data: dict[str, Any], env: Mapping[str, str]) -> None:
    backends = data.get("backends")
    if env.get("BACKEND_URL") and isinstance(backends, list):
        for backend in backends:
            if isinstance(backend, dict):
                backend.setdefault("url", env["BACKEND_URL"])


def _complete(backend: BackendConfig, config: ExporterConfig, env: Mapping[str, str]) -> BackendConfig:
    timeout = config.poll.timeout_seconds
    return replace(
        backend.with_environment(env),
        error_patterns=backend.error_patterns + config.error_patterns,
        connect_timeout=min(backend.connect_timeout, timeout),
        read_timeout=min(backend.read_timeout, timeout),
    )


def _check_together(config: ExporterConfig) -> None:
    if not config.backends:
        raise ConfigError("backends is empty.", "List at least one backend.")
    names: set[str] = set()
    paths: dict[str, str] = {}
    for backend in config.backends:
        if backend.name in names:
            raise ConfigError(f"backends: the name {backend.name} is given twice.", "Give each backend its own.")
        names.add(backend.name)
        for source in backend.log_sources:
            path = os.path.abspath(source.path)
            if path in paths:
                raise ConfigError(
                    f"log_sources: {path} is listed for {paths[path]} and for {backend.name}: it would count twice.",
                    "List each file once.",
                )
            paths[path] = backend.name
        # Kind, routes and states are checked by the adapter; nothing is sent.
        registry.create(backend).close()


# -- errors -----------------------------------------------------------------------------------------------------------


def _sentence(details: ErrorDetails, data: Mapping[str, Any]) -> str:
    """One clause that names the key, such as ``backends[0] (shop).auth.x is not a known key``."""
    loc = details["loc"]
    key = _spelled(loc, data)
    return service_file.clause(key, details, _known_keys(loc[:-1]))


def _spelled(loc: tuple[int | str, ...], data: Any) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
            data = data[part] if isinstance(data, list) and part < len(data) else None
            if isinstance(data, dict) and isinstance(data.get("name"), str):
                text += f" ({data['name'][:40]})"
        else:
            text += f".{part}" if text else part
            data = data.get(part) if isinstance(data, dict) else None
    return text


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the mapping at ``loc``, found by walking the models."""
    model: Any = ExporterConfig
    for part in loc:
        if isinstance(part, str):
            model = _annotations(model).get(part)
        inner = [item for item in get_args(model) if isinstance(item, type) and item is not type(None)]
        if not _annotations(model) and inner:
            model = inner[0]
    return sorted(_annotations(model))


def _annotations(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    if is_dataclass(model):
        from typing import get_type_hints

        hints = get_type_hints(model)
        return {item.name: hints[item.name] for item in fields(model)}
    return {}
