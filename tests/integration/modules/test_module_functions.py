"""What each module's function does to real files, rows and keys, and what it refuses."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.little_backend import LittleBackend, credentials
from tests.playbooks import ROOT, link_collection
from tests.services import RedisServer, free_port

link_collection()
sys.path.insert(0, str(ROOT / ".ansible/collections"))
MODULES = "ansible_collections.sessionmedic.whatsapp.plugins.modules"
CORE = "ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic"
RECORD = "session-5511888880000.0.json"

Do = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def little(tmp_path: Path) -> Iterator[LittleBackend]:
    with LittleBackend(tmp_path, "26", "27") as backend:
        backend.sessions["26"] = "DISCONNECTED"
        yield backend


@pytest.fixture
def do(little: LittleBackend, redis_server: RedisServer, tmp_path: Path) -> Do:
    """Run a module's function with validated parameters, as both ways of running it do."""
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    def run(name: str, check_mode: bool = False, config: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        module = importlib.import_module(f"{MODULES}.{name}")
        given = {
            "session": "26",
            "backend_name": tmp_path.name,
            "redis_url": redis_server.url,
            "backend": {**little.backend, **(config or {})},
            **given,
        }
        checked = ArgumentSpecValidator(module.ARGUMENT_SPEC, **getattr(module, "RULES", {})).validate(given)
        assert not checked.error_messages
        result: dict[str, Any] = module.run(checked.validated_parameters, check_mode)
        json.dumps(result)
        return result

    return run


def error(name: str) -> type[Exception]:
    found: type[Exception] = getattr(importlib.import_module(f"{CORE}.errors"), name)
    return found


@pytest.fixture
def database(tmp_path: Path) -> dict[str, str]:
    return {"database_url": f"sqlite:///{tmp_path / 'app.sqlite3'}"}


# -- session_backup ---------------------------------------------------------------------------------------------------


def test_a_backup_is_written_once_for_each_state(little: LittleBackend, do: Do) -> None:
    would = do("session_backup", check_mode=True)
    assert (would["changed"], would["backup"], little.backups("26")) == (True, "", [])
    first = do("session_backup")
    assert (first["changed"], first["files"]) == (True, 3)
    assert do("session_backup", check_mode=True)["changed"] is False
    again = do("session_backup")
    assert (again["changed"], again["backup"]) == (False, first["backup"])
    (little.storage / "26" / RECORD).write_text("{}")
    assert do("session_backup")["backup"] != first["backup"]


def test_a_damaged_backup_does_not_pass_for_the_newest(little: LittleBackend, do: Do) -> None:
    first = Path(do("session_backup")["backup"])
    (first / "files" / RECORD).write_text("damaged")
    assert do("session_backup")["changed"] is True


def test_a_backup_of_what_is_nowhere(little: LittleBackend, do: Do) -> None:
    with pytest.raises(error("StoreError"), match="no backup_path"):
        do("session_backup", config={"backup_path": None})
    skipped = do("session_backup", config={"backup_path": None}, required=False)
    assert (skipped["changed"], skipped["backup"]) == (False, "")
    assert "backup_path is not set" in skipped["msg"]


# -- session_purge ----------------------------------------------------------------------------------------------------


def test_records_go_only_with_a_backup_and_while_down(little: LittleBackend, do: Do) -> None:
    backup = do("session_backup")["backup"]
    with pytest.raises(error("BackupError"), match="No backup equals session 26"):
        do("session_purge", level="keys")
    little.sessions["26"] = "CONNECTED"
    with pytest.raises(error("StoreError"), match="is CONNECTED, not disconnected"):
        do("session_purge", level="keys", backup=backup)
    little.sessions["26"] = "DISCONNECTED"
    (little.storage / "26" / "pre-key-1.json").write_text("changed")
    with pytest.raises(error("BackupError"), match="Nothing was removed"):
        do("session_purge", level="keys", backup=backup)
    assert RECORD in little.files("26")
    with pytest.raises(error("BackupError")):
        do("session_purge", level="keys", backup=do("session_backup", session="27")["backup"])


def test_keys_go_and_credentials_stay(little: LittleBackend, do: Do) -> None:
    backup = do("session_backup")["backup"]
    others = little.files("27")
    would = do("session_purge", check_mode=True, level="keys", backup=backup)
    assert (would["removed"], RECORD in little.files("26")) == ([RECORD], True)
    done = do("session_purge", level="keys", backup=backup)
    assert (done["changed"], done["removed"], done["left"]) == (True, [RECORD], 2)
    assert set(little.files("26")) == {"creds.json", "pre-key-1.json"}
    assert do("session_purge", level="keys", backup=backup)["changed"] is False
    assert little.files("27") == others


def test_peers_that_do_not_fail_keep_their_records(little: LittleBackend, do: Do) -> None:
    (little.storage / "26" / "session-5511777770000.0.json").write_text("{}")
    backup = do("session_backup")["backup"]
    done = do("session_purge", level="keys", peers=["5511777770000.0"], backup=backup)
    assert done["removed"] == ["session-5511777770000.0.json"]
    assert RECORD in little.files("26")


def test_everything_goes_from_files_and_table(little: LittleBackend, do: Do, database: dict[str, str]) -> None:
    do("credentials_save", config=database)
    do("credentials_save", config=database, session="27")
    backup = do("session_backup", config=database)
    assert backup["row"] is True
    done = do("session_purge", level="all", config=database, backup=backup["backup"])
    assert set(done["removed"]) == {"creds.json", "pre-key-1.json", RECORD, "credentials in the table"}
    assert little.files("26") == {}
    with pytest.raises(error("CredentialsInvalid"), match="There are no credentials"):
        do("session_reconnect", config=database)
    assert do("credentials_save", config=database, session="27")["changed"] is False
    assert do("session_purge", level="all", config=database, backup=backup["backup"])["changed"] is False


def test_caches_go_without_a_backup_and_while_connected(
    little: LittleBackend, do: Do, redis_server: RedisServer, tmp_path: Path
) -> None:
    little.sessions["26"] = "CONNECTED"
    prefix = f"{tmp_path.name}:cache:{{id}}:"
    keys = [f"{tmp_path.name}:cache:26:chats", f"{tmp_path.name}:cache:27:chats", f"{tmp_path.name}:cache:261:chats"]
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        for key in keys:
            client.set(key, "a message")
        caches = {"redis_url": redis_server.url, "cache_prefixes": [prefix]}
        done = do("session_purge", level="cache", config=caches)
        assert done["removed"] == keys[:1]
        assert sorted(client.scan_iter(match=f"{tmp_path.name}:cache:*")) == sorted(keys[1:])
    assert RECORD in little.files("26")


# -- credentials ------------------------------------------------------------------------------------------------------


def test_saved_credentials_mend_truncated_ones(little: LittleBackend, do: Do) -> None:
    creds = little.storage / "26" / "creds.json"
    whole = creds.read_bytes()
    assert do("credentials_save", check_mode=True)["changed"] is True
    assert do("credentials_save")["changed"] is True
    assert do("credentials_save")["changed"] is False
    untouched = do("credentials_restore")
    assert (untouched["changed"], untouched["source"]) == (False, "")
    creds.write_bytes(whole[:40])
    would = do("credentials_restore", check_mode=True)
    assert (would["changed"], would["source"], creds.read_bytes()) == (True, "table", whole[:40])
    little.sessions["26"] = "CONNECTED"
    with pytest.raises(error("StoreError"), match="not disconnected"):
        do("credentials_restore")
    little.sessions["26"] = "DISCONNECTED"
    assert do("credentials_restore")["source"] == "table"
    assert creds.read_bytes() == whole
    assert creds.stat().st_mode & 0o777 == 0o600
    assert do("credentials_restore")["changed"] is False


def test_nothing_is_left_so_the_whole_backup_comes_back(little: LittleBackend, do: Do) -> None:
    do("session_backup")
    files = little.files("26")
    for path in (little.storage / "26").iterdir():
        path.unlink()
    (little.storage / "26").rmdir()
    done = do("credentials_restore")
    assert (done["changed"], done["whole"]) == (True, True)
    assert little.files("26") == files


def test_credentials_of_another_account_are_not_restored(little: LittleBackend, do: Do) -> None:
    creds = little.storage / "26" / "creds.json"
    other = credentials("5511222220000")
    creds.write_bytes(other)
    do("session_backup")
    creds.write_bytes(credentials("5511999990000"))
    found = do("credentials_restore")
    assert found["changed"] is False
    assert "another account" in found["refused"][0]["reason"]
    do("credentials_save")
    creds.write_bytes(other)
    with pytest.raises(error("CredentialsInvalid"), match="another account"):
        do("credentials_save")


def test_nothing_saved_says_so(little: LittleBackend, do: Do) -> None:
    (little.storage / "26" / "creds.json").write_bytes(b"")
    with pytest.raises(error("CredentialsInvalid"), match="The credentials are empty.*nothing was saved"):
        do("credentials_restore")
    with pytest.raises(error("CredentialsInvalid"), match="Nothing was saved"):
        do("credentials_save")


# -- session_reconnect, session_disconnect ----------------------------------------------------------------------------


def test_a_start_without_whole_credentials_needs_leave(little: LittleBackend, do: Do) -> None:
    creds = little.storage / "26" / "creds.json"
    creds.write_bytes(creds.read_bytes()[:40])
    with pytest.raises(error("CredentialsInvalid"), match="allow_qr=true"):
        do("session_reconnect")
    assert little.calls("start-session") == 0
    started = do("session_reconnect", allow_qr=True)
    assert (started["changed"], started["credentials"]) == (True, "incomplete")


def test_a_backend_of_which_only_the_url_is_known_can_be_restarted(little: LittleBackend, do: Do) -> None:
    little.sessions["26"] = "CONNECTED"
    bare = {"session_path": None, "backup_path": None}
    assert do("session_disconnect", config=bare)["confirmed"] is True
    started = do("session_reconnect", config=bare)
    assert (started["connected"], started["credentials"]) == (True, "unknown")
    with pytest.raises(error("StoreError"), match="Nothing says where"):
        do("session_purge", level="keys", config=bare)


# -- session_lock and what forbids a step -----------------------------------------------------------------------------


def test_a_lock_excludes_and_a_good_end_is_remembered(do: Do, redis_server: RedisServer, tmp_path: Path) -> None:
    assert do("session_lock", check_mode=True)["lock"] == ""
    held = do("session_lock", owner="first")
    assert (held["changed"], held["owner"]) == (False, "first")
    for check_mode in (False, True):
        with pytest.raises(error("LockHeld"), match="first"):
            do("session_lock", check_mode=check_mode)
    end = {"state": "released", "lock": held["lock"], "outcome": "recovered", "remedy": "restart"}
    released = do("session_lock", **end, cooldown_seconds=60)
    assert (released["released"], released["outcome"], released["remedy"]) == (True, "recovered", "restart")
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        mark = float(str(client.hget(f"sessionmedic:verified:{tmp_path.name}", "26")))
        assert held["at"] <= mark <= released["at"] + 5
        assert 0 < client.pttl(f"sessionmedic:cooldown:{tmp_path.name}:26") <= 60_000
        client.delete(f"sessionmedic:verified:{tmp_path.name}")
        assert do("session_lock", **end)["released"] is False
        assert client.hget(f"sessionmedic:verified:{tmp_path.name}", "26") is None
    assert do("session_health")["cooldown_left"] > 0


STEPS: list[tuple[str, dict[str, Any]]] = [
    ("session_disconnect", {}),
    ("session_backup", {}),
    ("session_purge", {"level": "keys"}),
    ("credentials_save", {}),
    ("credentials_restore", {}),
    ("session_reconnect", {}),
]


@pytest.mark.parametrize(("name", "options"), STEPS, ids=[name for name, _ in STEPS])
def test_every_changing_step_minds_lock_pause_and_redis(
    little: LittleBackend, do: Do, redis_server: RedisServer, name: str, options: dict[str, Any]
) -> None:
    before = little.files("26")
    with pytest.raises(error("LockLost")):
        do(name, lock="1:nobody", **options)
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("sessionmedic:paused", json.dumps({"by": "ops", "at": 1.0, "reason": ""}))
        try:
            with pytest.raises(error("Paused"), match="paused by ops"):
                do(name, **options)
            with pytest.raises(error("Paused")):
                do("session_lock")
        finally:
            client.delete("sessionmedic:paused")
    with pytest.raises(error("StateUnavailable"), match="lock=local"):
        do(name, redis_url=f"redis://127.0.0.1:{free_port()}/0", **options)
    assert little.files("26") == before
    assert little.calls("disconnect") + little.calls("start-session") == 0
    assert little.backups("26") == []


def test_a_step_extends_the_lock(do: Do, redis_server: RedisServer, tmp_path: Path) -> None:
    held = do("session_lock", lock_ttl=30)
    do("session_backup", lock=held["lock"], lock_ttl=500)
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.pttl(f"sessionmedic:lock:{tmp_path.name}:26") > 400_000


# -- session_health, session_info -------------------------------------------------------------------------------------


def test_health_of_one_and_of_all(little: LittleBackend, do: Do) -> None:
    little.sessions["26"] = "CONNECTED"
    one = do("session_health")
    assert (one["healthy"], one["state"], one["remedies"], one["credentials"]) == (True, "healthy", [], "complete")
    little.sessions["27"] = "OPENING"
    everyone = do("session_health", session=None, stuck_seconds=0)
    assert [(each["id"], each["healthy"], each["state"]) for each in everyone["sessions"]] == [
        ("26", True, "healthy"),
        ("27", False, "stuck"),
    ]
    little.log.unlink()
    assert {each["state"] for each in do("session_health", session=None, stuck_seconds=0)["sessions"]} == {
        "unknown",
        "stuck",
    }
    assert do("session_health")["state"] == "unknown"


def test_truncated_credentials_leave_only_the_remedy_that_restores_them(little: LittleBackend, do: Do) -> None:
    creds = little.storage / "26" / "creds.json"
    creds.write_bytes(creds.read_bytes()[:40])
    ill = do("session_health")
    assert (ill["credentials"], ill["plan"]) == ("incomplete", "restore")
    assert do("session_health", allow_qr=True)["plan"] == "restart"
    assert do("session_health", strategy="restart")["plan"] == "restart"


def test_a_session_on_its_way_is_given_the_backends_own_time(little: LittleBackend, do: Do) -> None:
    little.sessions["26"] = "OPENING"
    little.answers_until_connected = 4
    waited = do("session_health", stuck_seconds=0.1, config={"self_recovery_seconds": 20})
    assert waited["healthy"] is True


def test_a_backend_that_is_away_is_a_result(do: Do) -> None:
    away = {"url": f"http://127.0.0.1:{free_port()}", "connect_timeout": 0.2}
    listed = do("session_info", session=None, config=away)
    assert (listed["available"], listed["error"], listed["sessions"]) == (False, "BackendUnavailable", [])
    unknown = do("session_info", session="99")
    assert (unknown["available"], unknown["error"]) == (True, "UnknownSession")
