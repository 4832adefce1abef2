"""Bad input gets a sentence that names what is wrong, and nothing is lost or half done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.http_backend import ScriptedBackend
from tests.little_backend import PASSWORD, QUICK, LittleBackend, nothing_done, refused
from tests.playbooks import ROOT, Ansible
from tests.services import free_port

LOOKUP = "{{ lookup('pipe','touch pwned') }}"


# -- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, way) for name in ("id", "backend", "strategy") for way in ("key=value", "JSON", "file")),
        ("id", "list"),
        ("force", "key=value"),
        ("remediation_id", "JSON"),
    ],
)
def test_a_template_is_refused_and_never_evaluated(
    little: LittleBackend, quick: Ansible, tmp_path: Path, name: str, way: str
) -> None:
    given: dict[str, Any] = {"id": 26, name: [LOOKUP] if way == "list" else LOOKUP}
    if way == "key=value":
        arguments = [part for key, value in given.items() for part in ("-e", f'{key}="{value}"')]
    elif way == "file":
        (tmp_path / "vars.json").write_text(json.dumps(given))
        arguments = ["-e", f"@{tmp_path / 'vars.json'}"]
    else:
        arguments = ["-e", json.dumps(given)]
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {ROOT / '.ansible/collections'}\n")
    run = quick.run("fix_session", "-vvv", *arguments, cwd=folder)
    refused(run, "lookup('pipe'")
    assert {path.name for path in folder.iterdir()} == {"ansible.cfg"}
    assert little.server.calls == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "The session id is empty"),
        ("99", "No session 99"),
        ("../..", "'../..' is not valid"),
        ("*", "'*' is not valid"),
        ("26 27", "'26 27' is not valid"),
        ("x" * 300, "is not valid"),
        ([], "The list of session ids is empty"),
        (None, "No session is named"),
    ],
)
def test_ids_that_are_no_session(little: LittleBackend, quick: Ansible, value: object, words: str) -> None:
    refused(quick.run("fix_session", id=value), words)
    nothing_done(little)


def test_an_id_on_two_backends_is_refused_with_their_names(little: LittleBackend, quick: Ansible) -> None:
    quick.write_inventory({"north": little.backend, "south": little.backend})
    refused(quick.run("fix_session", id=26), "Session 26 is on the backends north and south.", "-e backend=north")
    nothing_done(little)
    refused(quick.run("fix_session", id=26, backend="east"), "The backend 'east' is not known", "north, south")
    chosen = quick.run("fix_session", id=26, backend="south", **QUICK)
    assert chosen.rc == 0, chosen.output
    assert "south/26" in chosen.recap


# -- backends ---------------------------------------------------------------------------------------------------------

LOGIN = b'{"token": "a-token"}'


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>nginx</html>", "answered HTML"),
        (200, b'[{"id": 26, "sta', "no whole JSON document"),
        (500, b"oops", "answered HTTP 500"),
        (401, b"{}", "refuses our login"),
    ],
)
def test_backends_that_answer_nonsense(quick: Ansible, status: int, body: bytes, words: str) -> None:
    def answer(method: str, path: str, headers: Any) -> tuple[int, Any]:
        return (200, LOGIN) if path == "/auth/login" else (status, body)

    with ScriptedBackend(answer) as server:
        auth = {"type": "login", "username": "admin@example.com", "password": PASSWORD}
        quick.write_inventory({"bad": {"url": server.url, "auth": auth}})
        refused(quick.run("fix_session", id=26), words)
        assert not any(call.startswith("PUT") for call in server.calls)


def test_a_wrong_password(quick: Ansible) -> None:
    with ScriptedBackend(lambda method, path, headers: (401, {"error": "ERR_INVALID_CREDENTIALS"})) as server:
        auth = {"type": "login", "username": "admin@example.com", "password": PASSWORD}
        quick.write_inventory({"bad": {"url": server.url, "auth": auth}})
        refused(quick.run("fix_session", "-vvv", id=26), "refuses our user name or password")


def test_a_backend_that_is_down(quick: Ansible, little: LittleBackend) -> None:
    away = {"url": f"http://127.0.0.1:{free_port()}", "connect_timeout": 0.5}
    quick.write_inventory({"down": away, "little": little.backend})
    refused(quick.run("fix_session", id=26), "perhaps on one that could not be asked", "-e backend=little")
    nothing_done(little)
    everything = quick.run("fix_session", id="all")
    refused(everything, "Backend down: The backend at 127.0.0.1:")


def test_a_backend_that_is_slow(quick: Ansible) -> None:
    with ScriptedBackend(lambda method, path, headers: (200, []), delay=2.0) as server:
        quick.write_inventory({"slow": {"url": server.url, "read_timeout": 0.3}})
        refused(quick.run("fix_session", id=26), "did not answer within 0.3 s")


# -- storage ----------------------------------------------------------------------------------------------------------


def test_a_backend_that_says_ok_and_stays_connected(little: LittleBackend, quick: Ansible) -> None:
    little.on["disconnect"] = lambda session: little.sessions.update({session: "CONNECTED"})
    before = little.files("26")
    run = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(run, "was told to disconnect but is CONNECTED", "Nothing was removed")
    assert little.files("26") == before
    assert little.calls("26/start-session") == 0


def test_a_full_disk_while_backing_up_purges_nothing(little: LittleBackend, quick: Ansible) -> None:
    before = little.files("26")
    # A record too large for the limit on the size of files, which the process of the playbook has like a quota.
    (little.storage / "26" / "app-state-sync-version-regular.json").write_bytes(b'"' + b"x" * 400_000 + b'"')
    run = quick.run("fix_session", id=26, strategy="regenerate", force=True, file_size_limit=200_000, **QUICK)
    refused(run, "no space left for the backup")
    after = little.files("26")
    after.pop("app-state-sync-version-regular.json")
    assert after == before
    assert little.backups("26") == []
    nothing_done(little)


def test_a_session_folder_that_is_missing(little: LittleBackend, quick: Ansible) -> None:
    little.storage.rename(little.storage.with_name("elsewhere"))
    refused(quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK), "session_path", "is missing")
    little.storage.mkdir()
    gone = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(gone, "There are no credentials. The folder", f"{little.storage / '26'} is missing")
    nothing_done(little)


def test_a_session_folder_that_is_a_link_out_of_the_storage(
    little: LittleBackend, quick: Ansible, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (little.storage / "26").rename(outside)
    (little.storage / "26").symlink_to(outside)
    for strategy in ("regenerate", "recreate"):
        run = quick.run("fix_session", id=26, strategy=strategy, force=True, **QUICK)
        refused(run, "is a link that leads out of the storage path")
    assert len(list(outside.iterdir())) == 3
    nothing_done(little)


def test_a_failure_between_disconnect_and_start_puts_the_session_back(little: LittleBackend, quick: Ansible) -> None:
    def breaks_the_store(session: str) -> None:
        record = little.storage / session / "session-5511888880000.0.json"
        record.unlink(missing_ok=True)
        record.mkdir(exist_ok=True)

    little.on["disconnect"] = breaks_the_store
    run = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(run, "session-5511888880000.0.json")
    assert little.calls("26/start-session") == 1
    assert little.sessions["26"] == "CONNECTED"
    assert "creds.json" in little.files("26")


def test_a_backup_that_closing_made_stale_is_taken_again(little: LittleBackend, quick: Ansible) -> None:
    record = little.storage / "26" / "session-5511888880000.0.json"
    little.on["disconnect"] = lambda session: record.write_text('{"_sessions": {"changed": "while closing"}}')
    run = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    assert run.rc == 0, run.output
    assert not record.exists()
    first, second = little.backups("26")
    assert "while closing" not in (first / "files" / record.name).read_text()
    assert "while closing" in (second / "files" / record.name).read_text()


def test_credentials_of_nobody_are_not_started(little: LittleBackend, quick: Ansible) -> None:
    creds = little.storage / "26" / "creds.json"
    creds.write_bytes(creds.read_bytes()[:40])
    run = quick.run("fix_session", id=26, force=True, **QUICK)
    refused(run, "No credentials can be restored for session 26", "truncated", "strategy=recreate")
    nothing_done(little)
    allowed = quick.run("fix_session", id=26, strategy="restart", force=True, allow_qr=True, **QUICK)
    assert allowed.rc == 0, allowed.output
    assert little.calls("26/start-session") == 1


# -- what a backend says ----------------------------------------------------------------------------------------------


def test_a_template_in_a_name_or_a_state_of_a_backend_is_only_text(
    little: LittleBackend, quick: Ansible, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {ROOT / '.ansible/collections'}\n")
    little.sessions["26"] = LOOKUP
    little.name = LOOKUP
    shown = quick.run("check_sessions", "-vvv", cwd=folder)
    assert shown.rc == 0, shown.output
    assert LOOKUP in shown.stdout
    quick.run("fix_session", "-vvv", cwd=folder, id=26, force=True, **QUICK)
    assert {path.name for path in folder.iterdir()} == {"ansible.cfg"}
