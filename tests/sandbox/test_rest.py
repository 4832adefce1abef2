"""The Whaticket dialect, and the faults of the API itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from .conftest import SESSIONS, MakeSandbox
from .sandbox import EMAIL, PASSWORD, Sandbox, wait_for


def test_the_list_shows_every_session_and_no_creds(sandbox: Sandbox) -> None:
    rows = sandbox.call("GET", "/whatsapp").json()
    assert [row["id"] for row in rows] == SESSIONS
    assert set(rows[0]) == {"id", "name", "status", "qrcode", "isDefault", "updatedAt", "companyId", "channel"}
    assert rows[0]["name"] == "loja-2"
    assert rows[0]["isDefault"] is True
    assert sandbox.call("GET", "/whatsapp/2").json() == rows[0]


def test_a_wrong_password_is_refused(sandbox: Sandbox) -> None:
    for body in ({"email": EMAIL, "password": "wrong"}, {"email": EMAIL}, {}, {"email": EMAIL, "password": [PASSWORD]}):
        answer = requests.post(f"{sandbox.api}/auth/login", json=body, timeout=10)
        assert (answer.status_code, answer.json()) == (401, {"error": "ERR_INVALID_CREDENTIALS"})


def test_a_call_needs_a_good_token(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.api}/whatsapp", timeout=10)
    assert (answer.status_code, answer.json()) == (401, {"error": "ERR_UNAUTHORIZED"})
    for token in ("Bearer nonsense", "Bearer ", "nonsense"):
        answer = requests.get(f"{sandbox.api}/whatsapp", headers={"Authorization": token}, timeout=10)
        assert (answer.status_code, answer.json()) == (403, {"error": "ERR_SESSION_EXPIRED"})


def test_the_cookie_refreshes_the_token(sandbox: Sandbox) -> None:
    with requests.Session() as http:
        http.post(f"{sandbox.api}/auth/login", json={"email": EMAIL, "password": PASSWORD}, timeout=10)
        answer = http.post(f"{sandbox.api}/auth/refresh_token", timeout=10)
        assert answer.status_code == 200
        authorization = {"Authorization": f"Bearer {answer.json()['token']}"}
        assert http.get(f"{sandbox.api}/whatsapp", headers=authorization, timeout=10).status_code == 200
        # the cookie's own token is not one to call with
        authorization = {"Authorization": f"Bearer {http.cookies['jrt']}"}
        assert http.get(f"{sandbox.api}/whatsapp", headers=authorization, timeout=10).status_code == 403
    assert requests.post(f"{sandbox.api}/auth/refresh_token", timeout=10).status_code == 401


@pytest.mark.parametrize("session", ["99", "abc", "%2e%2e%2f%2e%2e", "*", "26 27", "9" * 300, "0x1a", "26.0"])
def test_an_unknown_id_is_not_found(sandbox: Sandbox, session: str) -> None:
    for method, path in (("GET", ""), ("PUT", "/disconnect"), ("PUT", "/start-session")):
        answer = sandbox.call(method, f"/whatsapp/{session}{path}")
        assert (answer.status_code, answer.json()) == (404, {"error": "ERR_NO_WAPP_FOUND"})


def test_an_unknown_route_is_answered_with_a_page(sandbox: Sandbox) -> None:
    answer = sandbox.call("DELETE", "/whatsappsession/26")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "Cannot DELETE /whatsappsession/26" in answer.text


def test_disconnect_keeps_creds_and_start_uses_them(sandbox: Sandbox) -> None:
    creds = sandbox.folder(26) / "creds.json"
    before = creds.read_bytes()
    sandbox.disconnect(26)
    assert sandbox.status(26) == "DISCONNECTED"
    assert creds.read_bytes() == before
    sandbox.disconnect(26)  # once more is no error
    sandbox.start_session(26)
    sandbox.assert_decrypts(26)


def test_a_token_expires(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox(sessions=[2], token_seconds=1)
    running.login()
    assert running.call("GET", "/whatsapp").status_code == 200
    wait_for("the token to expire", lambda: running.call("GET", "/whatsapp").status_code == 403, seconds=5)
    assert running.call("GET", "/whatsapp").json() == {"error": "ERR_SESSION_EXPIRED"}


class TestApiFaults:
    @pytest.fixture
    def faulty(self, sandbox: Sandbox) -> Iterator[Sandbox]:
        sandbox.login()
        yield sandbox
        sandbox.control_post("/api/fault", {"kind": None})
        assert sandbox.call("GET", "/whatsapp").status_code == 200

    def test_a_page_instead_of_json(self, faulty: Sandbox) -> None:
        faulty.control_post("/api/fault", {"kind": "html"})
        answer = faulty.call("GET", "/whatsapp")
        assert answer.status_code == 502
        assert "<h1>502 Bad Gateway</h1>" in answer.text

    def test_500(self, faulty: Sandbox) -> None:
        faulty.control_post("/api/fault", {"kind": "500"})
        assert faulty.call("GET", "/whatsapp").status_code == 500

    def test_half_a_document(self, faulty: Sandbox) -> None:
        faulty.control_post("/api/fault", {"kind": "half_json"})
        answer = faulty.call("GET", "/whatsapp")
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.JSONDecodeError):
            answer.json()

    def test_slow(self, faulty: Sandbox) -> None:
        faulty.control_post("/api/fault", {"kind": "slow"})
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(f"{faulty.api}/whatsapp", timeout=1)

    def test_down_and_up_again_on_the_same_port(self, faulty: Sandbox) -> None:
        faulty.control_post("/api/fault", {"kind": "down", "seconds": 1})
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{faulty.api}/whatsapp", timeout=5)

        def is_up() -> bool:
            try:
                return requests.get(f"{faulty.api}/whatsapp", timeout=5).status_code == 401
            except requests.exceptions.ConnectionError:
                return False

        wait_for("the API to come back", is_up, seconds=10)

    def test_an_answer_without_an_effect(self, faulty: Sandbox) -> None:
        faulty.control_post("/api/fault", {"kind": "no_effect"})
        before = faulty.touched(2)["api_calls"]
        assert faulty.call("PUT", "/whatsapp/2/disconnect").status_code == 200
        assert faulty.status(2) == "CONNECTED"
        assert faulty.session(2)["sockets_alive"] == 1
        assert faulty.touched(2)["api_calls"] == before + 1

    def test_an_unknown_kind_is_refused(self, faulty: Sandbox) -> None:
        answer = requests.post(f"{faulty.control}/control/api/fault", json={"kind": "nonsense"}, timeout=10)
        assert answer.status_code == 400


def test_times_are_in_seconds_since_the_epoch(sandbox: Sandbox) -> None:
    before = time.time()
    at = sandbox.control_post("/touched/reset")["at"]
    assert before - 1 <= at <= time.time() + 1
