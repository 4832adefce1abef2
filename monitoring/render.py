"""Render the configuration of Prometheus and Alertmanager from the templates beside this file.

    python monitoring/render.py --output DIR [--profile demo] [--vars FILE] [--set key=value ...]

writes DIR/prometheus.yml, DIR/alertmanager.yml and DIR/rules/*.yml. Every value starts from defaults.yml, then comes
the profile, then --vars, then --set. The committed production result is made with ``--output monitoring/rendered``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
import yaml

from sessionmedic.errors import ConfigError

HERE = Path(__file__).resolve().parent

DURATION = re.compile(
    r"(^|_)(scrape_interval|scrape_timeout|evaluation_interval|group_wait|group_interval|repeat_interval|for)_seconds$"
)
MAY_BE_ZERO = re.compile(r"_(for|group_wait)_seconds$")
NUMBER = re.compile(r"_(seconds|percent|errors|sessions|workers)$")
TARGET = re.compile(r"^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})$")
LARGEST = 10**9


def default_values() -> dict[str, Any]:
    """The values of defaults.yml by name: int, str, or list of str."""
    return _mapping(HERE / "defaults.yml")


def profile_names() -> list[str]:
    return sorted(path.stem for path in (HERE / "profiles").glob("*.yml"))


def load_values(profile: str = "", *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values: defaults, then the profile (production when empty), then each of ``overrides``.

    :raises ConfigError: names the key that is unknown, of the wrong kind, or that a profile may not change.
    """
    values = default_values()
    if profile:
        if profile not in profile_names():
            raise ConfigError(f"The profile {profile[:40]!r} is not known.", f"Known: {', '.join(profile_names())}.")
        changed = _mapping(HERE / "profiles" / f"{profile}.yml")
        for key in changed:
            if not DURATION.search(key):
                raise ConfigError(f"The profile {profile} changes {key}.", "A profile may change durations only.")
        overrides = (changed, *overrides)
    for given in overrides:
        for key, value in given.items():
            if key not in values:
                raise ConfigError(f"The variable {str(key)[:60]!r} is not known.", "monitoring/defaults.yml lists all.")
            values[key] = value
    for key, value in values.items():
        _check(key, value)
    _check_together(values)
    return values


def render(values: Mapping[str, Any]) -> dict[str, str]:
    """The files by their path below the output folder; ``values`` come from load_values()."""
    # Delimiters of their own: Prometheus' templates in annotations use the common ones.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML, not HTML; load_values() checked every value
    )
    names = {
        "prometheus.yml": "prometheus.yml.j2",
        "alertmanager.yml": "alertmanager/alertmanager.yml.j2",
        **{f"rules/{path.stem}": f"rules/{path.name}" for path in sorted((HERE / "rules").glob("*.yml.j2"))},
    }
    return {target: environment.get_template(name).render(values) for target, name in names.items()}


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write each file by rename, so that a server never reads half of one; other files in ``folder`` stay."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}.", "Check the path and its rights.") from error
    except yaml.YAMLError as error:
        # The parser's own words quote the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ConfigError(f"{path.name} is not YAML{where}.", "Correct it.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} does not hold key: value lines.", "See monitoring/defaults.yml.")
    return data


def _check(key: str, value: Any) -> None:
    """Raise ConfigError unless the value fits its name; values that may be secret are not repeated."""
    if NUMBER.search(key):
        least = 0 if MAY_BE_ZERO.search(key) else 1
        most = 99 if key.endswith("_percent") else LARGEST
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigError(f"{key} is not a whole number from {least} to {most}.", "Give it as 30.")
    elif key.endswith("_targets"):
        if not isinstance(value, list) or not value or not all(_is_target(item) for item in value):
            raise ConfigError(f"{key} is not a list of host:port.", "Give it as 127.0.0.1:9877,127.0.0.1:9977.")
    elif not isinstance(value, str) or not value.isprintable():
        raise ConfigError(f"{key} is not one line of text.", "Give it as text.")
    elif key.endswith("_url"):
        if (value or key in ("webhook_url", "runbook_base_url")) and not _is_url(value):
            raise ConfigError(f"{key} is not an http(s) URL.", "Give it as http://host:port/path.")
    elif not value:
        raise ConfigError(f"{key} is empty.", "Give it as /etc/sessionmedic/webhook_token.")


def _check_together(values: Mapping[str, Any]) -> None:
    if values["scrape_timeout_seconds"] > values["scrape_interval_seconds"]:
        raise ConfigError("scrape_timeout_seconds is above scrape_interval_seconds.", "Lower it.")
    if values["session_degraded_errors"] >= values["session_corrupted_errors"]:
        raise ConfigError("session_degraded_errors is not below session_corrupted_errors.", "Lower it.")


def _is_target(value: Any) -> bool:
    match = TARGET.match(value) if isinstance(value, str) else None
    return match is not None and 0 < int(match[2]) < 65536


def _is_url(value: str) -> bool:
    # No character that would end a YAML scalar or start a template of Prometheus.
    if not re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+", value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _assignment(text: str) -> tuple[str, Any]:
    """One --set: key=value; lists are separated by commas."""
    key, found, value = text.partition("=")
    if not found:
        raise ConfigError(f"--set {key[:60]!r} has no value.", "Give it as key=value.")
    if NUMBER.search(key):
        return key, int(value) if re.fullmatch(r"-?[0-9]{1,12}", value) else value
    return key, value.split(",") if key.endswith("_targets") else value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the configuration of Prometheus and Alertmanager.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--profile", default="", help=f"shorter durations: {', '.join(profile_names())}")
    parser.add_argument("--vars", type=Path, metavar="FILE", help="YAML file with other values (for secrets)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value")
    options = parser.parse_args(arguments)
    try:
        given = [_mapping(options.vars)] if options.vars else []
        values = load_values(options.profile, *given, dict(_assignment(text) for text in options.set))
        write(render(values), options.output)
    except ConfigError as error:
        print(f"render: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"render: {error.filename} cannot be written: {error.strerror}. Choose another --output.", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
