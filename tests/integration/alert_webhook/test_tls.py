"""TLS, and clients that prove themselves with a certificate."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.integration.alert_webhook.stand import Stand, Webhook, alert, payload, until
from tests.services import ServiceError


class TlsWebhook(Webhook):
    def ready(self) -> bool:
        return "Listening on" in self.log_tail()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """``server``, and ``client`` signed by ``ca``."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    san = ["-addext", "subjectAltName=IP:127.0.0.1"]
    _openssl(folder, "req", "-x509", *key, *san, "-subj", "/CN=x", "-keyout", "server.key", "-out", "server.pem")
    _openssl(folder, "req", "-x509", *key, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    _openssl(folder, "req", *key, "-subj", "/CN=alertmanager", "-keyout", "client.key", "-out", "client.csr")
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"]
    _openssl(folder, "x509", "-req", "-in", "client.csr", *sign, "-out", "client.pem")
    return folder


def _post(stand: Stand, webhook: Webhook, context: ssl.SSLContext) -> dict[str, Any]:
    request = urllib.request.Request(
        f"https://127.0.0.1:{webhook.port}/alerts",
        json.dumps(payload(alert("26"))).encode(),
        {"Authorization": f"Bearer {stand.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: TID251 - it is our own server
        return dict(json.load(answer))


def test_only_a_client_with_a_certificate_of_the_ca_is_heard(stand: Stand, certificates: Path) -> None:
    tls = {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem"}
    config = stand.configure(tls={key: str(certificates / name) for key, name in tls.items()})
    webhook = TlsWebhook(stand.folder / "tls", config)
    stand.running.append(webhook)
    webhook.start()
    known = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    answer = until(lambda: _post(stand, webhook, known), 5, "an answer")
    assert answer["results"][0]["result"] == "accepted"
    unknown = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    with pytest.raises((OSError, ssl.SSLError)):
        _post(stand, webhook, unknown)


def test_a_key_of_another_certificate_is_refused_at_the_start(stand: Stand, certificates: Path) -> None:
    tls = {"cert_file": str(certificates / "server.pem"), "key_file": str(certificates / "ca.key")}
    with pytest.raises(ServiceError, match="tls: certificate, key or CA cannot be used"):
        stand.webhook(stand.configure(tls=tls))
