"""The exporter's pages. Knows how to serve text, not what is in it."""

from __future__ import annotations

import gzip
import html
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from prometheus_client.exposition import choose_encoder

# A scrape takes well under a second; these are for clients that open a connection and say nothing.
IDLE_SECONDS = 30.0
MAX_CONNECTIONS = 64
# Below this gzip costs more than it saves.
_GZIP_BYTES = 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackendLine:
    """A row of the landing page."""

    name: str
    result: str
    sessions: int


class Pages:
    """What the server serves.

    :param metrics: the exposition, given whether in OpenMetrics and whether compressed.
    :param unhealthy: why it should be restarted, empty when it should not.
    :param not_ready: why scrapes and traffic should wait, empty when they should not.
    :param may_scrape: whether counters are as far as an earlier run had shown them.
    """

    def __init__(
        self,
        metrics: Callable[[bool, bool], bytes],
        backends: Callable[[], Sequence[BackendLine]],
        unhealthy: Callable[[], str],
        not_ready: Callable[[], str],
        may_scrape: Callable[[], bool],
    ) -> None:
        self.metrics = metrics
        self.backends = backends
        self.unhealthy = unhealthy
        self.not_ready = not_ready
        self.may_scrape = may_scrape

    def landing(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(line.name)}</td><td>{line.sessions}</td><td>{html.escape(line.result)}</td></tr>\n"
            for line in self.backends()
        )
        return (
            "<!DOCTYPE html>\n"
            '<html lang="en"><head><meta charset="utf-8"><title>session-exporter</title></head>\n'
            "<body><h1>session-exporter</h1>\n"
            "<p>WhatsApp sessions for Prometheus, from logs and REST APIs.</p>\n"
            '<ul><li><a href="/metrics">Metrics</a></li><li><a href="/-/healthy">Healthy</a></li>'
            '<li><a href="/-/ready">Ready</a></li></ul>\n'
            f"<table><tr><th>Backend</th><th>Sessions</th><th>Last poll</th></tr>\n{rows}</table>\n"
            "</body></html>\n"
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "session-exporter"
    sys_version = ""
    timeout = IDLE_SECONDS
    pages: Pages

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/":
            self._send(200, "text/html; charset=utf-8", self.pages.landing().encode())
        elif path == "/-/healthy":
            reason = self.pages.unhealthy()
            self._text(503 if reason else 200, reason or "Healthy.")
        elif path == "/-/ready":
            reason = self.pages.not_ready()
            self._text(503 if reason else 200, reason or "Ready.")
        else:
            self._text(404, "Not found. See /.")

    do_HEAD = do_GET

    def _metrics(self) -> None:
        if not self.pages.may_scrape():
            self._text(503, "Reading what the logs got while the exporter was away.")
            return
        _, content_type = choose_encoder(self.headers.get("Accept", ""))
        openmetrics = content_type.startswith("application/openmetrics-text")
        packed = _accepts_gzip(self.headers.get("Accept-Encoding", ""))
        self._send(200, content_type, self.pages.metrics(openmetrics, packed), "gzip" if packed else "")

    def _text(self, status: int, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _send(self, status: int, content_type: str, body: bytes, encoding: str = "") -> None:
        if not encoding and len(body) >= _GZIP_BYTES and _accepts_gzip(self.headers.get("Accept-Encoding", "")):
            body, encoding = gzip.compress(body, 1), "gzip"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Vary", "Accept, Accept-Encoding")
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("%s %s", self.address_string(), format % args)

    def address_string(self) -> str:
        return str(self.client_address[0])


class Server(ThreadingHTTPServer):
    """Serves Pages; the caller runs ``serve_forever``.

    :raises OSError: the address cannot be had.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self._free = threading.Semaphore(MAX_CONNECTIONS)
        super().__init__((host, port), type("Handler", (_Handler,), {"pages": pages}))

    @property
    def port(self) -> int:
        """The port it listens on, also when any was asked for."""
        return int(self.socket.getsockname()[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        # Each connection has a thread: a limit on one is a limit on the other.
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A scraper that gives up breaks its connection; the traceback would say no more.
        _log.debug("Connection of %s broke.", client_address[0], exc_info=True)


def _accepts_gzip(header: str) -> bool:
    for part in header.split(","):
        name, _, parameters = part.strip().partition(";")
        if name.strip().lower() == "gzip":
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
