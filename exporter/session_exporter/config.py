"""The exporter's file: read, checked as a whole, every error naming its key and never a value."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

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
    data = _read(Path(path))
    _fill_in(data, env)
    try:
        config = ExporterConfig.model_validate(data)
        config = config.model_copy(update={"backends": tuple(_complete(item, config, env) for item in config.backends)})
        _check_together(config)
        listen_address(config.listen_address)
    except ValidationError as error:
        problems = "; ".join(
            _sentence(details, data) for details in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{path}: {problems}.", "Correct it, and try it with --check-config.") from None
    except SessionMedicError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from None
    return config


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9877``, ``[::1]:9877`` or ``:9877``. :raises ConfigError: it is none of these."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535 or ("]" in host) != host.startswith("["):
        raise ConfigError("listen_address is not host:port.", "Write it as 127.0.0.1:9877.")
    return host.strip("[]"), int(port)


# -- reading ----------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {name} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Name the file with --config.file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        # The error's own text quotes the line, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: {getattr(error, 'problem', None) or 'not YAML'}.", "Correct the YAML there."
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is not a mapping of keys.", "Start it with backends:.")
    cleaned: dict[str, Any] = _without_nothing(data)
    return cleaned


def _without_nothing(value: Any) -> Any:
    """A key without a value is a key that was not given."""
    if isinstance(value, dict):
        return {str(key): _without_nothing(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nothing(item) for item in value]
    return value


def _fill_in(data: dict[str, Any], env: Mapping[str, str]) -> None:
    for key, variable in (("redis_url", "REDIS_URL"), ("log_level", "LOG_LEVEL")):
        if env.get(variable):
            data.setdefault(key, env[variable])
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
    kind = details["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return f"{key} is not a known key ({hint})"
    if kind in ("missing", "missing_argument"):
        return f"{key} is missing"
    message = details["msg"]
    return f"{key}: {message[:1].lower()}{message[1:]}"


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
