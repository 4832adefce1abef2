"""Each fault of the keys breaks real decryption, its remedy mends it, and the milder ones do not."""

from __future__ import annotations

import json
from pathlib import Path

from .sandbox import SANDBOX, Sandbox, wait_for

BAD_MAC = "No matching sessions found for message"  # what libsignal makes of a Bad MAC in every session of a record


def test_stale_memory_is_mended_by_a_restart(sandbox: Sandbox) -> None:
    at = sandbox.fault(31, "stale_memory")
    sandbox.assert_fails(31)
    assert {record["error"] for record in sandbox.failures(31, at)} == {BAD_MAC}
    sandbox.restart(31)
    sandbox.assert_decrypts(31)


def test_rolled_back_records_survive_a_restart_and_are_mended_without_them(sandbox: Sandbox) -> None:
    at = sandbox.fault(32, "rolled_back_records")
    sandbox.assert_fails(32)
    assert {record["error"] for record in sandbox.failures(32, at)} == {BAD_MAC}
    sandbox.restart(32)
    sandbox.assert_fails(32)
    sandbox.regenerate(32)
    sandbox.assert_decrypts(32)


def test_scribbled_records_survive_a_restart_and_are_mended_without_them(sandbox: Sandbox) -> None:
    sandbox.fault(33, "scribbled_records")
    sandbox.assert_fails(33)
    sandbox.restart(33)
    sandbox.assert_fails(33)
    sandbox.regenerate(33)
    sandbox.assert_decrypts(33)


def test_only_the_named_peers_break(sandbox: Sandbox) -> None:
    sandbox.fault(34, "rolled_back_records", peers=1)
    since = sandbox.send(34, 6)
    wait_for("an end of each", lambda: sum(sandbox.messages(34, since)[key] for key in ("decrypted", "failed")) == 6)
    counts = sandbox.messages(34, since)
    assert counts == {"sent": 6, "decrypted": 3, "failed": 3, "decrypted_by_peer": {"0": 0, "1": 3}}


def test_lost_records_are_asked_for_again_and_recover_by_themselves(sandbox: Sandbox) -> None:
    at = sandbox.fault(35, "lost_records")
    sandbox.assert_decrypts(35)
    errors = {record["error"] for record in sandbox.failures(35, at)}
    assert errors == {"No session record"}


def test_dropped_prekeys_fail_newcomers_until_a_restart(sandbox: Sandbox) -> None:
    at = sandbox.fault(36, "dropped_prekeys", peers=1)
    newcomer = 2
    since = sandbox.send(36, 3, peer=newcomer)
    wait_for("failures", lambda: sandbox.messages(36, since)["failed"] == 3)
    assert {record["error"] for record in sandbox.failures(36, at)} == {"Invalid PreKey ID"}
    since = sandbox.send(36, 1, peer=0)
    sandbox.send(36, 1, peer=1)
    wait_for("those who have a session already", lambda: sandbox.messages(36, since)["decrypted"] == 2)
    sandbox.restart(36)
    wait_for("the newcomer's messages", lambda: _reads_one(sandbox, 36, newcomer), every=1)


def _reads_one(sandbox: Sandbox, session: int, peer: int) -> bool:
    # a phone asks for fresh keys now and then only, so that it may take some messages
    since = sandbox.send(session, 1, peer=peer)
    wait_for("an end", lambda: sum(sandbox.messages(session, since)[key] for key in ("decrypted", "failed")) == 1)
    return bool(sandbox.messages(session, since)["decrypted"] == 1)


def test_reset_creds_are_mended_by_the_old_creds_alone(sandbox: Sandbox) -> None:
    folder = sandbox.folder(37)
    before = json.loads((folder / "creds.json").read_text())
    sandbox.fault(37, "reset_creds")
    broken = json.loads((folder / "creds.json").read_text())
    assert broken["signedIdentityKey"] != before["signedIdentityKey"]
    assert broken["noiseKey"] == before["noiseKey"]
    sandbox.assert_fails(37)
    sandbox.restart(37)
    sandbox.assert_fails(37)
    sandbox.regenerate(37)
    sandbox.assert_fails(37)
    sandbox.restore(37)
    sandbox.assert_decrypts(37)


