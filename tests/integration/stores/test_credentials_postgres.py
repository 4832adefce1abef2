"""The credentials table in a real PostgreSQL, in the column types that backends use."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sessionmedic.config import CredentialsTable
from sessionmedic.errors import CredentialsInvalid, StoreError
from sessionmedic.stores.credentials import CredentialsStore, StoredCredentials
from tests.services import PostgresServer
from tests.unit.stores.auth_state import creds

ODD = b'{ "z" : 1.0, ' + creds()[1:] + b"\n"
PRISMA = """
    CREATE TYPE "SessionStatus" AS ENUM ('CONNECTED', 'DISCONNECTED');
    CREATE TABLE whatsapp_sessions (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "sessionId" text UNIQUE NOT NULL, "creds" {creds},
        "status" "SessionStatus" NOT NULL DEFAULT 'DISCONNECTED', "lastConnected" timestamp(3), "phone" text NOT NULL
    );
    INSERT INTO whatsapp_sessions ("sessionId", "creds", "phone") VALUES ('26', '{{}}', '1'), ('2', NULL, '2');
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres"), password="p@ss-secret") as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[Any]:
    """A connection in a zone far from UTC, to an empty schema."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS tenant CASCADE")
        connection.execute("ALTER DATABASE postgres SET timezone = 'America/Sao_Paulo'")
        yield connection


def test_our_own_table_keeps_bytes_status_and_time(server: PostgresServer, database: Any) -> None:
    store = CredentialsStore(server.url)
    with pytest.raises(StoreError, match="has no table 'WhatsAppSession'"):
        store.load("26")
    store.ensure_table()
    store.ensure_table()
    assert store.load("26") is None
    assert store.save("26", ODD, status="CONNECTED", connected_at=1_700_000_000.25)
    assert store.load("26") == StoredCredentials(ODD, "CONNECTED", 1_700_000_000.25)
    assert not store.save("26", ODD, status="CONNECTED", connected_at=1_700_000_000.25)
    columns = database.execute('SELECT "sessionId", creds FROM "WhatsAppSession"').fetchall()
    assert columns == [("26", ODD.decode())]


@pytest.mark.parametrize("kind", ["text", "json", "jsonb", "bytea", "varchar"])
def test_a_prisma_table_of_another_name(server: PostgresServer, database: Any, kind: str) -> None:
    database.execute(PRISMA.format(creds=kind))
    # Prisma's own options stand in the URL that both read.
    url = f"{server.url}?schema=public&connection_limit=5"
    store = CredentialsStore(url, CredentialsTable(name="whatsapp_sessions"))
    assert store.load("26") == StoredCredentials(b"{}", "DISCONNECTED")
    assert store.load("2") == StoredCredentials(None, "DISCONNECTED")
    assert store.save("26", ODD, status="CONNECTED", connected_at=1_700_000_000.0)
    stored = store.load("26")
    assert stored is not None and stored.creds is not None
    assert (stored.status, stored.last_connected) == ("CONNECTED", 1_700_000_000.0)
    # JSONB keeps the value, not the text; all others keep every byte.
    assert (json.loads(stored.creds) == json.loads(ODD)) if kind == "jsonb" else stored.creds == ODD
    assert not store.save("26", ODD)
    assert store.set_status("26", "DISCONNECTED")
    kept = database.execute('SELECT "lastConnected"::text, phone FROM whatsapp_sessions ORDER BY phone').fetchall()
    assert kept == [("2023-11-14 22:13:20", "1"), (None, "2")]
    assert store.load("2") == StoredCredentials(None, "DISCONNECTED")


def test_a_table_in_another_schema(server: PostgresServer, database: Any) -> None:
    database.execute("CREATE SCHEMA tenant")
    database.execute(
        'CREATE TABLE tenant."Sessions" ("sessionId" uuid, creds text, status text, "lastConnected" bigint)'
    )
    identifier = "0a58cf5e-3e0e-4d1c-9a37-2b1f64b7a0c1"
    for url, name in ((server.url, "tenant.Sessions"), (f"{server.url}?schema=tenant", "Sessions")):
        store = CredentialsStore(url, CredentialsTable(name=name))
        assert store.save(identifier, creds(), connected_at=1_700_000_000.0) == (name == "tenant.Sessions")
        assert store.load(identifier) == StoredCredentials(creds(), None, 1_700_000_000.0)


def test_a_number_as_id_is_compared_as_a_number(server: PostgresServer, database: Any) -> None:
    database.execute(
        'CREATE TABLE "Whatsapps" (id serial PRIMARY KEY, session text, status text, "updatedAt" timestamptz)'
    )
    database.execute('INSERT INTO "Whatsapps" (id) VALUES (2), (26)')
    store = CredentialsStore(server.url, CredentialsTable("Whatsapps", "id", "session", "status", "updatedAt"))
    assert store.save("26", creds(), status="CONNECTED", connected_at=1_700_000_000.0)
    assert store.load("26") == StoredCredentials(creds(), "CONNECTED", 1_700_000_000.0)
    assert store.load("2") == StoredCredentials(None)
    assert store.load("026x") is None
    with pytest.raises(StoreError):
        store.save("loja-26", creds())


def test_a_refused_save_changes_neither_status_nor_time(server: PostgresServer, database: Any) -> None:
    database.execute(PRISMA.format(creds="jsonb"))
    store = CredentialsStore(server.url, CredentialsTable(name="whatsapp_sessions"))
    store.save("26", creds(), status="CONNECTED", connected_at=1_700_000_000.0)
    before = store.load("26")
    with pytest.raises(CredentialsInvalid, match="of another account"):
        store.save("26", creds(me="15550009999:1@s.whatsapp.net"), status="DISCONNECTED", connected_at=1.0)
    with pytest.raises(StoreError, match="refuses"):
        store.save("26", creds("second"), status="NO_SUCH_STATUS")
    assert store.load("26") == before
    with pytest.raises(StoreError, match="takes none from us"):
        store.save("99", creds())


def test_two_writers_do_not_mix(server: PostgresServer, database: Any) -> None:
    """Reading, judging and writing hold the row: the second writer is judged against what the first wrote."""
    store = CredentialsStore(server.url)
    store.ensure_table()
    store.save("26", creds(me="15550001111:1@s.whatsapp.net"))
    store.put_back("26", StoredCredentials(b"{}"))
    refused: list[str] = []

    def write(number: int) -> None:
        try:
            store.save("26", creds(f"seed {number}", me=f"1555000{number}:1@s.whatsapp.net"))
        except CredentialsInvalid as error:
            refused.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    with psycopg.connect(server.url) as other:
        other.execute('SELECT * FROM "WhatsAppSession" FOR UPDATE')
        for thread in threads:
            thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        deadline = time.monotonic() + 30
        while database.execute(waiting).fetchone() != (4,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert len(refused) == 3


def test_a_row_that_is_locked_is_an_error_in_time(server: PostgresServer, database: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sessionmedic.stores.credentials.STATEMENT_MS", 300)
    store = CredentialsStore(server.url)
    store.ensure_table()
    store.save("26", creds())
    with psycopg.connect(server.url) as other:
        other.execute('SELECT * FROM "WhatsAppSession" FOR UPDATE')
        with pytest.raises(StoreError, match="cannot be used"):
            store.save("26", creds("second"))
    assert store.load("26") == StoredCredentials(creds())


@pytest.mark.parametrize("password", ["p@ss-secret", "wrong-secret"])
def test_a_database_that_is_away_or_refuses_is_named_without_its_password(
    server: PostgresServer, tmp_path: Path, password: str
) -> None:
    port = PostgresServer(tmp_path / "other").port if password == "p@ss-secret" else server.port
    store = CredentialsStore(f"postgresql://postgres:{password.replace('@', '%40')}@127.0.0.1:{port}/postgres")
    for act in (lambda: store.load("26"), lambda: store.save("26", creds()), store.ensure_table):
        with pytest.raises(StoreError) as caught:
            act()
        assert f"127.0.0.1:{port}" in str(caught.value)
        assert "secret" not in str(caught.value) and caught.value.__suppress_context__
