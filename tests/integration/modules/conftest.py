from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ansible_site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"), [2, 26, 27, 31, 32])
    yield running.start()
    running.stop()
