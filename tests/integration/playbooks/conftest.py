from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible_site import Site
from tests.playbooks import Ansible

# One session for each test that breaks one; 2 is nobody's, and must stay untouched.
SESSIONS = [2, 26, 27, *range(31, 46)]


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
