"""A real HTTP server that answers what a test tells it: for answers that no real backend gives on demand."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

Reply = tuple[int, Any]


class ScriptedBackend:
    """Answers by ``answer(method, path, headers) -> (status, body)``; a body that is not bytes is sent as JSON.

    :ivar calls: "METHOD path" of every request, in order.
    """

    def __init__(self, answer: Callable[[str, str, Any], Reply], delay: float = 0.0) -> None:
        self.calls: list[str] = []
        self.answer = answer
        self.delay = delay
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def _reply(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                owner.calls.append(f"{self.command} {self.path}")
                time.sleep(owner.delay)
                status, body = owner.answer(self.command, self.path, self.headers)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = _reply

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet: the calls are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ScriptedBackend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
