"""The command session-exporter."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from sessionmedic import service_file, service_log
from sessionmedic._version import __version__
from sessionmedic.errors import SessionMedicError

from . import config as configuration
from . import http
from .app import Exporter

EXIT_WRONG_CONFIG = 2
EXIT_CANNOT_RUN = 1

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 cannot run, 2 wrong configuration or command line."""
    options = _parser().parse_args(arguments)
    try:
        config = configuration.load(options.config_file)
        host, port = service_file.listen_address(options.listen_address or config.listen_address)
    except SessionMedicError as error:
        print(f"session-exporter: {error}", file=sys.stderr)
        return EXIT_WRONG_CONFIG
    if options.check_config:
        print(f"{options.config_file}: {len(config.backends)} backends, correct.")
        return 0
    service_log.configure(config.log_format, config.log_level)
    for secret in config.secrets():
        service_log.register_secret(secret)
    try:
        return _run(config, host, port)
    except SessionMedicError as error:
        _log.critical("%s", error)
        return EXIT_CANNOT_RUN


def _run(config: configuration.ExporterConfig, host: str, port: int) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    exporter = Exporter(config)
    try:
        server = http.Server(host, port, exporter.pages())
    except OSError as error:
        _log.critical("Cannot listen on %s port %d: %s.", host, port, error.strerror)
        return EXIT_CANNOT_RUN
    serving = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    exporter.start()
    serving.start()
    _log.info("Listening on %s port %d, watching %d backends.", host, server.port, len(config.backends))
    stopping.wait()
    _log.info("Stopping.")
    server.shutdown()
    server.server_close()
    exporter.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="session-exporter", description="Per-session Prometheus metrics of WhatsApp backends.", allow_abbrev=False
    )
    parser.add_argument("--config.file", dest="config_file", required=True, metavar="FILE", help="YAML, see docs.")
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default="",
        metavar="HOST:PORT",
        help="instead of listen_address in the file",
    )
    parser.add_argument("--check-config", action="store_true", help="check the file and exit")
    parser.add_argument("--version", action="version", version=f"session-exporter {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
