"""The credentials table in SQLite: our own default, and tables of others."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from sessionmedic.config import BackendConfig, CredentialsTable
from sessionmedic.errors import ConfigError, CredentialsInvalid, InvalidName, StoreError
from sessionmedic.stores.credentials import CredentialsStore, StoredCredentials, default_database_url
from tests.unit.stores.auth_state import backend, creds


@pytest.fixture
def store(tmp_path: Path) -> CredentialsStore:
    return CredentialsStore(default_database_url(backend(tmp_path)))


def rows(path: Path, query: str = 'SELECT * FROM "WhatsAppSession" ORDER BY 1') -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def default_file(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "credentials+sandbox.sqlite3"


def test_nothing_is_made_until_something_is_saved(tmp_path: Path, store: CredentialsStore) -> None:
    assert store.load("26") is None
    assert not (tmp_path / "backups").exists()


def test_credentials_are_kept_byte_for_byte(tmp_path: Path, store: CredentialsStore) -> None:
    odd = b'{ "x" : "\xc3\xa9\\u00e9", ' + creds()[1:] + b"\n\n"
    assert store.save("26", odd, status="CONNECTED", connected_at=1_700_000_000.5)
    assert store.load("26") == StoredCredentials(odd, "CONNECTED", 1_700_000_000.5)
    assert store.load("2") is None
    assert stat.S_IMODE(default_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "backups").stat().st_mode) == 0o700


def test_saving_the_same_again_changes_nothing(tmp_path: Path, store: CredentialsStore) -> None:
    assert store.save("26", creds(), status="CONNECTED", connected_at=1_700_000_000)
    before = default_file(tmp_path).read_bytes()
    assert not store.save("26", creds())
    assert not store.save("26", creds(), status="CONNECTED", connected_at=1_700_000_000)
    assert default_file(tmp_path).read_bytes() == before
    assert store.save("26", creds(), status="DISCONNECTED")
    assert store.save("26", creds(), connected_at=1_700_000_099)
    assert store.load("26") == StoredCredentials(creds(), "DISCONNECTED", 1_700_000_099.0)


def test_new_credentials_of_the_same_account_replace_the_old(store: CredentialsStore) -> None:
    store.save("2", creds("other", me="15550009999:1@s.whatsapp.net"))
    store.save("26", creds(), status="CONNECTED")
    assert store.save("26", creds("second"))
    assert store.load("26") == StoredCredentials(creds("second"), "CONNECTED", None)
    assert store.load("2") == StoredCredentials(creds("other", me="15550009999:1@s.whatsapp.net"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "The credentials are empty."),
        (b"{}", "The credentials are an empty object."),
        (creds()[:-20], "truncated"),
        (creds(me=None), "not paired"),
        (creds(me="15550009999:5@s.whatsapp.net"), "of another account"),
    ],
)
def test_bad_credentials_never_replace_good_ones(store: CredentialsStore, data: bytes, reason: str) -> None:
    store.save("26", creds(), status="CONNECTED", connected_at=1_700_000_000)
    before = store.load("26")
    with pytest.raises(CredentialsInvalid, match=reason):
        store.save("26", data, status="DISCONNECTED", connected_at=1_800_000_000)
    assert store.load("26") == before


def test_bad_credentials_make_no_row(tmp_path: Path, store: CredentialsStore) -> None:
    with pytest.raises(CredentialsInvalid):
        store.save("26", b"{}")
    assert store.load("26") is None


def test_a_backup_is_put_back_whatever_the_row_holds(store: CredentialsStore) -> None:
    store.save("26", creds("second", me="15550009999:5@s.whatsapp.net"))
    old = StoredCredentials(creds(), "DISCONNECTED", 1_600_000_000.0)
    assert store.put_back("26", old)
    assert store.load("26") == old
    assert not store.put_back("26", old)
    assert store.put_back("26", StoredCredentials(None))
    assert store.load("26") == StoredCredentials(None, "DISCONNECTED", 1_600_000_000.0)


def test_the_status_is_set_on_a_row_that_is_there(store: CredentialsStore) -> None:
    store.ensure_table()
    with pytest.raises(StoreError, match="has no row for session 26"):
        store.set_status("26", "DISCONNECTED")
    store.save("26", creds())
    store.save("27", creds(), status="CONNECTED")
    assert store.set_status("26", "DISCONNECTED")
    assert not store.set_status("26", "DISCONNECTED")
    assert store.load("26") == StoredCredentials(creds(), "DISCONNECTED")
    assert store.load("27") == StoredCredentials(creds(), "CONNECTED")


def test_two_backends_with_one_backup_path_share_no_rows(tmp_path: Path) -> None:
    first = BackendConfig(name="first", backup_path=str(tmp_path))
    second = BackendConfig(name="second", backup_path=str(tmp_path))
    CredentialsStore(default_database_url(first)).save("26", creds())
    assert CredentialsStore(default_database_url(second)).load("26") is None


def test_the_databases_url_comes_first(tmp_path: Path) -> None:
    assert default_database_url(backend(tmp_path, database_url="postgresql://db/wa")) == "postgresql://db/wa"
    with pytest.raises(ConfigError, match="neither database_url nor backup_path"):
        default_database_url(BackendConfig(name="sandbox"))


def test_ensure_table_keeps_a_table_that_is_there(tmp_path: Path, store: CredentialsStore) -> None:
    store.ensure_table()
    store.save("26", creds())
    store.ensure_table()
    assert store.load("26") is not None


def make_table(tmp_path: Path, statement: str, *more: str) -> str:
    path = tmp_path / "theirs.sqlite3"
    with sqlite3.connect(path) as connection:
        for command in (statement, *more):
            connection.execute(command)
    connection.close()
    return f"sqlite:///{path}"


def test_names_are_options_and_are_quoted(tmp_path: Path) -> None:
    url = make_table(
        tmp_path,
        'CREATE TABLE "whatsapp sessions; --" '
        '("order" INTEGER PRIMARY KEY, "select" JSON, "Group" TEXT, "lastSeen" BIGINT)',
        "INSERT INTO \"whatsapp sessions; --\" VALUES (2, '{}', 'CONNECTED', NULL)",
        "INSERT INTO \"whatsapp sessions; --\" VALUES (26, NULL, 'DISCONNECTED', 1700000000123)",
    )
    store = CredentialsStore(url, CredentialsTable("whatsapp sessions; --", "order", "select", "Group", "lastSeen"))
    assert store.load("26") == StoredCredentials(None, "DISCONNECTED", 1_700_000_000.123)
    assert store.save("26", creds(), connected_at=1_800_000_000.0)
    assert store.load("26") == StoredCredentials(creds(), "DISCONNECTED", 1_800_000_000.0)
    assert store.load("loja-26") is None
    assert store.load("2") == StoredCredentials(b"{}", "CONNECTED")


def test_columns_that_a_backend_does_not_have_are_left_out(tmp_path: Path) -> None:
    url = make_table(tmp_path, 'CREATE TABLE "Session" ("sessionId" TEXT UNIQUE, creds BLOB)')
    store = CredentialsStore(url, CredentialsTable("Session", status_column="", last_connected_column=""))
    assert store.save("26", creds(), status="CONNECTED", connected_at=1.0)
    assert store.load("26") == StoredCredentials(creds())
    assert rows(tmp_path / "theirs.sqlite3", 'SELECT * FROM "Session"') == [("26", creds())]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (CredentialsTable(creds_column="session"), "The table 'WhatsAppSession' has no column 'session'."),
        (CredentialsTable(id_column='sessionId" OR 1=1 --'), "has no column"),
    ],
)
def test_columns_that_are_not_there_are_named(tmp_path: Path, names: CredentialsTable, reason: str) -> None:
    CredentialsStore(default_database_url(backend(tmp_path))).ensure_table()
    with pytest.raises(StoreError, match=reason):
        CredentialsStore(default_database_url(backend(tmp_path)), names).load("26")


def test_a_row_that_the_table_does_not_take_from_us_is_an_error(tmp_path: Path) -> None:
    url = make_table(
        tmp_path,
        'CREATE TABLE "WhatsAppSession" '
        '("sessionId" TEXT, creds TEXT, status TEXT, "lastConnected" TEXT, owner TEXT NOT NULL)',
    )
    with pytest.raises(StoreError, match="has no row for session 26 and takes none from us"):
        CredentialsStore(url).save("26", creds())
    assert rows(tmp_path / "theirs.sqlite3") == []


def test_two_rows_of_one_session_are_an_error(tmp_path: Path) -> None:
    url = make_table(
        tmp_path,
        'CREATE TABLE "WhatsAppSession" ("sessionId" TEXT, creds TEXT, status TEXT, "lastConnected" TEXT)',
        "INSERT INTO \"WhatsAppSession\" VALUES ('26', '{}', 'a', NULL), ('26', '{}', 'b', '2026-01-15 10:30:45')",
    )
    with pytest.raises(StoreError, match="has 2 rows for session 26"):
        CredentialsStore(url).save("26", creds())
    assert [row[2] for row in rows(tmp_path / "theirs.sqlite3")] == ["a", "b"]


def test_creds_and_keys_in_one_cell_are_not_overwritten(tmp_path: Path) -> None:
    url = make_table(
        tmp_path,
        'CREATE TABLE "WhatsAppSession" ("sessionId" TEXT, creds TEXT, status TEXT, "lastConnected" TEXT)',
        "INSERT INTO \"WhatsAppSession\" VALUES ('26', '{\"creds\":{},\"keys\":{}}', 'a', NULL)",
    )
    with pytest.raises(StoreError, match="creds and keys in one cell"):
        CredentialsStore(url).save("26", creds())
    assert rows(tmp_path / "theirs.sqlite3")[0][1] == '{"creds":{},"keys":{}}'


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2026-01-15T10:30:45Z", 1768473045.0),
        ("2026-01-15 10:30:45.500000", 1768473045.5),
        ("2026-01-15T07:30:45-03:00", 1768473045.0),
        ("yesterday", None),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path: Path, text: str, epoch: float | None) -> None:
    url = make_table(
        tmp_path,
        'CREATE TABLE "WhatsAppSession" ("sessionId" TEXT, creds TEXT, status TEXT, "lastConnected" DATETIME)',
        f"INSERT INTO \"WhatsAppSession\" VALUES ('26', '', NULL, '{text}')",
    )
    assert CredentialsStore(url).load("26") == StoredCredentials(b"", None, epoch)


@pytest.mark.parametrize("session", ["", "../..", "26' OR '1'='1", "*", "x" * 300])
def test_ids_that_are_no_names_reach_no_row(store: CredentialsStore, session: str) -> None:
    store.save("26", creds())
    for act in (
        lambda: store.load(session),
        lambda: store.save(session, creds()),
        lambda: store.set_status(session, "x"),
    ):
        with pytest.raises(InvalidName):
            act()


@pytest.mark.parametrize("url", ["", "not a url", "nosuch://host/db", "postgresql://user:secret@host:port/db"])
def test_what_is_no_database_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CredentialsStore(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite3"
    path.write_bytes(b"this is no database, but long enough to be read as one" * 100)
    with pytest.raises(StoreError, match="theirs.sqlite3"):
        CredentialsStore(f"sqlite:///{path}").load("26")


def test_two_writers_do_not_mix(tmp_path: Path, store: CredentialsStore) -> None:
    """Reading, judging and writing are one: the second writer is judged against what the first wrote."""
    store.save("26", creds())
    store.put_back("26", StoredCredentials(b"{}"))
    refused: list[str] = []

    def write(number: int) -> None:
        try:
            store.save("26", creds(f"seed {number}", me=f"1555000{number}:1@s.whatsapp.net"))
        except CredentialsInvalid as error:
            refused.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    holder = sqlite3.connect(default_file(tmp_path), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        for thread in threads:
            thread.start()
        # Readers are not held: a writer that began by reading would have read by now.
        threads[0].join(0.3)
    finally:
        holder.close()
    for thread in threads:
        thread.join()
    assert len(refused) == 3


def test_a_locked_database_is_an_error_and_loses_nothing(tmp_path: Path, store: CredentialsStore) -> None:
    store.save("26", creds())
    holder = sqlite3.connect(default_file(tmp_path), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreError, match="cannot be used"):
            store.save("26", creds("second"))
    finally:
        holder.close()
    assert store.load("26") == StoredCredentials(creds())
