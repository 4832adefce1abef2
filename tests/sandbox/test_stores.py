"""Where the auth state lies: files as Baileys writes them, Redis, and a table with a copy of the creds."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.services import PostgresServer, RedisServer

from .conftest import MakeSandbox
from .sandbox import SANDBOX, Sandbox, wait_for


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def test_files_have_the_names_and_bytes_of_baileys_own_store(sandbox: Sandbox) -> None:
    """useMultiFileAuthState itself reads the folder, and what it writes back is the same to the byte."""
    folder = sandbox.folder(27)
    script = """
      import { useMultiFileAuthState } from 'baileys';
      import { readFileSync, readdirSync } from 'node:fs';
      const folder = process.argv[1];
      const read = name => readFileSync(`${folder}/${name}`, 'utf8');
      const before = Object.fromEntries(readdirSync(folder).map(name => [name, read(name)]));
      const { state, saveCreds } = await useMultiFileAuthState(folder);
      await saveCreds();
      for (const name of Object.keys(before)) {
        const match = /^(pre-key|session|identity-key|lid-mapping|device-list|tctoken)-(.*)\\.json$/.exec(name);
        if (!match) continue;
        const found = await state.keys.get(match[1], [match[2]]);
        await state.keys.set({ [match[1]]: found });
      }
      const changed = Object.keys(before).filter(name => read(name) !== before[name]);
      console.log(JSON.stringify({ names: Object.keys(before), changed, me: state.creds.me.id }));
    """
    sandbox.disconnect(27)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script, str(folder)],
        cwd=SANDBOX,
        capture_output=True,
        text=True,
        check=True,
    )
    sandbox.start_session(27)
    result = json.loads(done.stdout)
    assert result["changed"] == []
    assert result["me"].startswith("5511900000027:")
    assert {"creds.json", "pre-key-812.json", "session-20000000002700_1.0.json"} <= set(result["names"])


def test_redis_holds_the_state_and_a_purge_of_records_mends(
    make_sandbox: MakeSandbox, redis_server: RedisServer
) -> None:
    running = make_sandbox(store="redis", redis_url=redis_server.url)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        creds = json.loads(client.get("sessions:26:creds") or "")
        assert base64.b64decode(creds["noiseKey"]["public"]["data"])
        assert client.exists("sessions:26:pre-key-812")
        assert not running.folder(26).exists()

        running.fault(26, "rolled_back_records")
        running.assert_fails(26)
        running.restart(26)
        running.assert_fails(26)

        running.control_post("/touched/reset")
        running.disconnect(26)
        records = list(client.scan_iter("sessions:26:session-*"))
        client.delete(*records)
        running.start_session(26)
        running.assert_decrypts(26)
        assert running.touched(26)["keys_removed"] == len(records)
        assert running.touched(26)["files_removed"] == 0
        assert running.touched(2)["keys_removed"] == 0

        running.fault(26, "creds_truncated")
        assert len(client.get("sessions:26:creds") or "") == 40
        client.set("sessions:26:creds", (running.data_dir / "creds-copies/26.json").read_text())
        running.start_session(26)
        running.assert_decrypts(26)

        running.fault(26, "logged_out")
        running.wait_status(26, "DISCONNECTED")
        wait_for("the keys gone", lambda: not list(client.scan_iter("sessions:26:*")))


def test_the_table_has_creds_and_status_and_brings_a_lost_session_back(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    with PostgresServer(tmp_path / "postgres") as server, psycopg.connect(server.url, autocommit=True) as database:
        database.execute(
            'CREATE TABLE "Whatsapps" (id integer PRIMARY KEY, session text, status text, "lastConnected" timestamptz)'
        )
        database.execute("""INSERT INTO "Whatsapps" (id, status) VALUES (26, 'new')""")
        running = make_sandbox(
            creds_table={
                "database_url": server.url,
                "table": "Whatsapps",
                "id_column": "id",
                "creds_column": "session",
                "status_column": "status",
                "last_connected_column": "lastConnected",
            }
        )

        def row(session: int) -> tuple[str | None, str, object]:
            found = database.execute(
                'SELECT session, status, "lastConnected" FROM "Whatsapps" WHERE id = %s', [session]
            ).fetchone()
            assert found is not None
            return found[0], found[1], found[2]

        creds, status, connected = row(2)  # a row that was not there
        assert status == "CONNECTED" and connected is not None
        assert creds == (running.folder(2) / "creds.json").read_text()
        assert row(26)[1] == "CONNECTED"

        copy, _, _ = row(26)
        running.fault(26, "creds_lost")
        running.wait_status(26, "qrcode")
        wait_for("the status in the table", lambda: row(26)[1] == "qrcode")
        assert row(26)[0] == copy, "a session without creds must not overwrite the copy before it is linked"
        running.disconnect(26)
        (running.folder(26) / "creds.json").write_text(copy or "")
        running.start_session(26)
        running.assert_decrypts(26)

        running.fault(26, "logged_out")
        wait_for("creds gone from the table", lambda: row(26)[0] is None)


def test_a_database_away_is_logged_and_stops_no_session(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    with PostgresServer(tmp_path / "postgres") as server:
        with psycopg.connect(server.url, autocommit=True) as database:
            database.execute("CREATE TABLE w (id integer PRIMARY KEY, creds text)")
        url, table = server.url, {"table": "w", "id_column": "id", "creds_column": "creds"}
        running = make_sandbox(sessions=[26], creds_table={"database_url": url, **table})
    running.restart(26)
    running.assert_decrypts(26)
    wait_for("a record of it", lambda: any(r["msg"] == "creds could not be saved" for r in running.out_log()))
    running.fault(26, "logged_out")
    running.wait_status(26, "DISCONNECTED")
    assert running.control_get("/health")["backend_restarts"] == 0


def test_a_store_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        url = server.url
    config = {"data_dir": str(tmp_path / "data"), "store": "redis", "redis_url": url}
    with pytest.raises(RuntimeError, match="the redis store cannot be read"):
        Sandbox(config).start()
