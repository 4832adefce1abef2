from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible_site import Site
from tests.little_backend import LittleBackend
from tests.playbooks import Ansible
from tests.services import RedisServer

# One session for each test that breaks one; 2 is nobody's, and must stay untouched.
SESSIONS = [2, 26, 27, *range(31, 36)]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A sandbox for all tests of this folder."""
    running = Site(tmp_path_factory.mktemp("site"), SESSIONS)
    yield running.start()
    running.stop()


@pytest.fixture
def ansible(site: Site, tmp_path: Path) -> Ansible:
    """Playbooks against the sandbox."""
    return site.ansible(tmp_path)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def little(tmp_path: Path) -> Iterator[LittleBackend]:
    with LittleBackend(tmp_path, "26", "27") as backend:
        yield backend


@pytest.fixture
def quick(little: LittleBackend, redis_server: RedisServer, tmp_path: Path) -> Ansible:
    """Playbooks against the little backend."""
    # A name of its own for each test: locks and cooldowns in Redis are theirs alone.
    return Ansible(tmp_path, {tmp_path.name: little.backend}, {"REDIS_URL": redis_server.url})
