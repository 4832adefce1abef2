from collections.abc import Iterator

import pytest

from sessionmedic import brakes
from sessionmedic.errors import Paused
from sessionmedic.redis_client import Client, connect
from tests.services import RedisServer


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Client]:
    client = connect(redis_server.url)
    client.flushdb()
    yield client
    client.close()


def test_the_pause_switch(client: Client) -> None:
    assert brakes.paused(client) is None
    brakes.refuse_when_paused(client)
    brakes.pause(client, "ana", 1000.0, "provider is down")
    assert brakes.paused(client) == brakes.Pause("ana", 1000.0, "provider is down")
    with pytest.raises(Paused, match=r"paused by ana \(provider is down\)"):
        brakes.refuse_when_paused(client)
    assert brakes.resume(client) is True
    assert brakes.resume(client) is False
    brakes.refuse_when_paused(client)


def test_a_switch_set_by_hand_in_another_form_still_pauses(client: Client) -> None:
    for value in ("1", "true", "yes", "{"):
        client.set(brakes.PAUSE_KEY, value)
        with pytest.raises(Paused):
            brakes.refuse_when_paused(client)


def test_the_cooldown_is_of_one_session(client: Client) -> None:
    assert brakes.cooldown_left(client, "loja", "26") == 0
    brakes.start_cooldown(client, "loja", "26", 60)
    assert 59 < brakes.cooldown_left(client, "loja", "26") <= 60
    assert brakes.cooldown_left(client, "loja", "2") == 0
    brakes.start_cooldown(client, "loja", "27", 0)
    assert brakes.cooldown_left(client, "loja", "27") == 0


def test_verified_repairs_are_remembered_by_session(client: Client) -> None:
    brakes.mark_verified(client, "loja", "26", 1795222384.25)
    brakes.mark_verified(client, "loja", "27", 5.0)
    assert brakes.verified_since(client, "loja") == {"26": 1795222384.25, "27": 5.0}
    assert brakes.verified_since(client, "other") == {}
