"""What the webhook answers to right and wrong requests; nobody works on what it accepts."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alert_webhook.auth import hash_password
from alert_webhook.server import SILENT_SECONDS
from tests.integration.alert_webhook.stand import Stand, Webhook, alert, basic, payload, until
from tests.services import RedisServer, ServiceError

USER, PASSWORD = "ana", "uma senha com espaços"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stand, Webhook]]:
    """A webhook without a worker."""
    folder: Path = tmp_path_factory.mktemp("http")
    with RedisServer(folder / "redis") as redis:
        stand = Stand(folder, redis)
        users = folder / "users"
        users.touch(mode=0o600)
        users.write_text(f"# who may\n{USER}:{hash_password(PASSWORD)}\n")
        auth = {"bearer_token_file": str(stand.token_file), "basic_users_file": str(users)}
        try:
            yield stand, stand.webhook(stand.configure(auth=auth, cooldown_seconds=300))
        finally:
            stand.stop()


@pytest.mark.parametrize("path", ["/alerts", "/api/pause", "/api/resume"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_everything_but_health_wants_the_secret(office: tuple[Stand, Webhook], method: str, path: str) -> None:
    stand, webhook = office
    for wrong in ("", "Bearer ", "Bearer x", f"Bearer {stand.token}x", f"Basic {stand.token}", basic("ana", "x")):
        status, headers, body = stand.ask(webhook, method, path, Authorization=wrong)
        assert status in (401, 405), wrong
        if status == 401:
            assert headers["WWW-Authenticate"].startswith(("Bearer realm=", "Basic realm="))
            assert json.loads(body) == {"error": "The secret is missing or wrong."}


def test_pages_and_metrics_want_the_secret(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    for path in ("/", "/metrics", "/api/remediations", "/api/remediations/00000000-0000-0000-0000-000000000000", "/x"):
        assert stand.ask(webhook, "GET", path, Authorization="")[0] == 401
    assert stand.ask(webhook, "GET", "/-/healthy", Authorization="")[0] == 200


def test_a_password_is_checked_slowly_once_and_then_remembered(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office

    def ask(user: str, password: str) -> tuple[int, float]:
        began = time.monotonic()
        status = stand.ask(webhook, "GET", "/api/remediations", Authorization=basic(user, password))[0]
        return status, time.monotonic() - began

    first = ask(USER, PASSWORD)
    again = min(ask(USER, PASSWORD) for _ in range(5))
    assert first[0] == again[0] == 200
    wrong = [ask(user, password) for user, password in ((USER, "x"), (USER, ""), ("nobody", PASSWORD), ("", ""))]
    assert {status for status, _ in wrong} == {401}
    # Nobody can tell by the time whether a user exists, and a wrong password is never remembered.
    assert min(seconds for _, seconds in wrong) > 2 * again[1]


def test_who_asked_is_kept(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    body = json.dumps(payload(alert("asked"))).encode()
    assert stand.ask(webhook, "POST", "/alerts", body, Authorization=basic(USER, PASSWORD))[0] == 202
    record = next(one for one in stand.remediations(webhook) if one["session"] == "asked")
    assert record["asked_by"] == "webhook:ana"
    assert record["started_at"] is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"version": "4", "alerts": [', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not Alertmanager's"),
        (b"{}", "version"),
        (b'{"version": "4"}', "alerts"),
        (b'{"version": "4", "alerts": []}', "no alerts"),
        (b'{"version": "4", "alerts": "x"}', "alerts"),
        (b'{"version": "3", "alerts": [{}]}', "version '3'"),
        (b'{"version": 4, "alerts": [{}]}', "version"),
        (b'{"version": "4", "alerts": [{}]}', ""),
        (b'\xff\xfe{"version": "4"}', "not JSON"),
    ],
)
def test_a_payload_that_is_none_is_refused(office: tuple[Stand, Webhook], body: bytes, said: str) -> None:
    stand, webhook = office
    status, headers, answer = stand.ask(webhook, "POST", "/alerts", body)
    assert status == 400
    assert headers["Content-Type"] == "application/json"
    assert said in json.loads(answer).get("error", "")


def test_five_megabytes_are_refused_before_they_are_read(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    status, _, body = stand.ask(webhook, "POST", "/alerts", b" " * 5 * 1024 * 1024)
    assert (status, json.loads(body)) == (413, {"error": "The body is larger than 1048576 bytes."})
    # The length alone is enough: nothing of the body has been sent yet.
    with socket.create_connection(("127.0.0.1", webhook.port), timeout=10) as client:
        head = ["POST /alerts HTTP/1.1", "Host: x", f"Authorization: Bearer {stand.token}", "Content-Length: 5242880"]
        client.sendall("\r\n".join([*head, "", ""]).encode())
        assert client.recv(64).startswith(b"HTTP/1.1 413 ")
    # One byte less than the limit is read, and is no JSON.
    assert stand.ask(webhook, "POST", "/alerts", b" " * 1024 * 1024)[0] == 400


def test_five_megabytes_in_chunks_are_refused_too(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    connection = http.client.HTTPConnection("127.0.0.1", webhook.port, timeout=20)
    headers = {"Authorization": f"Bearer {stand.token}"}
    connection.request("POST", "/alerts", iter([b" " * 65536] * 80), headers, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)) == (413, {"error": "The body is larger than 1048576 bytes."})
    connection.close()


def test_a_request_is_answered_while_others_are_slow(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    clients = [socket.create_connection(("127.0.0.1", webhook.port), timeout=20) for _ in range(25)]
    for client in clients:
        client.sendall(b"POST /alerts HTTP/1.1\r\n")
    began = time.monotonic()
    assert stand.ask(webhook, "GET", "/-/healthy")[0] == 200
    assert time.monotonic() - began < SILENT_SECONDS
    # They do not keep their threads for ever.
    clients[0].settimeout(2 * SILENT_SECONDS)
    assert clients[0].recv(64) == b""
    for client in clients:
        client.close()


def test_without_a_worker_it_is_healthy_and_not_ready(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    assert webhook.request("GET", "/-/healthy") == (200, b"healthy\n")
    assert webhook.request("GET", "/-/ready") == (503, b"no worker\n")
    assert b"whatsapp_remediation_workers 0.0" in stand.ask(webhook, "GET", "/metrics")[2]


def test_the_age_of_the_queue_is_that_of_its_oldest_job(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    stand.post(webhook, alert("waits"))
    accepted = min(one["accepted_at"] for one in stand.remediations(webhook))

    def age() -> float:
        shown = stand.ask(webhook, "GET", "/metrics")[2].decode()
        return float(shown.partition("\nwhatsapp_remediation_queue_age_seconds ")[2].partition("\n")[0])

    until(lambda: age() > 0.5, 5, "the queue to age")
    assert abs(age() - (time.time() - accepted)) < 2


def test_while_paused_nothing_is_queued_and_it_is_counted(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    assert stand.json(webhook, "POST", "/api/pause", {"reason": "provider is <down>"})[1] == {"paused": True}
    status, answer = stand.post(webhook, alert("paused"))
    assert status == 202
    assert (answer["results"][0]["result"], answer["results"][0]["reason"]) == ("refused", "paused")
    shown = stand.ask(webhook, "GET", "/metrics")[2]
    assert b"whatsapp_remediation_paused 1.0" in shown
    assert b'whatsapp_remediations_refused_total{backend="shop",reason="paused"} 1.0' in shown
    assert b"provider is &lt;down&gt;" in stand.ask(webhook, "GET", "/")[2]
    assert stand.json(webhook, "POST", "/api/resume")[1] == {"paused": False, "was_paused": True}
    assert stand.json(webhook, "POST", "/api/resume")[1] == {"paused": False, "was_paused": False}
    assert stand.post(webhook, alert("paused"))[1]["results"][0]["result"] == "accepted"
    assert stand.json(webhook, "POST", "/api/pause", ["x"])[0] == 400
    assert stand.json(webhook, "POST", "/api/pause", {"reason": 5})[0] == 400


def test_another_site_cannot_have_a_browser_pause_repairs(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    for site, expected in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert stand.ask(webhook, "POST", "/api/resume", Sec_Fetch_Site=site)[0] == expected, site


def test_a_session_that_was_repaired_just_now_is_left_alone(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    from sessionmedic import brakes

    brakes.start_cooldown(stand.client, "shop", "cool", 60)
    answer = stand.post(webhook, alert("cool"))[1]["results"][0]
    assert (answer["result"], answer["reason"]) == ("refused", "cooldown")
    assert stand.post(webhook, alert("warm"))[1]["results"][0]["result"] == "accepted"


def test_the_list_is_newest_first_and_as_long_as_asked(office: tuple[Stand, Webhook]) -> None:
    stand, webhook = office
    for number in range(3):
        stand.post(webhook, alert(f"listed-{number}"))
    sessions = [one["session"] for one in stand.json(webhook, "GET", "/api/remediations?limit=2")[1]["remediations"]]
    assert sessions == ["listed-2", "listed-1"]
    for wrong in ("0", "501", "-1", "x", "", "1e3", "%D9%A3", "9" * 3000):
        status, answer = stand.json(webhook, "GET", f"/api/remediations?limit={wrong}")
        assert (status, answer["error"]) == (400, "limit is not a number from 1 to 500."), wrong
    record = stand.remediations(webhook)[0]
    assert stand.json(webhook, "GET", f"/api/remediations/{record['uuid']}")[1] == record
    for unknown in ("00000000-0000-0000-0000-000000000000", "x", "../pause"):
        assert stand.json(webhook, "GET", f"/api/remediations/{unknown}")[0] == 404


@pytest.mark.parametrize(
    ("query", "accept", "lang", "title"),
    [
        ("", "", "en", "Repairs of WhatsApp sessions"),
        ("", "pt-BR,pt;q=0.9,en;q=0.8", "pt-BR", "Reparos de sessões do WhatsApp"),
        ("", "de,en;q=0.5", "en", "Repairs of WhatsApp sessions"),
        ("?lang=pt", "en", "pt-BR", "Reparos de sessões do WhatsApp"),
        ("?lang=pt_BR", "en", "pt-BR", "Reparos de sessões do WhatsApp"),
        ("?lang=en", "pt", "en", "Repairs of WhatsApp sessions"),
        ("?lang=<script>", "pt", "pt-BR", "Reparos de sessões do WhatsApp"),
    ],
)
def test_the_status_page_speaks_two_languages(
    office: tuple[Stand, Webhook], query: str, accept: str, lang: str, title: str
) -> None:
    stand, webhook = office
    stand.post(webhook, alert("on-the-page", alertname="<script>alert(1)</script>"))
    status, headers, body = stand.ask(webhook, "GET", f"/{query}", Accept_Language=accept)
    page = body.decode()
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert f'<html lang="{lang}">' in page and f"<h1>{title}</h1>" in page
    assert "shop / on-the-page" in page
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page


def test_metrics_may_be_opened(stand: Stand) -> None:
    webhook = stand.webhook(stand.configure(open_metrics=True))
    assert stand.ask(webhook, "GET", "/metrics", Authorization="")[0] == 200
    assert stand.ask(webhook, "GET", "/api/remediations", Authorization="")[0] == 401


def test_metrics_are_what_prometheus_reads(office: tuple[Stand, Webhook]) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    stand, webhook = office
    text = stand.ask(webhook, "GET", "/metrics")[2].decode()
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert families["whatsapp_remediations"] == "counter"
    assert families["whatsapp_remediation_duration_seconds"] == "histogram"
    open_metrics = stand.ask(webhook, "GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert open_metrics[2].endswith(b"# EOF\n")


def test_it_does_not_start_without_a_secret(stand: Stand) -> None:
    config = stand.configure(auth=None)
    with pytest.raises(ServiceError, match="No secret is configured.*--web.allow-unauthenticated"):
        stand.webhook(config)
    webhook = stand.webhook(config, "--web.allow-unauthenticated")
    assert stand.ask(webhook, "GET", "/api/remediations", Authorization="")[0] == 200
    assert "may start repairs" in webhook.log_tail()


def test_a_taken_port_is_named(stand: Stand) -> None:
    config = stand.configure()
    first = stand.webhook(config)
    second = Webhook(stand.folder / "second", config)
    second.port = first.port
    ended = subprocess.run(second.command(), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert f"[CRITICAL] Cannot listen on 127.0.0.1 port {first.port}: Address already in use." in ended.stderr
    # Its configuration is right all the same.
    checked = subprocess.run([*second.command(), "--check-config"], capture_output=True, timeout=30, check=False)
    assert checked.returncode == 0
