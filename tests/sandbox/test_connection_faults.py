"""Faults of connection, account and creds: each is there, its remedy mends it, and the milder ones do not."""

from __future__ import annotations

import pytest
import requests

from .sandbox import Sandbox, wait_for


def closes(sandbox: Sandbox, session: int, since: float) -> list[int]:
    """Status codes of the closed connections of a session."""
    return [
        record["statusCode"]
        for record in sandbox.out_log()
        if record.get("whatsappId") == session
        and record["msg"].endswith("Connection Update close")
        and "statusCode" in record
        and record["time"] >= since * 1000
    ]


def hung(sandbox: Sandbox, session: int) -> int:
    return int(sandbox.control_get(f"/sessions/{session}/peers")["hung"])


@pytest.mark.parametrize("stage", ["handshake", "login"])
def test_a_stuck_session_is_mended_by_a_new_start(sandbox: Sandbox, stage: str) -> None:
    before = hung(sandbox, 39)
    sandbox.fault(39, "stuck", until="restart", stage=stage)
    wait_for("a socket without an answer", lambda: hung(sandbox, 39) > before)
    assert sandbox.status(39) == "OPENING"
    sandbox.restart(39)
    sandbox.assert_decrypts(39)


def test_a_stuck_session_stays_stuck_until_it_is_cleared(sandbox: Sandbox) -> None:
    sandbox.fault(40, "stuck", until="cleared")
    wait_for("a socket without an answer", lambda: hung(sandbox, 40) == 1)
    sandbox.disconnect(40)
    sandbox.start_session(40, "OPENING")
    wait_for("another one", lambda: hung(sandbox, 40) == 2)
    assert sandbox.status(40) == "OPENING"
    sandbox.control_post("/sessions/40/clear")
    sandbox.restart(40)
    sandbox.assert_decrypts(40)


def test_logged_out_wipes_the_session_and_needs_a_new_scan(sandbox: Sandbox) -> None:
    at = sandbox.fault(41, "logged_out")
    sandbox.wait_status(41, "DISCONNECTED")
    assert closes(sandbox, 41, at) == [401]
    wait_for("the folder gone", lambda: not sandbox.folder(41).exists())

    sandbox.folder(41).mkdir()
    copy = (sandbox.data_dir / "creds-copies/41.json").read_bytes()
    (sandbox.folder(41) / "creds.json").write_bytes(copy)
    sandbox.call("PUT", "/whatsapp/41/start-session")
    wait_for("revoked creds refused", lambda: closes(sandbox, 41, at) == [401, 401])
    sandbox.wait_status(41, "DISCONNECTED")

    sandbox.start_session(41, "qrcode")
    sandbox.control_post("/sessions/41/scan")
    sandbox.wait_status(41, "CONNECTED")
    sandbox.assert_decrypts(41)


def test_banned_wipes_the_session_and_cannot_be_linked_again(sandbox: Sandbox) -> None:
    at = sandbox.fault(42, "banned")
    sandbox.wait_status(42, "DISCONNECTED")
    assert closes(sandbox, 42, at) == [403]
    sandbox.start_session(42, "qrcode")
    with pytest.raises(AssertionError, match="409 .*banned"):
        sandbox.control_post("/sessions/42/scan")
    sandbox.disconnect(42)


def test_a_zombie_looks_connected_and_delivers_nothing_until_a_restart(sandbox: Sandbox) -> None:
    sandbox.fault(43, "zombie")
    since = sandbox.send(43, 4)
    wait_for("held messages", lambda: sandbox.control_get("/sessions/43/peers")["held"] == 4)
    assert sandbox.status(43) == "CONNECTED"
    assert sandbox.session(43)["sockets_alive"] == 1
    sandbox.restart(43)
    wait_for("what was held", lambda: sandbox.messages(43, since)["decrypted"] == 4)


def test_truncated_creds_need_a_scan_or_a_copy(sandbox: Sandbox) -> None:
    sandbox.fault(44, "creds_truncated")
    sandbox.wait_status(44, "DISCONNECTED")
    creds = sandbox.folder(44) / "creds.json"
    assert creds.stat().st_size == 40
    sandbox.start_session(44, "qrcode")
    sandbox.restore(44)
    sandbox.assert_decrypts(44)


def test_lost_creds_come_back_with_a_copy(sandbox: Sandbox) -> None:
    sandbox.fault(44, "creds_lost")
    sandbox.wait_status(44, "qrcode")
    assert not (sandbox.folder(44) / "creds.json").exists()
    sandbox.restart(44, "qrcode")
    sandbox.restore(44)
    sandbox.assert_decrypts(44)


def test_memory_grows_for_real_and_goes_with_the_session(sandbox: Sandbox) -> None:
    def resident_mb() -> int:
        pid = sandbox.control_get("/health")["backend_pid"]
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) // 1024

    before = resident_mb()
    sandbox.fault(26, "memory", mb=300)
    grown = resident_mb()
    assert grown - before > 250
    sandbox.restart(26)
    wait_for("memory given back", lambda: resident_mb() < grown - 200)


def test_two_starts_fight_over_the_account_until_the_third_conflict(sandbox: Sandbox) -> None:
    at = sandbox.control_post("/touched/reset")["at"]
    sandbox.call("PUT", "/whatsapp/27/start-session")
    wait_for("three conflicts", lambda: closes(sandbox, 27, at).count(440) == 3)
    sandbox.wait_status(27, "DISCONNECTED")
    assert sandbox.session(27)["sockets_alive"] == 0
    assert sandbox.touched(27)["socket_restarts"] == 3  # the second socket, and two that came back
    sandbox.start_session(27)
    sandbox.assert_decrypts(27)


def test_an_unknown_fault_is_refused_with_the_list(sandbox: Sandbox) -> None:
    answer = requests.post(f"{sandbox.control}/control/sessions/2/fault", json={"fault": "nonsense"}, timeout=10)
    assert answer.status_code == 400
    assert "rolled_back_records" in answer.json()["error"]
