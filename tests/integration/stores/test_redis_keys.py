"""Session keys in a real Redis: the exact session's, whatever the others are called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionmedic.config import BackendConfig
from sessionmedic.errors import ConfigError, InvalidName, StoreError
from sessionmedic.names import PATTERN
from sessionmedic.stores.redis_keys import KeyDump, SessionKeys
from tests.services import RedisServer
from tests.unit.stores.auth_state import creds

AUTH = {
    "creds": creds(),
    "session-15550001111.0": b'{"_sessions":{}}',
    "session-15550001111.12": b"{}",
    "session-15550001112.0": b"{}",
    "session-99990003333_1.0": b"{}",
    "sender-key-120363000000000001@g.us::15550001111::0": b"{}",
    "sender-key-memory-120363000000000001@g.us": b"{}",
    "pre-key-1": b"{}",
    "app-state-sync-key-AAAA/Ex1": b"{}",
    "lid-mapping-15550003333": b'"99990003333"',
    "lid-mapping-99990003333_reverse": b'"15550003333"',
}
KEYS = {name for name in AUTH if name.startswith(("session-", "sender-key-"))}
CACHE_PREFIX = "whatsapp:cache:{id}:"
Keys = dict[bytes, bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), password="p@ss/word") as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as connection:
        connection.flushdb()
        yield connection


def backend(server: RedisServer, **changes: Any) -> BackendConfig:
    return BackendConfig(name="sandbox", redis_url=server.url, **{"cache_prefixes": (CACHE_PREFIX,), **changes})


def fill(client: Any, session: str) -> None:
    client.mset({f"sessions:{session}:{name}": value for name, value in AUTH.items()})
    client.mset({f"whatsapp:cache:{session}:{name}": b"text" for name in ("chats", "chat:1", "messages:1")})
    client.set(f"sessions:{session}:lock", b"of the application")


def everything(client: Any) -> Keys:
    return {key: client.dump(key) for key in client.keys("*")}


def of(session: str, names: set[str]) -> set[str]:
    return {f"sessions:{session}:{name}" for name in names}


@pytest.mark.parametrize(
    ("level", "auth", "cache"), [("cache", set(), True), ("keys", KEYS, False), ("all", set(AUTH), True)]
)
def test_a_purge_removes_its_level_of_its_session_alone(
    server: RedisServer, client: Any, level: str, auth: set[str], cache: bool
) -> None:
    for session in ("2", "26", "27", "126", "26-1", "x26"):
        fill(client, session)
    client.mset({"bull:26:1": b"job", "TICKETZ_JWT_SECRET": b"s", "wbot:mutex:26": b"held", "sessions:26": b"x"})
    gone = of("26", auth)
    if cache:
        gone |= {f"whatsapp:cache:26:{name}" for name in ("chats", "chat:1", "messages:1")}
    before = everything(client)
    store = SessionKeys(backend(server), "26")
    assert store.select(level) == sorted(gone)
    assert everything(client) == before
    assert store.purge(level) == sorted(gone)
    assert everything(client) == {key: value for key, value in before.items() if key.decode() not in gone}
    assert store.purge(level) == []


@pytest.mark.parametrize(
    ("peer", "gone"),
    [
        (
            "15550001111.0",
            {
                "session-15550001111.0",
                "session-15550001111.12",
                "sender-key-120363000000000001@g.us::15550001111::0",
            },
        ),
        ("15550003333.0", {"session-99990003333_1.0"}),
        ("1555000111", set()),
    ],
)
def test_named_peers_confine_a_purge_of_keys(server: RedisServer, client: Any, peer: str, gone: set[str]) -> None:
    fill(client, "26")
    before = everything(client)
    assert SessionKeys(backend(server), "26").purge("keys", [peer]) == sorted(of("26", gone))
    assert {key.decode() for key in before.keys() - everything(client).keys()} == of("26", gone)


# Characters that a glob pattern would read as its own are in no name, but in prefixes they are.
PREFIXES = st.sampled_from(["sessions:{id}:", "s*:{id}:", "[ab]:{id}:", "a?b:{id}:", "{id}:", "back\\slash:{id}:"])
NAMES = st.from_regex(PATTERN.rstrip("$"), fullmatch=True).filter(lambda name: ".." not in name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PREFIXES, NAMES, NAMES, st.sampled_from(["s1:", "sX:", "a:", "b:", "aXb:", "sessions:", "slash:"]))
def test_no_prefix_reaches_another_sessions_keys(
    server: RedisServer, client: Any, prefix: str, session: str, other: str, beside: str
) -> None:
    client.flushdb()
    config = backend(server, redis_prefixes=(prefix,), cache_prefixes=())
    mine = prefix.replace("{id}", session) + "creds"
    client.mset({mine: b"mine", prefix.replace("{id}", f"{session}{other}") + "creds": b"longer"})
    client.mset({prefix.replace("{id}", f"{other}{session}") + "creds": b"shorter", f"{beside}{session}:creds": b"x"})
    client.set(mine, b"mine")
    before = everything(client)
    assert SessionKeys(config, session).purge("all") == [mine]
    assert before.keys() - everything(client).keys() == {mine.encode()}


@pytest.mark.parametrize("prefix", ["auth-{id}-", "auth:{id}.", "auth:{id}_x", "auth:{id}@"])
def test_a_separator_that_a_name_may_hold_is_refused(server: RedisServer, prefix: str) -> None:
    with pytest.raises(ConfigError, match="separator"):
        SessionKeys(backend(server, redis_prefixes=(prefix,)), "26")


@pytest.mark.parametrize("session", ["", "*", "2*", "26:27", "26 27", "../..", "[0-9]", "x" * 300])
def test_ids_that_are_no_names_reach_no_key(server: RedisServer, client: Any, session: str) -> None:
    fill(client, "26")
    before = everything(client)
    with pytest.raises(InvalidName):
        SessionKeys(backend(server), session).purge("all")
    assert everything(client) == before


def test_a_cache_prefix_over_auth_state_does_not_remove_it(server: RedisServer, client: Any) -> None:
    fill(client, "26")
    client.set("sessions:26:chats", b"cached")
    store = SessionKeys(backend(server, cache_prefixes=("sessions:{id}:",)), "26")
    assert store.purge("cache") == ["sessions:26:chats", "sessions:26:lock"]
    assert of("26", set(AUTH)) == set(store.names())


def test_several_prefixes_and_many_keys(server: RedisServer, client: Any) -> None:
    client.mset({f"sessions:26:pre-key-{number}": b"{}" for number in range(2500)})
    client.mset({f"auth:26:session-{15550000000 + number}.0": b"{}" for number in range(1200)})
    client.set("auth:2:creds", b"{}")
    store = SessionKeys(backend(server, redis_prefixes=("sessions:{id}:", "auth:{id}:")), "26")
    assert len(store.purge("keys")) == 1200
    assert len(store.purge("all")) == 2500
    assert client.keys("*") == [b"auth:2:creds"]


def test_neither_keys_nor_flush_is_ever_sent(server: RedisServer, client: Any) -> None:
    fill(client, "26")
    client.config_resetstat()
    store = SessionKeys(backend(server), "26")
    dumps = store.dump()
    store.purge("all")
    store.restore_dump(dumps)
    used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert "scan" in used and "unlink" in used
    assert not used & {"keys", "flushall", "flushdb", "del", "eval"}


def test_credentials_are_read_and_written_as_they_are(server: RedisServer, client: Any) -> None:
    store = SessionKeys(backend(server), "26")
    assert not store.exists()
    assert store.read_creds() is None
    store.write_creds(creds())
    assert store.exists()
    assert client.get("sessions:26:creds") == store.read_creds() == creds()
    client.expire("sessions:26:creds", 3600)
    store.write_creds(creds("second"))
    assert client.get("sessions:26:creds") == creds("second")
    assert 0 < client.ttl("sessions:26:creds") <= 3600


def test_credentials_stay_under_the_prefix_where_they_are(server: RedisServer, client: Any) -> None:
    client.set("auth:26:creds", creds())
    store = SessionKeys(backend(server, redis_prefixes=("sessions:{id}:", "auth:{id}:")), "26")
    store.write_creds(creds("second"))
    assert everything(client).keys() == {b"auth:26:creds"}
    assert store.read_creds() == creds("second")


def test_a_dump_is_put_back_exactly(server: RedisServer, client: Any) -> None:
    for session in ("26", "2"):
        fill(client, session)
    client.hset("sessions:26:device-list-15550002222", mapping={"0": "a", "5": b"\xff\x00"})
    client.set("sessions:26:tctoken-__index", b"\xff\xfe binary", px=3_600_000)
    store = SessionKeys(backend(server), "26")
    before, dumps = everything(client), store.dump()
    assert [item.key for item in dumps] == store.names()
    assert not any("cache" in item.key or item.key.endswith(":lock") for item in dumps)
    assert store.restore_dump(dumps) == []
    store.purge("all")
    client.set("sessions:26:session-15550007777.0", b"not there then")
    client.set("sessions:26:creds", creds("second"))
    changed = store.restore_dump(dumps)
    assert changed == sorted([*(item.key for item in dumps), "sessions:26:session-15550007777.0"])
    caches = {key for key in before if key.startswith(b"whatsapp:cache:26:")}
    assert everything(client) == {key: value for key, value in before.items() if key not in caches}
    assert 3_500_000 < client.pttl("sessions:26:tctoken-__index") <= 3_600_000
    assert client.ttl("sessions:26:creds") == -1


def test_payloads_of_another_redis_are_put_back_by_value(server: RedisServer, client: Any) -> None:
    fill(client, "26")
    store = SessionKeys(backend(server), "26")
    before = everything(client)
    # The last ten bytes are the version of the format and the checksum.
    foreign = [item._replace(dump=item.dump[:-10] + b"\xff\x7f" + item.dump[-8:]) for item in store.dump()]
    store.purge("keys")
    assert set(store.restore_dump(foreign)) == set(of("26", set(AUTH)))
    assert everything(client) == before
    assert not client.keys("sessionmedic:*")


def test_payloads_that_nothing_can_read_change_nothing(server: RedisServer, client: Any) -> None:
    fill(client, "26")
    store = SessionKeys(backend(server), "26")
    before = everything(client)
    foreign = KeyDump("sessions:26:device-list-1", "hash", -1, b"from another version")
    with pytest.raises(StoreError, match="dumped by another version"):
        store.restore_dump([foreign])
    assert everything(client) == before


@pytest.mark.parametrize("key", ["sessions:27:creds", "sessions:26:lock", "TICKETZ_JWT_SECRET", "sessions:2"])
def test_a_dump_with_keys_of_others_changes_nothing(server: RedisServer, client: Any, key: str) -> None:
    fill(client, "26")
    fill(client, "27")
    store = SessionKeys(backend(server), "26")
    before = everything(client)
    with pytest.raises(StoreError, match="is not of session 26"):
        store.restore_dump([*store.dump(), KeyDump(key, "string", -1, b"", b"")])
    assert everything(client) == before


@pytest.mark.parametrize("decode", [True, False])
def test_a_client_may_be_given(server: RedisServer, client: Any, decode: bool) -> None:
    fill(client, "26")
    with redis.Redis.from_url(server.url, decode_responses=decode) as given:
        assert SessionKeys(backend(server), "26", given).read_creds() == creds()
        assert len(SessionKeys(backend(server), "26", given).dump()) == len(AUTH)


def test_a_redis_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    away = RedisServer(tmp_path / "redis", password="p@ss-secret")
    with pytest.raises(StoreError) as caught:
        SessionKeys(backend(away), "26").purge("all")
    assert f"127.0.0.1:{away.port}" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_redis_at_all_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no redis_url"):
        SessionKeys(BackendConfig(name="sandbox"), "26")
