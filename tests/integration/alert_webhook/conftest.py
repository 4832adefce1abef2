from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.alert_webhook.stand import Stand
from tests.services import RedisServer


@pytest.fixture(scope="module")
def redis_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), password="redis-S3CRET-marked") as server:
        yield server


@pytest.fixture
def stand(tmp_path: Path, redis_of_module: RedisServer) -> Iterator[Stand]:
    """Everything empty, on the Redis of the module."""
    stand = Stand(tmp_path, redis_of_module)
    stand.client.flushall()
    try:
        yield stand
    finally:
        stand.stop()


@pytest.fixture
def lone_stand(tmp_path: Path) -> Iterator[Stand]:
    """With a Redis of its own, which a test may stop."""
    with RedisServer(tmp_path / "redis") as server:
        stand = Stand(tmp_path, server)
        try:
            yield stand
        finally:
            stand.stop()
