"""The servers of tests/services.py start, keep their data over a restart and end."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
import redis

from tests.services import Alertmanager, PostgresServer, Prometheus, RedisServer, ServiceError


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_redis_keeps_its_data_over_a_restart_on_the_same_port(tmp_path: Path, end: str) -> None:
    server = RedisServer(tmp_path / "redis", password="p@ss/word")
    with server, redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        pid = server.pid
        getattr(server, end)()
        assert gone(pid)
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.get("key") == b"value"


@pytest.mark.parametrize("password", ["", "p@ss/word"])
def test_postgres_keeps_its_data_over_a_restart_and_removes_it_at_the_end(tmp_path: Path, password: str) -> None:
    with PostgresServer(tmp_path / "postgres", password=password) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        server.stop()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
        home = server._home
        assert home is not None and home.is_dir()
    assert not home.exists()


def test_a_wrong_postgres_password_is_refused(tmp_path: Path) -> None:
    with PostgresServer(tmp_path, password="right") as server:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url.replace("right", "wrong")).close()


def test_prometheus_scrapes_itself_and_reloads(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\n")
    with Prometheus(tmp_path / "prometheus", config) as server:
        assert server.query("vector(7)")[0]["value"][1] == "7"
        assert server.alerts() == []
        server.reload()
        config.write_text("nonsense: true\n")
        with pytest.raises(ServiceError, match="refused its configuration"):
            server.reload()


def test_alertmanager_lists_what_is_posted(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with Alertmanager(tmp_path / "alertmanager", config) as server:
        server.post_alerts([{"labels": {"alertname": "Example"}}])
        assert [alert["labels"] for alert in server.alerts()] == [{"alertname": "Example"}]


def test_a_server_that_does_not_start_says_so_with_its_log(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text("nonsense: true\n")
    server = Prometheus(tmp_path, config)
    with pytest.raises(ServiceError, match="field nonsense not found"):
        server.start()
    with pytest.raises(ServiceError, match="not running"):
        _ = server.pid
