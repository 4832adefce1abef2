from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.alert_webhook.stand import Stand, Webhook, Worker
from tests.playbooks import link_collection
from tests.services import RedisServer

REDIS_PASSWORD = "MARKED-redis-S3CRET"


@dataclass
class Line:
    """A running webhook and worker, shared by the tests of a module: each uses sessions of its own."""

    stand: Stand
    webhook: Webhook
    worker: Worker


@pytest.fixture(scope="session", autouse=True)
def collection() -> None:
    link_collection()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder: Path = tmp_path_factory.mktemp("line")
    with RedisServer(folder / "redis", password=REDIS_PASSWORD) as redis:
        stand = Stand(folder, redis)
        try:
            config = stand.configure()
            yield Line(stand, stand.webhook(config), stand.worker(config))
        finally:
            stand.stop()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """With a Redis of its own, which a test may stop; webhooks and workers are started by the test."""
    with RedisServer(tmp_path / "redis") as redis:
        stand = Stand(tmp_path, redis)
        try:
            yield stand
        finally:
            stand.stop()
