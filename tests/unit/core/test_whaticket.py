"""The Whaticket adapter against a real HTTP server that answers as ticketz was recorded, and badly."""

import socket
import threading
from typing import Any

import pytest

from sessionmedic.backends.registry import create
from sessionmedic.backends.whaticket import WhaticketBackend
from sessionmedic.config import BackendConfig
from sessionmedic.errors import (
    BackendAnswerError,
    BackendAuthError,
    BackendUnavailable,
    ConfigError,
    InvalidName,
    UnknownSession,
)
from sessionmedic.http import Transport
from sessionmedic.models import ConnectionState
from tests.http_backend import Reply, ScriptedBackend
from tests.services import free_port

ROW = {"id": 26, "name": "loja-26", "status": "CONNECTED", "companyId": 1, "updatedAt": "2026-11-21T00:50:34.000Z"}
# What ticketz answers on a route that it does not have.
HTML_404 = b'<!DOCTYPE html>\n<html lang="en"><body><pre>Cannot PUT /whatsapp/1/disconnect</pre></body></html>\n'
LOGIN = {"type": "login", "username": "admin@ticketz.host", "password": "MARKED-PASSWORD"}


def backend(url: str, **options: Any) -> WhaticketBackend:
    config = BackendConfig.from_mapping("loja", {"url": url, "read_timeout": 0.5, **options})
    transport = Transport(url, config.connect_timeout, config.read_timeout, retry_base=0.01)
    return WhaticketBackend(config, transport)


class Whaticket:
    """Answers as ticketz does: 401 without a token, 403 for one that ended."""

    def __init__(self, rows: "list[dict[str, Any]]") -> None:
        self.rows = rows
        self.token = "t1"
        self.password_ok = True

    def __call__(self, method: str, path: str, headers: Any) -> Reply:
        if path == "/auth/login":
            return (200, {"token": self.token}) if self.password_ok else (401, {"error": "ERR_INVALID_CREDENTIALS"})
        if not headers.get("Authorization"):
            return 401, {"error": "ERR_UNAUTHORIZED"}
        if headers["Authorization"] != f"Bearer {self.token}":
            return 403, {"error": "ERR_SESSION_EXPIRED"}
        if path == "/whatsapp":
            return 200, self.rows
        found = [row for row in self.rows if path.split("/")[2] == str(row["id"])]
        return (200, found[0]) if found else (404, {"error": "ERR_NO_WAPP_FOUND"})


def test_lists_sessions_with_one_call_after_login() -> None:
    with ScriptedBackend(Whaticket([ROW, {"id": 27, "status": "qrcode"}])) as server:
        adapter = backend(server.url, auth=LOGIN)
        first, second = adapter.list_sessions()
        assert (first.id, first.name, first.company, first.state) == ("26", "loja-26", "1", ConnectionState.CONNECTED)
        assert first.updated_at == 1795222234.0
        assert second.state is ConnectionState.QR_REQUIRED
        adapter.list_sessions()
        assert server.calls == ["POST /auth/login", "GET /whatsapp", "GET /whatsapp"]
        adapter.close()


def test_logs_in_again_when_the_token_has_ended() -> None:
    answers = Whaticket([ROW])
    with ScriptedBackend(answers) as server:
        adapter = backend(server.url, auth=LOGIN)
        adapter.list_sessions()
        answers.token = "t2"
        assert adapter.get_session("26").id == "26"
        assert server.calls.count("POST /auth/login") == 2
        adapter.close()


def test_a_wrong_password_is_said_without_showing_it() -> None:
    answers = Whaticket([ROW])
    answers.password_ok = False
    with ScriptedBackend(answers) as server:
        adapter = backend(server.url, auth=LOGIN)
        with pytest.raises(BackendAuthError, match="refuses our user name or password") as caught:
            adapter.list_sessions()
        assert "MARKED" not in str(caught.value)
        adapter.close()


def test_a_missing_login_is_named() -> None:
    with ScriptedBackend(Whaticket([ROW])) as server:
        adapter = backend(server.url)
        with pytest.raises(BackendAuthError, match="HTTP 401"):
            adapter.list_sessions()
        adapter.close()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>login</html>", "answered HTML"),
        (200, b'[{"id": 26, "sta', "no whole JSON document"),
        (200, b"", "answered nothing"),
        (200, {"hello": 1}, "did not answer a list"),
        (200, [{"name": "x"}], "session without an id"),
        (200, [{"id": "../../etc"}], "is not valid"),
        (500, {"error": "x"}, "HTTP 500 when asked to list its sessions"),
        (302, b"", "HTTP 302"),
    ],
)
def test_an_answer_outside_the_contract_is_named(status: int, body: Any, message: str) -> None:
    with ScriptedBackend(lambda *_: (status, body)) as server:
        adapter = backend(server.url)
        with pytest.raises(BackendAnswerError) as caught:
            adapter.list_sessions()
        assert message in str(caught.value)
        adapter.close()


