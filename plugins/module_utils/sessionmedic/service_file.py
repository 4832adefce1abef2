"""Read a service's configuration file; errors name file, place and key, and never repeat a value, which may be secret.

For the services only: modules on managed hosts do not import it, because PyYAML may be missing there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

# Environment variables that fill in where a file is silent.
_FROM_ENVIRONMENT = {"redis_url": "REDIS_URL", "log_level": "LOG_LEVEL"}


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


def read(path: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The file as a mapping, without keys that have no value, filled in from the environment.

    :raises ConfigError: it cannot be read, is no YAML, or no mapping.
    """
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
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is not a mapping of keys.", "Write it as key: value lines.")
    cleaned: dict[str, Any] = _without_nothing(data)
    for key, variable in _FROM_ENVIRONMENT.items():
        if env.get(variable):
            cleaned.setdefault(key, env[variable])
    return cleaned


def _without_nothing(value: Any) -> Any:
    """A key without a value is a key that was not given."""
    if isinstance(value, dict):
        return {str(key): _without_nothing(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nothing(item) for item in value]
    return value


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9877``, ``[::1]:9877`` or ``:9877``. :raises ConfigError: it is none of these."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535 or ("]" in host) != host.startswith("["):
        raise ConfigError("listen_address is not host:port.", "Write it as 127.0.0.1:9877.")
    return host.strip("[]"), int(port)


def clause(key: str, details: Mapping[str, Any], known: Sequence[str]) -> str:
    """One of pydantic's errors as a clause, such as ``auth.tokn is not a known key (did you mean token?)``.

    :param key: as the file spells it.
    :param details: ``type``, ``loc`` and ``msg`` of the error.
    :param known: the keys that stand beside it.
    """
    kind = details["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        near = difflib.get_close_matches(str(details["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return f"{key} is not a known key ({hint})"
    if kind in ("missing", "missing_argument"):
        return f"{key} is missing"
    message = str(details["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{key}: {message[:1].lower()}{message[1:]}"
