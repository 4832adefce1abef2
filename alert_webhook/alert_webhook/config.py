"""The file that webhook and worker share: read, checked as a whole; errors name the key and never a value."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from sessionmedic import service_file, service_log
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
_RESERVED = frozenset(
    {"id", "backend", "remediation_id", "redis_url", "lock", "force", "confirm", "strategy", "allow_qr", "ignore_pause"}
)


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> WebhookConfig:
    """Read and check the file; the environment fills in where it is silent.

    :raises ConfigError: the file cannot be read, is no YAML, or a key is wrong; the message names file and key.
    """
    env = os.environ if environ is None else environ
    file = Path(path).absolute()
    data = service_file.read(file, env)
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


def register_secrets(config: WebhookConfig) -> None:
    """Have the secrets of the configuration replaced wherever this process logs or records."""
    redis_url = config.redis_url.get_secret_value()
    credentials = redis_url.rpartition("@")[0].rpartition("/")[2]
    service_log.register_secret(credentials.partition(":")[2])
    if config.auth.bearer_token is not None:
        service_log.register_secret(config.auth.bearer_token.get_secret_value())


def _absolute(config: WebhookConfig, folder: Path) -> WebhookConfig:
    def under(model: BaseModel) -> dict[str, Any]:
        return {name: folder / value for name, value in model if isinstance(value, Path)}

    changed = under(config)
    changed["auth"] = config.auth.model_copy(update=under(config.auth))
    if config.tls is not None:
        changed["tls"] = config.tls.model_copy(update=under(config.tls))
    return config.model_copy(update=changed)


def _check_together(config: WebhookConfig) -> None:
    service_file.listen_address(config.listen_address)
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
    models: dict[str, type[BaseModel]] = {"auth": AuthConfig, "tls": TlsConfig}
    known = sorted(models.get(location[0], WebhookConfig).model_fields) if location else []
    return service_file.clause(key, details, known)