def test_a_backend_that_is_down_is_named() -> None:
    port = free_port()
    adapter = backend(f"http://127.0.0.1:{port}")
    with pytest.raises(BackendUnavailable, match=f"127.0.0.1:{port} cannot be reached"):
        adapter.list_sessions()
    adapter.close()


def test_reads_are_repeated_three_times() -> None:
    answers = iter([(503, b""), (503, b""), (502, b""), (200, [ROW])])
    with ScriptedBackend(lambda *_: next(answers)) as server:
        adapter = backend(server.url)
        assert len(adapter.list_sessions()) == 1
        assert len(server.calls) == 4
        adapter.close()


def test_a_slow_backend_is_given_up_and_named() -> None:
    with ScriptedBackend(lambda *_: (200, [ROW]), delay=0.8) as server:
        config = BackendConfig.from_mapping("loja", {"url": server.url})
        adapter = WhaticketBackend(config, Transport(server.url, 1.0, 0.2, retries=0))
        with pytest.raises(BackendUnavailable, match="did not answer within 0.2 s"):
            adapter.list_sessions()
        adapter.close()


def test_a_backend_that_drips_is_given_up() -> None:
    """Each byte comes within the read timeout, the answer never does."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection = server.accept()[0]
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        transport = Transport(f"http://127.0.0.1:{server.getsockname()[1]}", 0.2, 0.3, retries=0)
        with pytest.raises(BackendUnavailable, match="did not answer within 0.3 s"):
            transport.call("GET", "/whatsapp")
        ended.set()
        thread.join()
        transport.close()


def test_start_is_sent_once_and_silence_is_no_failure() -> None:
    with ScriptedBackend(lambda *_: (200, {}), delay=0.8) as server:
        adapter = backend(server.url)
        adapter.start("26")
        assert server.calls == ["PUT /whatsapp/26/start-session"]
        adapter.close()


def test_start_that_fails_is_not_repeated() -> None:
    with ScriptedBackend(lambda *_: (503, b"")) as server:
        adapter = backend(server.url)
        with pytest.raises(BackendAnswerError, match="HTTP 503 when asked to start session 26"):
            adapter.start("26")
        assert len(server.calls) == 1
        adapter.close()


def test_disconnecting_what_has_no_socket_is_no_error() -> None:
    with ScriptedBackend(lambda *_: (400, {"error": "ERR_WAPP_NOT_INITIALIZED"})) as server:
        adapter = backend(server.url)
        adapter.disconnect("26")
        assert server.calls == ["PUT /whatsapp/26/disconnect"]
        adapter.close()


def test_a_route_that_the_backend_does_not_have_is_not_an_unknown_session() -> None:
    with ScriptedBackend(lambda *_: (404, HTML_404)) as server:
        adapter = backend(server.url)
        with pytest.raises(BackendAnswerError, match="HTTP 404"):
            adapter.disconnect("26")
        with pytest.raises(BackendAnswerError, match="HTML"):
            adapter.get_session("26")
        adapter.close()


def test_an_unknown_session_is_named() -> None:
    with ScriptedBackend(Whaticket([ROW])) as server:
        adapter = backend(server.url, auth=LOGIN)
        for call in (adapter.get_session, adapter.disconnect, adapter.start):
            with pytest.raises(UnknownSession, match="has no session 999"):
                call("999")
        adapter.close()


def test_routes_and_states_are_options() -> None:
    def answer(method: str, path: str, headers: Any) -> Reply:
        return 200, {**ROW, "status": "PENDING"}

    with ScriptedBackend(answer) as server:
        adapter = backend(
            server.url,
            routes={"disconnect": "DELETE /whatsappsession/{id}", "start": "POST /whatsappsession/{id}"},
            states={"pending": "qr_required"},
        )
        adapter.disconnect("26")
        adapter.start("26")
        assert server.calls == ["DELETE /whatsappsession/26", "POST /whatsappsession/26"]
        assert adapter.get_session("26").state is ConnectionState.QR_REQUIRED
        adapter.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"routes": {"restart": "PUT /x"}}, "route 'restart' is not known"),
        ({"routes": {"start": "/x"}}, "is not a method and a path"),
        ({"routes": {"start": "PUT http://elsewhere/x"}}, "is not a method and a path"),
        ({"states": {"UP": "online"}}, "no connection state"),
        ({"kind": "telegram"}, "kind 'telegram' is not known. Use one of whaticket."),
    ],
)
def test_wrong_options_are_named(options: "dict[str, Any]", message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create(BackendConfig.from_mapping("loja", options))
    assert message in str(caught.value)


def test_a_hostile_id_never_reaches_a_path() -> None:
    with ScriptedBackend(lambda *_: (200, {})) as server:
        adapter = backend(server.url)
        for call in (adapter.get_session, adapter.disconnect, adapter.start):
            with pytest.raises(InvalidName):
                call("../auth/login?x=")
        assert server.calls == []
        adapter.close()
