"""Bad input gets a sentence that names what is wrong, and nothing is lost or half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http_backend import ScriptedBackend
from tests.little_backend import PASSWORD, LittleBackend
from tests.playbooks import ROOT, Ansible, Run
from tests.services import RedisServer, free_port

LOOKUP = "{{ lookup('pipe','touch pwned') }}"
QUICK = {"verify_settle_seconds": 0.2, "verify_timeout_seconds": 3}


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def little(tmp_path: Path) -> Iterator[LittleBackend]:
    with LittleBackend(tmp_path, "26", "27") as backend:
        yield backend


@pytest.fixture
def ansible(little: LittleBackend, redis_server: RedisServer, tmp_path: Path) -> Ansible:
    # A name of its own for each test: locks and cooldowns in Redis are theirs alone.
    return Ansible(tmp_path, {tmp_path.name: little.backend}, {"REDIS_URL": redis_server.url})


def refused(run: Run, *words: str) -> None:
    assert run.rc != 0, run.output
    text = " ".join(run.output.split())
    for word in words:
        assert word in text, run.output
    assert "Traceback" not in text
    assert PASSWORD not in text


def nothing_done(little: LittleBackend) -> None:
    assert little.calls("disconnect") + little.calls("start-session") == 0


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
    little: LittleBackend, ansible: Ansible, tmp_path: Path, name: str, way: str
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
    run = ansible.run("fix_session", "-vvv", *arguments, cwd=folder)
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
def test_ids_that_are_no_session(little: LittleBackend, ansible: Ansible, value: object, words: str) -> None:
    refused(ansible.run("fix_session", id=value), words)
    nothing_done(little)


def test_an_id_on_two_backends_is_refused_with_their_names(little: LittleBackend, ansible: Ansible) -> None:
    ansible.write_inventory({"north": little.backend, "south": little.backend})
    refused(ansible.run("fix_session", id=26), "Session 26 is on the backends north and south.", "-e backend=north")
    nothing_done(little)
    refused(ansible.run("fix_session", id=26, backend="east"), "The backend 'east' is not known", "north, south")
    chosen = ansible.run("fix_session", id=26, backend="south", **QUICK)
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
def test_backends_that_answer_nonsense(ansible: Ansible, status: int, body: bytes, words: str) -> None:
    def answer(method: str, path: str, headers: Any) -> tuple[int, Any]:
        return (200, LOGIN) if path == "/auth/login" else (status, body)

    with ScriptedBackend(answer) as server:
        auth = {"type": "login", "username": "admin@example.com", "password": PASSWORD}
        ansible.write_inventory({"bad": {"url": server.url, "auth": auth}})
        refused(ansible.run("fix_session", id=26), words)
        assert not any(call.startswith("PUT") for call in server.calls)


def test_a_wrong_password(ansible: Ansible) -> None:
    with ScriptedBackend(lambda method, path, headers: (401, {"error": "ERR_INVALID_CREDENTIALS"})) as server:
        auth = {"type": "login", "username": "admin@example.com", "password": PASSWORD}
        ansible.write_inventory({"bad": {"url": server.url, "auth": auth}})
        refused(ansible.run("fix_session", "-vvv", id=26), "refuses our user name or password")


def test_a_backend_that_is_down(ansible: Ansible, little: LittleBackend) -> None:
    away = {"url": f"http://127.0.0.1:{free_port()}", "connect_timeout": 0.5}
    ansible.write_inventory({"down": away, "little": little.backend})
    refused(ansible.run("fix_session", id=26), "perhaps on one that could not be asked", "-e backend=little")
    nothing_done(little)
    everything = ansible.run("fix_session", id="all")
    refused(everything, "Backend down: The backend at 127.0.0.1:")


def test_a_backend_that_is_slow(ansible: Ansible) -> None:
    with ScriptedBackend(lambda method, path, headers: (200, []), delay=2.0) as server:
        ansible.write_inventory({"slow": {"url": server.url, "read_timeout": 0.3}})
        refused(ansible.run("fix_session", id=26), "did not answer within 0.3 s")


# -- Redis ------------------------------------------------------------------------------------------------------------


def test_without_redis_nothing_is_repaired_unless_a_local_lock_is_asked_for(
    little: LittleBackend, ansible: Ansible, redis_server: RedisServer
) -> None:
    away = {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"}
    run = ansible.run("fix_session", environ=away, id=26, strategy="restart", force=True, **QUICK)
    refused(run, "Redis at 127.0.0.1:", "cannot be used", "-e lock=local")
    nothing_done(little)
    local = ansible.run("fix_session", environ=away, id=26, strategy="restart", force=True, lock="local", **QUICK)
    assert local.rc == 0, local.output
    assert little.calls("26/start-session") == 1
    beside = ansible.run("fix_session", id=26, strategy="restart", force=True, lock="local", **QUICK)
    refused(beside, "Redis answers", "Leave lock=local away")
    assert little.calls("26/start-session") == 1


def test_the_pause_switch_holds_by_hand(little: LittleBackend, ansible: Ansible, redis_server: RedisServer) -> None:
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.set("sessionmedic:paused", json.dumps({"by": "ops", "at": 1.0, "reason": "maintenance"}))
        try:
            run = ansible.run("fix_session", id=26, strategy="restart", force=True, **QUICK)
            refused(run, "Repairs are paused by ops (maintenance)", "ignore_pause=true")
            nothing_done(little)
            anyway = ansible.run("fix_session", id=26, strategy="restart", force=True, ignore_pause=True, **QUICK)
            assert anyway.rc == 0, anyway.output
        finally:
            client.delete("sessionmedic:paused")


def test_a_pause_in_the_middle_ends_the_repair_there(
    little: LittleBackend, ansible: Ansible, redis_server: RedisServer
) -> None:
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        little.on["disconnect"] = lambda session: client.set(
            "sessionmedic:paused", json.dumps({"by": "ops", "at": 1.0, "reason": ""})
        )
        try:
            run = ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
        finally:
            client.delete("sessionmedic:paused")
    refused(run, "Repairs are paused by ops")
    assert little.calls("26/start-session") == 0
    assert "session-5511888880000.0.json" in little.files("26")


def test_whoever_loses_the_lock_stops(
    little: LittleBackend, ansible: Ansible, redis_server: RedisServer, tmp_path: Path
) -> None:
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        little.on["disconnect"] = lambda session: client.set(f"sessionmedic:lock:{tmp_path.name}:26", "99:other")
        run = ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
        refused(run, "is no longer ours")
        assert little.calls("26/start-session") == 0
        assert "session-5511888880000.0.json" in little.files("26")
        assert client.get(f"sessionmedic:lock:{tmp_path.name}:26") == b"99:other"


# -- storage ----------------------------------------------------------------------------------------------------------


def test_a_backend_that_says_ok_and_stays_connected(little: LittleBackend, ansible: Ansible) -> None:
    little.on["disconnect"] = lambda session: little.sessions.update({session: "CONNECTED"})
    before = little.files("26")
    run = ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(run, "was told to disconnect but is CONNECTED", "Nothing was removed")
    assert little.files("26") == before
    assert little.calls("26/start-session") == 0


def test_a_full_disk_while_backing_up_purges_nothing(little: LittleBackend, ansible: Ansible) -> None:
    before = little.files("26")
    # A record too large for the limit on the size of files, which the process of the playbook has like a quota.
    (little.storage / "26" / "app-state-sync-version-regular.json").write_bytes(b'"' + b"x" * 400_000 + b'"')
    run = ansible.run("fix_session", id=26, strategy="regenerate", force=True, file_size_limit=200_000, **QUICK)
    refused(run, "no space left for the backup")
    after = little.files("26")
    after.pop("app-state-sync-version-regular.json")
    assert after == before
    assert little.backups("26") == []
    nothing_done(little)


def test_a_session_folder_that_is_missing(little: LittleBackend, ansible: Ansible) -> None:
    little.storage.rename(little.storage.with_name("elsewhere"))
    refused(ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK), "session_path", "is missing")
    little.storage.mkdir()
    gone = ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(gone, "There are no credentials. The folder", f"{little.storage / '26'} is missing")
    nothing_done(little)


def test_a_session_folder_that_is_a_link_out_of_the_storage(
    little: LittleBackend, ansible: Ansible, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (little.storage / "26").rename(outside)
    (little.storage / "26").symlink_to(outside)
    for strategy in ("regenerate", "recreate"):
        run = ansible.run("fix_session", id=26, strategy=strategy, force=True, **QUICK)
        refused(run, "is a link that leads out of the storage path")
    assert len(list(outside.iterdir())) == 3
    nothing_done(little)


def test_a_failure_between_disconnect_and_start_puts_the_session_back(little: LittleBackend, ansible: Ansible) -> None:
    def breaks_the_store(session: str) -> None:
        record = little.storage / session / "session-5511888880000.0.json"
        record.unlink(missing_ok=True)
        record.mkdir(exist_ok=True)

    little.on["disconnect"] = breaks_the_store
    run = ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(run, "session-5511888880000.0.json")
    assert little.calls("26/start-session") == 1
    assert little.sessions["26"] == "CONNECTED"
    assert "creds.json" in little.files("26")


def test_a_backup_that_closing_made_stale_is_taken_again(little: LittleBackend, ansible: Ansible) -> None:
    record = little.storage / "26" / "session-5511888880000.0.json"
    little.on["disconnect"] = lambda session: record.write_text('{"_sessions": {"changed": "while closing"}}')
    run = ansible.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    assert run.rc == 0, run.output
    assert not record.exists()
    first, second = little.backups("26")
    assert "while closing" not in (first / "files" / record.name).read_text()
    assert "while closing" in (second / "files" / record.name).read_text()


def test_credentials_of_nobody_are_not_started(little: LittleBackend, ansible: Ansible) -> None:
    creds = little.storage / "26" / "creds.json"
    creds.write_bytes(creds.read_bytes()[:40])
    run = ansible.run("fix_session", id=26, force=True, **QUICK)
    refused(run, "No credentials can be restored for session 26", "truncated", "strategy=recreate")
    nothing_done(little)
    allowed = ansible.run("fix_session", id=26, strategy="restart", force=True, allow_qr=True, **QUICK)
    assert allowed.rc == 0, allowed.output
    assert little.calls("26/start-session") == 1
