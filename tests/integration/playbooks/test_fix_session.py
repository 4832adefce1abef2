"""fix_session repairs real sessions of the sandbox, with the mildest remedy that helps, and touches nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ansible_site import BACKEND, FAST, Site, broken, reads_again, row, untouched
from tests.playbooks import Ansible
from tests.sandbox.sandbox import wait_for

REMEDY_STEPS = ["Back up", "Disconnect", "Back up what closing changed", "Purge", "Reconnect", "Verify"]


def test_a_restart_does_not_help_and_removing_the_failing_peers_records_does(site: Site, ansible: Ansible) -> None:
    broken(site, 26, "rolled_back_records", peers=1)
    site.sandbox.control_post("/touched/reset")
    before = set(site.files(26))
    run = ansible.run("fix_session", "-v", id=26, **FAST)
    assert run.rc == 0, run.output
    assert row(run, 26)[:2] == ["recovered", "regenerate"]

    # Each decision and its evidence are shown.
    [health] = run.results("Health")
    assert health["state"] == "corrupted"
    assert set(health["errors"]) == {"bad_mac"}
    [decision] = run.results("Decide")
    assert "restart, regenerate (1 peer), regenerate, restore" in decision["msg"]
    said = [result["msg"] for result in run.results("Say what came of it")]
    assert said[0].startswith("restart: did not help")
    assert said[1].startswith("regenerate: connected")
    steps = [step for step in run.steps() if step in REMEDY_STEPS]
    assert steps == ["Back up", "Disconnect", "Reconnect", "Verify", *REMEDY_STEPS]

    # Only the failing peer's record went, and it is in the backup that was taken before.
    [purge] = run.results("Purge")
    assert len(purge["removed"]) == 1
    assert set(purge["removed"]) < before
    copies = {path.name for path in (Path(site.backups_of(26)[-1]) / "files").iterdir()}
    assert set(purge["removed"]) <= copies

    reads_again(site, 26)
    assert site.locks() == []
    with site.client() as client:
        assert float(str(client.hget(f"sessionmedic:verified:{BACKEND}", "26"))) > 0
    assert untouched(site, 2)

    # A second run finds nothing to do.
    site.sandbox.control_post("/touched/reset")
    files = site.files(26)
    again = ansible.run("fix_session", id=26)
    assert (again.rc, again.changed) == (0, 0), again.output
    assert row(again, 26)[:2] == ["left", "alone"]
    assert site.sandbox.touched(26)["socket_restarts"] == 0
    assert {name: files[name] for name in files if "session-" not in name} == {
        name: data for name, data in site.files(26).items() if "session-" not in name
    }


def test_check_mode_names_what_would_go_and_changes_nothing(site: Site, ansible: Ansible) -> None:
    broken(site, 27, "rolled_back_records")
    site.sandbox.control_post("/touched/reset")
    names, backups = set(site.files(27)), site.backups_of(27)
    with site.client() as client:
        keys = {str(key) for key in client.scan_iter(match="sessionmedic:lock:*")}
    run = ansible.run("fix_session", "--check", "--diff", id=27, **FAST)
    assert run.rc == 0, run.output
    assert row(run, 27)[0] == "dry_run"
    sessions = sorted(name for name in names if name.startswith("session-"))
    assert sessions
    for name in sessions:
        assert f"-{name}" in run.stdout
    creds = json.loads(site.files(27)["creds.json"])
    assert creds["noiseKey"]["private"]["data"] not in run.output

    assert set(site.files(27)) == names
    assert site.backups_of(27) == backups
    with site.client() as client:
        assert {str(key) for key in client.scan_iter(match="sessionmedic:lock:*")} == keys
        assert client.exists(f"sessionmedic:fence:{BACKEND}:27", f"sessionmedic:cooldown:{BACKEND}:27") == 0
    touched = site.sandbox.touched(27)
    assert (touched["socket_restarts"], touched["files_removed"]) == (0, 0)
    assert not [
        record for record in site.sandbox.out_log() if record.get("whatsappId") == 27 and "disconnect" in record["msg"]
    ]


def test_restored_credentials_are_what_helps(site: Site, ansible: Ansible) -> None:
    saved = ansible.run("save_credentials", id=31)
    assert (saved.rc, saved.changed) == (0, 1), saved.output
    good = json.loads(site.files(31)["creds.json"])
    broken(site, 31, "reset_creds")
    run = ansible.run("fix_session", "-v", id=31, **FAST)
    assert run.rc == 0, run.output
    assert row(run, 31)[:2] == ["recovered", "restore"]
    said = [result["msg"] for result in run.results("Say what came of it")]
    assert [text.split(":")[0] for text in said] == ["restart", "regenerate", "regenerate", "restore"]
    assert all("did not help" in text for text in said[:-1])
    assert json.loads(site.files(31)["creds.json"])["signedIdentityKey"] == good["signedIdentityKey"]
    reads_again(site, 31)


def test_a_whole_backup_is_restored_to_a_working_login(site: Site, ansible: Ansible) -> None:
    first = ansible.run("fix_session", id=32, strategy="restart", force=True, **FAST)
    assert first.rc == 0, first.output
    kept = site.files(32)
    site.sandbox.fault(32, "creds_lost")
    site.sandbox.wait_status(32, "qrcode")
    left_alone = ansible.run("fix_session", id=32)
    assert (left_alone.rc, left_alone.changed) == (0, 0), left_alone.output
    assert "scan the QR code" in " ".join(row(left_alone, 32))

    run = ansible.run("restore_credentials", "-v", id=32, **FAST)
    assert run.rc == 0, run.output
    assert row(run, 32)[:2] == ["recovered", "restore"]
    [restored] = [result for result in run.results("Restore credentials") if result["changed"]]
    assert restored["source"].startswith("backup ")
    assert json.loads(site.files(32)["creds.json"])["me"] == json.loads(kept["creds.json"])["me"]
    site.sandbox.wait_status(32, "CONNECTED")
    reads_again(site, 32)


def test_truncated_credentials_are_never_started_but_restored(site: Site, ansible: Ansible) -> None:
    assert ansible.run("save_credentials", id=33).rc == 0
    site.sandbox.fault(33, "creds_truncated")
    site.sandbox.control_post("/touched/reset")
    cut = site.files(33)
    for strategy in ("restart", "regenerate"):
        run = ansible.run("fix_session", id=33, strategy=strategy, **FAST)
        assert run.rc == 2, run.output
        assert "is not started: The credentials are truncated" in run.output
        assert "allow_qr" in run.output
    assert site.files(33) == cut
    assert site.sandbox.touched(33)["socket_restarts"] == 0
    assert site.locks() == []

    run = ansible.run("fix_session", "-v", id=33, **FAST)
    assert run.rc == 0, run.output
    assert row(run, 33)[:2] == ["recovered", "restore"]
    assert "Remedies, mildest first: restore" in run.results("Decide")[0]["msg"]
    reads_again(site, 33)


def test_a_session_that_was_logged_out_is_left_to_a_person(site: Site, ansible: Ansible) -> None:
    site.sandbox.fault(34, "logged_out")
    wait_for("logged out", lambda: site.sandbox.status(34) != "CONNECTED")
    site.sandbox.control_post("/touched/reset")
    run = ansible.run("fix_session", id=34)
    assert (run.rc, run.changed) == (0, 0), run.output
    assert row(run, 34)[:2] == ["left", "alone"]
    assert site.sandbox.touched(34)["socket_restarts"] == 0


def test_recreate_ends_in_a_qr_code_that_a_person_scans(site: Site, ansible: Ansible) -> None:
    before = set(site.files(35))
    run = ansible.run("fix_session", "-v", id=35, strategy="recreate", **FAST)
    assert run.rc == 0, run.output
    assert row(run, 35)[:2] == ["gave_up", "recreate"]
    assert "waits for a person to scan the QR code" in run.stdout
    [purge] = run.results("Purge")
    assert set(purge["removed"]) >= {name for name in before if name.startswith(("creds", "session-", "app-state"))}
    assert len(site.backups_of(35)) >= 1
    site.sandbox.control_post("/sessions/35/scan")
    site.sandbox.wait_status(35, "CONNECTED")
