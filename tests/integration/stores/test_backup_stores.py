"""Backups of files, Redis keys and a row together, from real servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from sessionmedic import backup_manifest
from sessionmedic.backup import NothingToBackUp, backup_credentials, restore_backup, verify_backup, write_backup
from sessionmedic.config import BackendConfig
from sessionmedic.errors import BackupError, StoreError
from sessionmedic.stores.credentials import CredentialsStore, StoredCredentials
from sessionmedic.stores.redis_keys import SessionKeys
from tests.services import PostgresServer, RedisServer
from tests.unit.stores.auth_state import BACKEND, creds, make_session, tree

NOW = 1_768_473_045.0
KEYS = {
    "creds": creds(),
    "session-15550001111.0": b'{"_sessions":{}}',
    "pre-key-1": b"{}",
    "tctoken-__index": b"\xff\x00 binary",
}


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), password="p@ss-secret") as running:
        yield running


@pytest.fixture(scope="module")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres"), password="p@ss-secret") as running:
        yield running


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.flushdb()
        for session in ("2", "26"):
            connection.mset({f"sessions:{session}:{name}": value for name, value in KEYS.items()})
            connection.set(f"whatsapp:cache:{session}:messages:1", b"MARKED message text")
        yield connection


@pytest.fixture
def table(postgres_server: PostgresServer) -> CredentialsStore:
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    store = CredentialsStore(postgres_server.url)
    store.ensure_table()
    store.save("2", creds("other", me="15550009999:1@s.whatsapp.net"), status="CONNECTED")
    store.save("26", creds(), status="CONNECTED", connected_at=1_700_000_000.0)
    return store


@pytest.fixture
def config(
    tmp_path: Path, redis_server: RedisServer, postgres_server: PostgresServer, client: Any, table: CredentialsStore
) -> BackendConfig:
    for session in ("2", "26"):
        make_session(tmp_path / "storage", session)
    return BackendConfig(
        name=BACKEND,
        session_path=str(tmp_path / "storage"),
        backup_path=str(tmp_path / "backups"),
        redis_url=redis_server.url,
        cache_prefixes=("whatsapp:cache:{id}:",),
        database_url=postgres_server.url,
    )


def everything(client: Any) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.keys("*")}


def home(tmp_path: Path) -> Path:
    return tmp_path / "backups" / BACKEND / "26"


def test_all_three_stores_are_put_back(
    tmp_path: Path, config: BackendConfig, client: Any, table: CredentialsStore
) -> None:
    files, keys, row, other = tree(tmp_path / "storage"), everything(client), table.load("26"), table.load("2")
    made = write_backup(config, "26", NOW)
    assert (made.keys, made.row) == (len(KEYS), True)
    assert verify_backup(made.path) == made
    assert (everything(client), table.load("26"), tree(tmp_path / "storage")) == (keys, row, files)

    for path in (tmp_path / "storage" / "26").glob("*-*.json"):
        if path.name != "session-backup.json":
            path.unlink()
    SessionKeys(config, "26").purge("keys")
    client.set("sessions:26:session-15550007777.0", b"not there then")
    table.put_back("26", StoredCredentials(creds("second"), "DISCONNECTED", 1.0))
    changed = restore_backup(config, "26", made.path)
    assert changed.keys == ["sessions:26:session-15550001111.0", "sessions:26:session-15550007777.0"]
    assert changed.row
    assert (everything(client), table.load("26"), tree(tmp_path / "storage")) == (keys, row, files)
    assert table.load("2") == other
    assert not restore_backup(config, "26", made.path).changed


def test_the_parts_can_be_read_by_eye(config: BackendConfig) -> None:
    made = write_backup(config, "26", NOW)
    keys = {item["key"]["text"]: item for item in json.loads((made.path / "redis.json").read_text())}
    assert keys["sessions:26:creds"]["value"] == {"text": creds().decode()}
    assert base64.b64decode(keys["sessions:26:tctoken-__index"]["value"]["base64"]) == KEYS["tctoken-__index"]
    assert json.loads((made.path / "row.json").read_text()) == {
        "creds": {"text": creds().decode()},
        "status": "CONNECTED",
        "last_connected": 1_700_000_000.0,
    }


def test_a_backup_holds_no_message_and_no_password(config: BackendConfig) -> None:
    made = write_backup(config, "26", NOW)
    content = b"".join(path.read_bytes() for path in made.path.rglob("*") if path.is_file())
    assert b"MARKED" not in content and base64.b64encode(b"MARKED message text")[:8] not in content
    assert b"secret" not in content.replace(b"advSecretKey", b"")


@pytest.mark.parametrize("part", ["redis.json", "row.json"])
def test_a_changed_part_is_refused_and_changes_nothing(
    tmp_path: Path, config: BackendConfig, client: Any, table: CredentialsStore, part: str
) -> None:
    made = write_backup(config, "26", NOW)
    (made.path / part).write_bytes((made.path / part).read_bytes().replace(b"26", b"27").replace(b"CONN", b"DISC"))
    SessionKeys(config, "26").purge("keys")
    before = tree(tmp_path / "storage"), everything(client), table.load("26")
    with pytest.raises(BackupError, match=f"is damaged: {part}"):
        restore_backup(config, "26", made.path)
    assert (tree(tmp_path / "storage"), everything(client), table.load("26")) == before


def test_keys_and_row_alone_make_a_backup(tmp_path: Path, config: BackendConfig, redis_server: RedisServer) -> None:
    only_keys = BackendConfig(BACKEND, backup_path=config.backup_path, redis_url=redis_server.url)
    made = write_backup(only_keys, "26", NOW)
    assert (made.files, made.keys, made.row) == (0, len(KEYS), False)
    assert backup_credentials(made.path) == creds()
    only_row = BackendConfig(BACKEND, backup_path=config.backup_path, database_url=config.database_url)
    made = write_backup(only_row, "26", NOW)
    assert (made.files, made.keys, made.row) == (0, 0, True)
    assert backup_credentials(made.path) == creds()
    for missing, name in (("redis_url", only_row), ("database_url", only_keys)):
        with pytest.raises(BackupError, match=f"has no {missing}|has no session_path"):
            restore_backup(name, "26", write_backup(config, "26", NOW).path)
    with pytest.raises(NothingToBackUp):
        write_backup(only_keys, "99", NOW)


def test_usable_credentials_come_before_broken_ones(
    tmp_path: Path, config: BackendConfig, client: Any, table: CredentialsStore
) -> None:
    (tmp_path / "storage" / "26" / "creds.json").write_bytes(creds()[:100])
    client.set("sessions:26:creds", b"{}")
    assert backup_credentials(write_backup(config, "26", NOW).path) == creds()


def interfere(monkeypatch: pytest.MonkeyPatch, part: str, act: Callable[[int], object]) -> None:
    """Let the backend act each time that the part has been written, before it is compared."""
    name = {"redis.json": "rendered_keys", "row.json": "rendered_row"}[part]
    original, calls = getattr(backup_manifest, name), iter(range(10_000))

    def rendered(content: Any) -> bytes:
        act(next(calls))
        result: bytes = original(content)
        return result

    monkeypatch.setattr(backup_manifest, name, rendered)


def test_a_key_that_changes_meanwhile_is_taken_again(
    config: BackendConfig, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sessions:26:session-15550001111.0"
    interfere(monkeypatch, "redis.json", lambda call: client.set(key, b"new") if call == 0 else None)
    made = write_backup(config, "26", NOW)
    SessionKeys(config, "26").purge("keys")
    restore_backup(config, "26", made.path)
    assert client.get(key) == b"new"


@pytest.mark.parametrize("part", ["redis.json", "row.json"])
def test_what_never_rests_is_an_error(
    tmp_path: Path,
    config: BackendConfig,
    client: Any,
    table: CredentialsStore,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    def act(call: int) -> None:
        client.set("sessions:26:session-15550001111.0", str(call))
        table.put_back("26", StoredCredentials(creds(f"seed {call}")))

    interfere(monkeypatch, part, act)
    with pytest.raises(BackupError, match="changing while"):
        write_backup(config, "26", NOW)
    assert list(home(tmp_path).iterdir()) == []


def test_a_key_that_vanishes_is_an_error_unless_it_is_a_pre_key(
    tmp_path: Path, config: BackendConfig, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interfere(patch, "redis.json", lambda call: client.delete("sessions:26:pre-key-1"))
        assert write_backup(config, "26", NOW).keys == len(KEYS) - 1
    interfere(monkeypatch, "redis.json", lambda call: client.delete("sessions:26:session-15550001111.0"))
    with pytest.raises(BackupError, match=r"sessions:26:session-15550001111\.0 vanished while it was being backed up"):
        write_backup(config, "26", NOW)
    assert len(list(home(tmp_path).iterdir())) == 1


def test_a_row_that_vanishes_is_an_error(
    tmp_path: Path, config: BackendConfig, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(_call: int) -> None:
        with psycopg.connect(postgres_server.url) as connection:
            connection.execute('DELETE FROM "WhatsAppSession" WHERE "sessionId" = \'26\'')

    interfere(monkeypatch, "row.json", delete)
    with pytest.raises(BackupError, match="row keeps changing"):
        write_backup(config, "26", NOW)
    assert list(home(tmp_path).iterdir()) == []


@pytest.mark.parametrize("away", ["redis", "postgres"])
def test_a_server_that_is_away_means_no_backup_and_no_restore(
    tmp_path: Path,
    config: BackendConfig,
    client: Any,
    table: CredentialsStore,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    away: str,
) -> None:
    made = write_backup(config, "26", NOW)
    (tmp_path / "storage" / "26" / "creds.json").write_bytes(creds("second"))
    SessionKeys(config, "26").purge("keys")
    before, keys = tree(tmp_path / "storage"), everything(client)
    server = redis_server if away == "redis" else postgres_server
    server.stop()
    try:
        with pytest.raises(BackupError, match=f"127.0.0.1:{server.port}") as caught:
            write_backup(config, "26", NOW)
        assert "secret" not in str(caught.value)
        with pytest.raises(StoreError, match=f"127.0.0.1:{server.port}"):
            restore_backup(config, "26", made.path)
    finally:
        server.start()
    assert tree(tmp_path / "storage") == before
    assert everything(client) == keys
    assert [path.name for path in home(tmp_path).iterdir()] == [made.path.name]
