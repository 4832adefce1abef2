"""The two ends of the chain: what Prometheus reads, and where Alertmanager posts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeVar

DEADLINE_SECONDS = 60.0

T = TypeVar("T")
E = TypeVar("E", bound="Endpoint")


def eventually(look: Callable[[], T], what: str) -> T:
    """The first true answer of ``look``; AssertionError naming ``what`` when none comes in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not seen within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(0.1)


class Endpoint:
    """An HTTP server on a free port; use as a context manager."""

    def __init__(self) -> None:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(endpoint.get(self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                endpoint.post(self.path, self.headers.get("Authorization", ""), body)
                self._answer("")

            def _answer(self, text: str) -> None:
                body = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.port = int(self._server.server_address[1])

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def get(self, authorization: str) -> str:
        return ""

    def post(self, path: str, authorization: str, body: bytes) -> None:
        pass

    def __enter__(self: E) -> E:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; harmless when it has stopped."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Metrics(Endpoint):
    """An exporter whose series are set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self._series: dict[str, float] = {}
        self._lock = threading.Lock()

    def update(self, series: Mapping[str, float | None]) -> None:
        """Set series (name with labels to value) at once; None takes one away."""
        with self._lock:
            for name, value in series.items():
                if value is None:
                    self._series.pop(name, None)
                else:
                    self._series[name] = value

    def get(self, authorization: str) -> str:
        with self._lock:
            return "".join(f"{name} {value}\n" for name, value in self._series.items())


class Receiver(Endpoint):
    """A webhook that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._received: list[tuple[str, str, dict[str, Any]]] = []
        self.scraped_with: list[str] = []

    def get(self, authorization: str) -> str:
        self.scraped_with.append(authorization)
        return ""

    def post(self, path: str, authorization: str, body: bytes) -> None:
        self._received.append((path, authorization, json.loads(body)))

    def payloads(self, status: str = "firing", **labels: str) -> list[dict[str, Any]]:
        """Payloads of that status in which every alert has these labels."""
        return [payload for _, _, payload in self.requests(status, **labels)]

    def requests(self, status: str = "firing", **labels: str) -> list[tuple[str, str, dict[str, Any]]]:
        """The same with path and Authorization header: (path, header, payload)."""
        return [
            request
            for request in list(self._received)
            if request[2]["status"] == status
            and all(labels.items() <= alert["labels"].items() for alert in request[2]["alerts"])
        ]
