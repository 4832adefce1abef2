"""Serve the webhook: gunicorn, one process with threads.

One process, because several would remember passwords and inventories each for itself; threads, because most of the time
goes into waiting for Redis.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn import glogging  # type: ignore[import-untyped] # it has no types
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped] # it has no types

from sessionmedic.errors import ConfigError
from sessionmedic.redis_client import connect

from .app import create_app
from .auth import authenticator
from .backends import backend_names
from .config import WebhookConfig, listen_address

GRACEFUL_SECONDS = 10
# A client that is slower than this to send a request is cut off.
REQUEST_SECONDS = 30

_log = logging.getLogger(__name__)


def prepare(config: WebhookConfig, address: str = "", allow_unauthenticated: bool = False) -> Callable[[], None]:
    """Check everything that can be checked before the port is open, and return what serves until it is stopped.

    :raises ConfigError: a setting, a file it names, or the inventory is unusable.
    """
    host, port = listen_address(address or config.listen_address)
    checker = authenticator(config.auth, allow_unauthenticated)
    _check_tls(config)
    backends = backend_names(config)

    def load() -> Flask:
        url = config.redis_url.get_secret_value()
        return create_app(config, connect(url), connect(url, decode=False), checker, backends)

    def serve() -> None:
        _refuse_taken_port(host, port)
        if allow_unauthenticated and not config.auth.given:
            _log.warning("Anybody who reaches %s port %d may start repairs.", host or "*", port)
        _log.info("Listening on %s port %d for %d backends.", host or "*", port, len(backends.all()))
        _Server(load, _options(config, host, port)).run()

    return serve


class _Server(BaseApplication):  # type: ignore[misc] # it has no types
    def __init__(self, load: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._load = load
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for key, value in self._options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        return self._load()


class _Logger(glogging.Logger):  # type: ignore[misc] # it has no types
    """Leaves what gunicorn says to our own logging."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        self.access_log.propagate = False


def _options(config: WebhookConfig, host: str, port: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bind": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"],
        "workers": 1,
        "worker_class": "gthread",
        "threads": config.threads,
        "timeout": REQUEST_SECONDS,
        "graceful_timeout": GRACEFUL_SECONDS,
        "logger_class": _Logger,
        "proc_name": "alert-webhook",
    }
    if config.tls is not None:
        options |= {"certfile": str(config.tls.cert_file), "keyfile": str(config.tls.key_file)}
        if config.tls.client_ca_file is not None:
            options |= {"ca_certs": str(config.tls.client_ca_file), "cert_reqs": ssl.CERT_REQUIRED}
    return options


def _check_tls(config: WebhookConfig) -> None:
    if config.tls is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.tls.cert_file, config.tls.key_file)
        if config.tls.client_ca_file is not None:
            context.load_verify_locations(config.tls.client_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"tls: certificate, key or CA cannot be used ({error.strerror or type(error).__name__}).",
            "Correct tls.cert_file, tls.key_file and tls.client_ca_file.",
        ) from None


def _refuse_taken_port(host: str, port: int) -> None:
    """gunicorn would try for five seconds, and say so in its own words."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {host or '*'} port {port}: {error.strerror}.", "Choose another address."
        ) from None
