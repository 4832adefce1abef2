"""Locks in a real Redis and as files: taken once, extended by their holder only, lost when they are."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionmedic.errors import InvalidName, LockHeld, LockLost, StateUnavailable
from sessionmedic.lock import LocalLocks, Locks, RedisLocks, owner_of
from sessionmedic.redis_client import connect
from tests.services import RedisServer, free_port


@pytest.fixture(params=["redis", "files"])
def locks(request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path) -> Iterator[Locks]:
    if request.param == "files":
        yield LocalLocks(tmp_path / "locks")
        return
    client = connect(redis_server.url)
    client.flushdb()
    yield RedisLocks(redis_server.url, client)
    client.close()


def test_one_holder_at_a_time(locks: Locks) -> None:
    value = locks.acquire("loja", "26", "a@host")
    assert owner_of(value) == "a@host"
    with pytest.raises(LockHeld, match="Session 26 of loja is being repaired by a@host"):
        locks.acquire("loja", "26", "b@host")
    assert locks.holder("loja", "26") == "a@host"
    assert locks.release("loja", "26", value)
    assert locks.holder("loja", "26") is None
    assert owner_of(locks.acquire("loja", "26", "b@host")) == "b@host"


def test_other_sessions_and_backends_are_free(locks: Locks) -> None:
    locks.acquire("loja", "26", "a")
    for backend, session in (("loja", "2"), ("loja", "27"), ("loja2", "26"), ("lo", "ja26")):
        locks.acquire(backend, session, "b")


def test_a_lock_that_ran_out_is_lost_for_its_holder(locks: Locks) -> None:
    old = locks.acquire("loja", "26", "a", ttl=0.05)
    threading.Event().wait(0.12)
    new = locks.acquire("loja", "26", "b")
    with pytest.raises(LockLost, match="no longer ours; nothing more is changed"):
        locks.extend("loja", "26", old)
    assert not locks.release("loja", "26", old)
    locks.extend("loja", "26", new)
    assert int(new.partition(":")[0]) > int(old.partition(":")[0])


def test_extending_keeps_it(locks: Locks) -> None:
    value = locks.acquire("loja", "26", "a", ttl=0.3)
    for _ in range(4):
        threading.Event().wait(0.15)
        locks.extend("loja", "26", value, ttl=0.3)
    assert locks.holder("loja", "26") == "a"


def test_of_many_at_once_one_wins(locks: Locks) -> None:
    won: list[str] = []
    lost: list[LockHeld] = []

    def take(owner: str) -> None:
        try:
            won.append(locks.acquire("loja", "26", owner))
        except LockHeld as error:
            lost.append(error)

    threads = [threading.Thread(target=take, args=(f"owner{number}",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 15)


def test_of_many_finders_of_a_dead_lock_one_wins(locks: Locks) -> None:
    for round in range(5):
        session = f"s{round}"
        locks.acquire("loja", session, "dead", ttl=0.01)
        threading.Event().wait(0.03)
        won: list[str] = []

        def take(owner: str, session: str = session, won: "list[str]" = won) -> None:
            try:
                won.append(locks.acquire("loja", session, owner))
            except LockHeld:
                return

        threads = [threading.Thread(target=take, args=(f"owner{number}",)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_names_are_checked(locks: Locks) -> None:
    with pytest.raises(InvalidName):
        locks.acquire("loja", "26:x", "a")
    with pytest.raises(InvalidName):
        locks.acquire("../loja", "26", "a")


def test_a_refused_try_uses_up_no_number(redis_server: RedisServer) -> None:
    client = connect(redis_server.url)
    client.flushdb()
    locks = RedisLocks(redis_server.url, client)
    value = locks.acquire("loja", "26", "a")
    with pytest.raises(LockHeld):
        locks.acquire("loja", "26", "b")
    locks.release("loja", "26", value)
    assert locks.acquire("loja", "26", "b") == "2:b"
    assert client.get("sessionmedic:lock:loja:26") == "2:b"
    assert 0 < client.pttl("sessionmedic:lock:loja:26") <= 300_000
    client.close()


def test_redis_that_is_away_is_named_without_its_password() -> None:
    port = free_port()
    locks = RedisLocks(f"redis://:MARKED@127.0.0.1:{port}/0")
    with pytest.raises(StateUnavailable, match=f"Redis at 127.0.0.1:{port}") as caught:
        locks.acquire("loja", "26", "a")
    assert "MARKED" not in str(caught.value)


def test_half_a_lock_file_holds_until_it_is_old(tmp_path: Path) -> None:
    locks = LocalLocks(tmp_path)
    (tmp_path / "loja+26.lock").write_text('{"val')
    with pytest.raises(LockHeld):
        locks.acquire("loja", "26", "a")