def test_reset_creds_restored_before_anything_is_removed(sandbox: Sandbox) -> None:
    sandbox.fault(38, "reset_creds")
    sandbox.assert_fails(38)
    sandbox.restore(38)
    at = sandbox.send(38, 1)
    sandbox.assert_decrypts(38)
    assert sandbox.failures(38, at) == []


def test_a_gap_of_too_many_messages_survives_a_restart_and_is_mended_without_the_records(sandbox: Sandbox) -> None:
    before = sandbox.err_log().count("Over 2000 messages into the future!")
    sandbox.fault(45, "message_gap")
    sandbox.assert_fails(45)
    assert sandbox.err_log().count("Session error:SessionError: Over 2000 messages into the future!") == before + 6
    sandbox.restart(45)
    sandbox.assert_fails(45)
    sandbox.regenerate(45)
    sandbox.assert_decrypts(45)


def test_scribbled_sender_keys_survive_a_restart_and_are_mended_without_them(sandbox: Sandbox) -> None:
    at = sandbox.fault(46, "scribbled_sender_keys")
    sandbox.assert_fails(46, group=True)
    assert {record["error"] for record in sandbox.failures(46, at)} == {"Invalid signature!"}
    assert {record["remoteJid"] for record in sandbox.failures(46, at)} == {"120363000000000046@g.us"}
    sandbox.assert_decrypts(46)  # what does not go to the group is read
    sandbox.restart(46)
    sandbox.assert_fails(46, group=True)
    sandbox.regenerate(46, "sender-key-*.json")
    sandbox.assert_decrypts(46, group=True)


def test_lost_sender_keys_are_sent_again_by_the_phones(sandbox: Sandbox) -> None:
    at = sandbox.fault(47, "lost_sender_keys")
    sandbox.assert_decrypts(47, group=True)
    assert {record["error"] for record in sandbox.failures(47, at)} == {"No session found to decrypt message"}


def test_peers_refuse_keys_of_an_identity_that_the_account_has_not_signed(sandbox: Sandbox) -> None:
    sandbox.fault(37, "reset_creds")
    sandbox.regenerate(37)
    before = (sandbox.log_dir / "wa-server.log").read_text().count("refuses keys of an identity")
    sandbox.assert_fails(37, per_peer=1)
    wait_for(
        "refusals",
        lambda: (sandbox.log_dir / "wa-server.log").read_text().count("refuses keys of an identity") > before,
    )
    sandbox.restore(37)
    sandbox.assert_decrypts(37)


def test_the_same_session_breaks_and_mends_again(sandbox: Sandbox) -> None:
    for _ in range(2):
        sandbox.fault(32, "rolled_back_records")
        sandbox.assert_fails(32)
        sandbox.regenerate(32)
        sandbox.assert_decrypts(32)


def test_the_catalogue_says_what_was_shown(sandbox: Sandbox) -> None:
    faults = {fault["name"]: fault for fault in sandbox.control_get("/faults")}
    assert set(faults["stale_memory"]) == {"name", "description", "kind", "receipts_honoured", "mended_by"}
    remedies = {name: fault["mended_by"] for name, fault in faults.items()}
    readme = (SANDBOX / "README.md").read_text()
    for name, remedy in remedies.items():
        rows = [line for line in readme.splitlines() if line.startswith(f"| `{name}`")]
        assert rows, f"{name} is not in the README's table"
        test = rows[0].split("`")[-2]
        assert any(f"def {test}(" in file.read_text() for file in Path(__file__).parent.glob("test_*.py")), test
        assert remedy == "none" or remedy in rows[0], rows[0]
