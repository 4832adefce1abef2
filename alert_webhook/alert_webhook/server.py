"""Serve the webhook: gunicorn, one process with threads.

One process, because several would remember passwords and inventories each for itself; threads, because most of the time
goes into waiting for Redis.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn import glogging  # type: ignore[import-untyped] # it has no types
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped] # it has no types
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped] # it has no types

from sessionmedic.errors import ConfigError
from sessionmedic.redis_client import connect
from sessionmedic.service_file import listen_address

from .app import create_app
from .auth import authenticator
from .backends import backend_names
from .config import WebhookConfig

GRACEFUL_SECONDS = 10
# gunicorn ends its process when that has hung for so long.
HUNG_SECONDS = 60
# A client that sends nothing for so long in the middle of a request is cut off: each holds a thread.
SILENT_SECONDS = 5
LINGER_SECONDS = 1.0
LINGER_BYTES = 1024 * 1024

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
        _check_port(host, port)
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


class _Threads(ThreadWorker):  # type: ignore[misc] # it has no types
    """gunicorn's threads, which clients that fall silent can neither use up nor hold up."""

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread, with a limit that gunicorn's own switches of blocking do not undo."""
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SILENT_SECONDS, 0))
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve a request in a thread, and when that was the last one, wait here until the client has read the answer:
        gunicorn does it, for two seconds each, in the loop that accepts connections."""
        keep = super().handle(conn)
        if keep is False:
            _linger(conn.sock)
        return keep


def _linger(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_SECONDS)
        left = LINGER_BYTES
        while left > 0 and (block := sock.recv(65536)):
            left -= len(block)
    with contextlib.suppress(OSError):
        # Whoever closes it now need not wait.
        sock.shutdown(socket.SHUT_RDWR)


class _Logger(glogging.Logger):  # type: ignore[misc] # it has no types
    """Leaves what gunicorn says to our own logging."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        self.access_log.propagate = False

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """What is wrong, but for clients that fell silent (SO_RCVTIMEO), who are nothing to act on."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.debug("A client sent nothing for %d s.", SILENT_SECONDS)
        else:
            super().exception(msg, *args, **kwargs)


def _options(config: WebhookConfig, host: str, port: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bind": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"],
        "workers": 1,
        "worker_class": _Threads,
        "threads": config.threads,
        "timeout": HUNG_SECONDS,
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


def _check_port(host: str, port: int) -> None:
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
