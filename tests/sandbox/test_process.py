"""The processes: logs, crash, shutdown, bad configuration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import MakeSandbox
from .sandbox import SANDBOX, Sandbox, wait_for


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as found:
        return [int(child) for child in found.read().split()]


def test_traffic_flows_by_itself_and_is_counted_in_the_log(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox(sessions=[26], message_interval_ms=50)
    wait_for("100 messages", lambda: running.session(26)["messages"]["decrypted"] >= 100)
    running.control_post("/sessions/26/traffic", {"interval_ms": 0})
    # A message that is on its way when the socket closes is kept for the next login.
    wait_for("the rest", lambda: (now := running.session(26)["messages"])["decrypted"] == now["sent"])
    running.disconnect(26)
    totals = running.session(26)["messages"]

    def counts() -> list[int]:
        return [record["received"] for record in running.out_log() if record["msg"].endswith("messages received")]

    wait_for("the last line", lambda: sum(counts()) == totals["decrypted"])
    assert max(counts()) == 20
    assert totals["failed"] == 0
    assert running.err_log() == ""


def test_records_carry_the_session_id_or_are_baileys_own(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox()
    at = running.fault(26, "rolled_back_records", peers=1)
    since = running.send(26, 2, peer=0)
    wait_for("failures", lambda: running.messages(26, since)["failed"] == 2)
    first = running.failures(26, at)[0]
    assert first["level"] == 50
    assert first["remoteJid"] == "5521900002600@s.whatsapp.net"
    assert first["messageId"].startswith("3EB0")
    assert abs(first["messageTimestamp"] - at) < 5
    baileys = [record for record in running.out_log() if record["msg"] == "failed to decrypt message"]
    assert len(baileys) == 2
    assert not any("whatsappId" in record or "26" == str(record.get("session")) for record in baileys)
    # libsignal's own words, on the other stream
    assert running.err_log().count("Session error:Error: Bad MAC Error: Bad MAC") == 2
    assert "at async 20000000002600_1.0 [as awaitable]" in running.err_log()


def test_no_message_text_and_no_key_is_logged_by_the_application(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox(sessions=[26])
    running.assert_decrypts(26)
    running.fault(26, "rolled_back_records")
    running.assert_fails(26)
    creds = json.loads((running.folder(26) / "creds.json").read_text())
    written = (running.log_dir / "backend.out.log").read_text() + (running.log_dir / "wa-server.log").read_text()
    for secret in (
        creds["advSecretKey"],
        creds["noiseKey"]["private"]["data"],
        creds["signedIdentityKey"]["private"]["data"],
    ):
        assert secret not in written
    assert "conversation" not in written
    assert "privKey" not in written


def test_a_crash_is_followed_by_a_new_process_with_the_same_sessions(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox()
    running.login()
    before = running.control_get("/health")
    totals = running.session(26)["messages"]
    running.disconnect(2)
    running.control_post("/crash")
    wait_for(
        "another process", lambda: running.control_get("/health")["backend_pid"] not in (None, before["backend_pid"])
    )
    wait_for("session 26", lambda: running.session(26)["state"] == "CONNECTED")
    assert running.control_get("/health")["backend_restarts"] == 1
    assert running.status(2) == "DISCONNECTED"  # it was stopped, and stays so
    assert running.call("GET", "/whatsapp").status_code == 200  # with the token of before
    assert running.session(26)["messages"] == totals
    assert "crash on request" in running.err_log()
    running.assert_decrypts(26)
    assert running.touched(26)["files_removed"] == 0


def test_logs_can_be_rotated(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox(sessions=[26])
    assert running.process is not None
    log = running.log_dir / "backend.out.log"
    size = log.stat().st_size
    log.rename(log.with_suffix(".log.1"))
    running.process.send_signal(signal.SIGUSR2)
    wait_for("a new file", log.exists)
    running.restart(26)
    wait_for("records in it", lambda: "Connection Update open" in log.read_text())
    assert log.with_suffix(".log.1").stat().st_size == size


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process(make_sandbox: MakeSandbox, how: signal.Signals) -> None:
    running = make_sandbox(sessions=[26])
    assert running.process is not None
    below = children(running.process.pid)
    assert len(below) == 2
    running.process.send_signal(how)
    assert running.process.wait(timeout=15) == 0
    wait_for("the children gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below))


def test_the_children_do_not_outlive_a_killed_supervisor(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox(sessions=[26])
    assert running.process is not None
    below = children(running.process.pid)
    running.process.kill()
    wait_for("the children gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sesions": [2]}, "unknown key sesions"),
        ({"sessions": []}, "sessions must be"),
        ({"sessions": ["26"]}, "sessions must be"),
        ({"data_dir": None}, "data_dir must be"),
        ({"api_port": 70000}, "api_port must be"),
        ({"message_interval_ms": -1}, "message_interval_ms must be"),
        ({"store": "redis"}, 'store "redis" needs redis_url'),
        ({"status_words": {"open": "OPENED"}}, "status_words must be"),
        ({"creds_table": {"table": "t"}}, "creds_table must be"),
    ],
)
def test_a_bad_configuration_is_refused_with_the_key(tmp_path: Path, change: dict[str, object], named: str) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text(json.dumps({"data_dir": str(tmp_path / "data"), **change}))
    done = subprocess.run(
        ["node", str(SANDBOX / "src/main.mjs"), "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_auth_state_of_an_earlier_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data/sessions/26"
    folder.mkdir(parents=True)
    (folder / "creds.json").write_text("{}")
    with pytest.raises(RuntimeError, match="session 26 has auth state already"):
        Sandbox({"data_dir": str(tmp_path / "data"), "sessions": [26]}).start()
    assert (folder / "creds.json").read_text() == "{}"


def test_it_is_ready_within_half_a_minute(make_sandbox: MakeSandbox) -> None:
    began = time.monotonic()
    running = make_sandbox(sessions=[2, 26, 27], peers_per_session=3, message_interval_ms=500)
    assert time.monotonic() - began < 30
    assert {session["state"] for session in running.control_get("/sessions").values()} == {"CONNECTED"}


def test_with_auto_scan_a_new_link_needs_nobody(make_sandbox: MakeSandbox) -> None:
    running = make_sandbox(sessions=[26], auto_scan=True)
    running.fault(26, "logged_out")
    running.wait_status(26, "DISCONNECTED")
    running.start_session(26)
    running.assert_decrypts(26)


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text(text)
    done = subprocess.run(
        ["node", str(SANDBOX / "src/main.mjs"), "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert str(file) in done.stderr and "is not" in done.stderr


def test_the_lock_file_names_no_host() -> None:
    assert "resolved" not in (SANDBOX / "package-lock.json").read_text()
