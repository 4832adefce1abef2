"""The commands alert-webhook and alert-worker."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from sessionmedic import service_log
from sessionmedic._version import __version__
from sessionmedic.errors import ConfigError, SessionMedicError

from . import auth
from . import config as configuration
from .config import WebhookConfig

EXIT_CANNOT_RUN = 1
EXIT_WRONG_CONFIG = 2

_log = logging.getLogger(__name__)


def webhook_main(arguments: Sequence[str] | None = None) -> int:
    """Take alerts until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 cannot run, 2 wrong configuration."""
    parser = _parser("alert-webhook", "Takes alerts from Alertmanager and queues repairs.")
    parser.add_argument("--web.listen-address", dest="listen_address", default="", metavar="HOST:PORT")
    parser.add_argument(
        "--web.allow-unauthenticated",
        dest="allow_unauthenticated",
        action="store_true",
        help="start without a secret: whoever reaches the port may start repairs",
    )
    parser.add_argument(
        "--hash-password", action="store_true", help="ask for a password and print what the users' file wants"
    )
    options = parser.parse_args(arguments)
    if options.hash_password:
        print(auth.hash_password(_ask_password()))
        return 0

    def prepare(config: WebhookConfig) -> Callable[[], None]:
        from . import server

        return server.prepare(config, options.listen_address, options.allow_unauthenticated)

    return _run(parser, options, prepare)


def worker_main(arguments: Sequence[str] | None = None) -> int:
    """Run repairs until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 cannot run, 2 wrong configuration."""
    parser = _parser("alert-worker", "Runs the repairs that the webhook has queued.")
    options = parser.parse_args(arguments)

    def prepare(config: WebhookConfig) -> Callable[[], None]:
        def run() -> None:
            from . import worker

            worker.work(config)

        return run

    return _run(parser, options, prepare)


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    parser.add_argument("--config.file", dest="config_file", metavar="FILE", help="YAML, for webhook and worker")
    parser.add_argument("--check-config", action="store_true", help="check the file and exit")
    parser.add_argument("--version", action="version", version=f"{name} {__version__}")
    return parser


def _run(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    prepare: Callable[[WebhookConfig], Callable[[], None]],
) -> int:
    if not options.config_file:
        parser.error("the option --config.file is required")
    try:
        config = configuration.load(options.config_file)
        configuration.register_secrets(config)
        run = prepare(config)
        if options.check_config:
            print(f"{options.config_file}: correct.")
            return 0
    except ConfigError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return EXIT_WRONG_CONFIG
    service_log.configure(config.log_format, config.log_level, _own_stderr())
    # What these say is said better by us.
    for name in ("rq.worker", "rq.job", "rq.queue", "rq.registry", "gunicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        run()
    except SessionMedicError as error:
        _log.critical("%s", error)
        return EXIT_CANNOT_RUN
    return 0


def _own_stderr() -> TextIO:
    """stderr under another number: a fork that runs a playbook gives that one away and still logs."""
    return os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def _ask_password() -> str:
    return getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
