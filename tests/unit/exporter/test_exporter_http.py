"""The exporter's pages, asked for over real connections."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from session_exporter import http as exporter_http
from session_exporter.http import BackendLine, Pages, Server

TEXT = "text/plain; version=0.0.4; charset=utf-8"
# What Prometheus 2.42 sends.
PROMETHEUS_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


class Site:
    """A server and what it serves, changed by the test."""

    def __init__(self) -> None:
        self.not_ready = self.unhealthy = ""
        self.may_scrape = True
        self.asked: list[tuple[bool, bool]] = []
        pages = Pages(
            self.metrics, self.backends, lambda: self.unhealthy, lambda: self.not_ready, lambda: self.may_scrape
        )
        self.server = Server("127.0.0.1", 0, pages)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def metrics(self, openmetrics: bool, packed: bool) -> bytes:
        self.asked.append((openmetrics, packed))
        return gzip.compress(b"metric 1\n") if packed else b"metric 1\n"

    def backends(self) -> list[BackendLine]:
        return [BackendLine("shop", "The backend <b>answered</b> HTML & more.", 3)] * 30

    def get(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.content = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def answers(site: Site) -> bool:
    try:
        return site.get("/-/healthy").status == 200
    except (OSError, http.client.HTTPException):
        return False


def becomes(look: Callable[[], bool], wanted: bool) -> None:
    deadline = time.monotonic() + 20
    while look() is not wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def content(answer: http.client.HTTPResponse) -> bytes:
    body: bytes = answer.content  # type: ignore[attr-defined]
    return body


@pytest.mark.parametrize(
    ("accept", "openmetrics", "content_type"),
    [
        ("", False, TEXT),
        ("*/*", False, TEXT),
        ("text/plain;version=0.0.4", False, TEXT),
        (PROMETHEUS_ACCEPT, True, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"),
    ],
)
def test_the_format_is_what_the_scraper_accepts(site: Site, accept: str, openmetrics: bool, content_type: str) -> None:
    answer = site.get("/metrics", Accept=accept)
    assert (answer.status, answer.getheader("Content-Type")) == (200, content_type)
    assert site.asked == [(openmetrics, False)]


@pytest.mark.parametrize(
    ("encodings", "packed"),
    [("", False), ("gzip", True), ("deflate, GZIP;q=1.0", True), ("gzip;q=0", False), ("gzip; q=0.0", False)],
)
def test_it_compresses_when_asked(site: Site, encodings: str, packed: bool) -> None:
    answer = site.get("/metrics", Accept_Encoding=encodings)
    assert answer.getheader("Content-Encoding") == ("gzip" if packed else None)
    assert content(answer) == b"metric 1\n" or gzip.decompress(content(answer)) == b"metric 1\n"
    assert site.asked == [(False, packed)]


def test_it_is_healthy_while_not_ready(site: Site) -> None:
    site.not_ready = "Not polled yet: shop."
    assert site.get("/-/healthy").status == 200
    answer = site.get("/-/ready")
    assert (answer.status, content(answer)) == (503, b"Not polled yet: shop.\n")
    site.not_ready = ""
    assert site.get("/-/ready").status == 200


def test_it_is_unhealthy_when_a_part_has_ended(site: Site) -> None:
    site.unhealthy = "Ended unexpectedly: logs."
    answer = site.get("/-/healthy")
    assert (answer.status, content(answer)) == (503, b"Ended unexpectedly: logs.\n")


def test_no_counter_is_shown_before_it_is_as_far_as_it_was(site: Site) -> None:
    site.may_scrape = False
    assert site.get("/metrics").status == 503
    assert site.asked == []


def test_the_landing_page_links_and_lists_and_escapes(site: Site) -> None:
    answer = site.get("/", Accept_Encoding="gzip")
    text = gzip.decompress(content(answer)).decode()
    for link in ("/metrics", "/-/healthy", "/-/ready"):
        assert f'href="{link}"' in text
    assert "<td>shop</td><td>3</td><td>The backend &lt;b&gt;answered&lt;/b&gt; HTML &amp; more.</td>" in text


@pytest.mark.parametrize("path", ["/nothing", "/metrics/"])
def test_other_pages_are_not_found(site: Site, path: str) -> None:
    assert site.get(path).status == 404


def test_a_query_does_not_matter(site: Site) -> None:
    assert site.get("/metrics?x=1").status == 200


def test_only_reading_is_possible(site: Site) -> None:
    assert site.get("/metrics", "POST").status == 501
    answer = site.get("/metrics", "HEAD")
    assert (answer.status, answer.getheader("Content-Length"), content(answer)) == (200, "9", b"")


def test_a_connection_is_kept_for_the_next_scrape(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/metrics")
        own = connection.sock
        assert connection.getresponse().read() == b"metric 1\n"
        assert connection.sock is own
    connection.close()


def test_clients_that_say_nothing_cannot_take_all_threads(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_http, "MAX_CONNECTIONS", 4)
    other = Site()
    silent = [socket.create_connection(("127.0.0.1", other.server.port)) for _ in range(4)]
    try:
        # One that sends half a request shows that the first four were taken.
        for client in silent:
            client.sendall(b"GET /metr")
        becomes(lambda: answers(other), False)
        silent.pop().close()
        becomes(lambda: answers(other), True)
    finally:
        for client in silent:
            client.close()
        other.close()


def test_an_occupied_port_is_an_error(site: Site) -> None:
    with pytest.raises(OSError):
        Server("127.0.0.1", site.server.port, Pages(site.metrics, site.backends, str, str, bool))
