"""The file that webhook and worker share: read, checked as a whole; errors name the key and never a value."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from sessionmedic import service_log
from sessionmedic.config import DEFAULT_REDIS_URL
from sessionmedic.errors import ConfigError, SessionMedicError
from sessionmedic.names import check_name
from sessionmedic.redis_client import connect

# Strict: `true` is no number of seconds.
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
SecondsOrOff = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(strict=True, ge=1)]

_MODEL = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _name(value: str) -> str:
    try:
        return check_name(value, "name")
    except SessionMedicError as error:
        raise ValueError(error.message) from None


Name = Annotated[str, AfterValidator(_name)]


class AuthConfig(BaseModel):
    """Who may talk to the webhook: a bearer token, users with passwords, or both.

    ``basic_users_file`` holds lines ``user:hash``, made by ``alert-webhook --hash-password``.
    """

    model_config = _MODEL

    bearer_token_file: Path | None = None
    bearer_token: SecretStr | None = None
    basic_users_file: Path | None = None

    @property
    def given(self) -> bool:
        return any((self.bearer_token_file, self.bearer_token, self.basic_users_file))


class TlsConfig(BaseModel):
    """Certificate and key of the webhook; with ``client_ca_file`` only clients with a certificate of that CA."""

    model_config = _MODEL

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


class WebhookConfig(BaseModel):
    """The whole file. Times are seconds; paths are relative to the file.

    ``playbook_path`` is a folder of playbooks; without it they come from the installed collection. ``backends`` are
    read from the inventory when not given. ``variables`` go to the playbook as they are.
    """

    model_config = _MODEL

    listen_address: str = "127.0.0.1:9878"
    redis_url: SecretStr = SecretStr(DEFAULT_REDIS_URL)
    auth: AuthConfig = AuthConfig()
    tls: TlsConfig | None = None
    open_metrics: Annotated[bool, Field(strict=True)] = False
    threads: Annotated[int, Field(strict=True, ge=1, le=256)] = 32
    playbook_path: Path | None = None
    inventory: Path | None = None
    ansible_config: Path | None = None
    log_path: Path = Path("logs")
    backends: tuple[Name, ...] | None = None
    allowed_playbooks: tuple[Name, ...] = ("fix_session",)
    cooldown_seconds: SecondsOrOff = 300.0
    job_timeout_seconds: WholeSeconds = 900
    stop_seconds: WholeSeconds = 300
    heartbeat_seconds: WholeSeconds = 15
    keep_remediations: Annotated[int, Field(strict=True, ge=1)] = 2000
    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Any] = Field(default_factory=dict)
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def playbook(self, name: str) -> str:
        """What ansible-playbook is called with for the allowed playbook ``name``."""
        if self.playbook_path is None:
            return f"sessionmedic.whatsapp.{name}"
        return str(self.playbook_path / f"{name}.yml")


# The worker sets these itself, from what was checked; a fixed value would make every job repair the same session.
_RESERVED = frozenset({"id", "backend", "remediation_id", "redis_url", "lock", "force", "confirm"})


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> WebhookConfig:
    """Read and check the file; the environment fills in where it is silent.

    :raises ConfigError: the file cannot be read, is no YAML, or a key is wrong; the message names file and key.
    """
    env = os.environ if environ is None else environ
    file = Path(path).absolute()
    data = _read(file)
    for key, variable in (("redis_url", "REDIS_URL"), ("log_level", "LOG_LEVEL")):
        if env.get(variable):
            data.setdefault(key, env[variable])
    try:
        config = _absolute(WebhookConfig.model_validate(data), file.parent)
        _check_together(config)
        if config.auth.bearer_token is not None and file.stat().st_mode & stat.S_IRWXO:
            raise ConfigError("auth.bearer_token stands in a file that everybody can read.", f"chmod o= {path}.")
    except ValidationError as error:
        problems = "; ".join(_sentence(one) for one in error.errors(include_url=False, include_input=False))
        raise ConfigError(f"{path}: {problems}.", "See docs/configuration.md.") from None
    except SessionMedicError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from None
    return config


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9878``, ``[::1]:9878`` or ``:9878``. :raises ConfigError: it is none of these."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535 or ("]" in host) != host.startswith("["):
        raise ConfigError("listen_address is not host:port.", "Write it as 127.0.0.1:9878.")
    return host.strip("[]"), int(port)


def register_secrets(config: WebhookConfig) -> None:
    """Have the secrets of the configuration replaced wherever this process logs or records."""
    redis_url = config.redis_url.get_secret_value()
    credentials = redis_url.rpartition("@")[0].rpartition("/")[2]
    service_log.register_secret(credentials.partition(":")[2])
    if config.auth.bearer_token is not None:
        service_log.register_secret(config.auth.bearer_token.get_secret_value())


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
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Name the file with --config.file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        # The error's own text quotes the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}{where}: {problem}.", "Correct the YAML there.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is not a mapping of keys.", "Write it as key: value lines.")
    return {str(key): value for key, value in data.items() if value is not None}


def _absolute(config: WebhookConfig, folder: Path) -> WebhookConfig:
    def under(model: BaseModel) -> dict[str, Any]:
        return {name: folder / value for name, value in model if isinstance(value, Path)}

    changed = under(config)
    changed["auth"] = config.auth.model_copy(update=under(config.auth))
    if config.tls is not None:
        changed["tls"] = config.tls.model_copy(update=under(config.tls))
    return config.model_copy(update=changed)


def _check_together(config: WebhookConfig) -> None:
    listen_address(config.listen_address)
    connect(config.redis_url.get_secret_value()).close()
    if config.auth.bearer_token is not None and config.auth.bearer_token_file is not None:
        raise ConfigError("auth.bearer_token and auth.bearer_token_file are both given.", "Keep the file.")
    reserved = sorted(_RESERVED & set(config.variables))
    if reserved:
        raise ConfigError(f"variables.{reserved[0]} is set by the worker for each job.", "Remove it.")
    if config.backends is None and config.inventory is None and config.ansible_config is None:
        raise ConfigError("Neither backends nor inventory is given.", "Name the inventory, or list the backends.")
    for key in ("playbook_path", "inventory", "ansible_config"):
        path = getattr(config, key)
        if path is not None and not path.exists():
            raise ConfigError(f"{key} {path} does not exist.", "Correct the path.")
    if config.playbook_path is not None:
        for name in config.allowed_playbooks:
            if not Path(config.playbook(name)).is_file():
                raise ConfigError(f"allowed_playbooks: {config.playbook(name)} does not exist.", "Correct the name.")


def _sentence(details: ErrorDetails) -> str:
    """One clause that names the key, such as ``auth.bearer_tokn is not a known key (did you mean bearer_token?)``."""
    location = [str(part) for part in details["loc"] if part != "[key]"]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"auth": AuthConfig, "tls": TlsConfig}
        known = sorted(models.get(location[0], WebhookConfig).model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return f"{key} is not a known key ({hint})"
    if details["type"] == "missing":
        return f"{key} is missing"
    message = details["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{key}: {message[:1].lower()}{message[1:]}"
