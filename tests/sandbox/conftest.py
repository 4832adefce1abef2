from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .sandbox import Sandbox

# one session for each test that breaks one, so that no test depends on another; 2 is nobody's
SESSIONS = [2, 26, 27, *range(31, 48)]
PEERS = 2

MakeSandbox = Callable[..., Sandbox]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The shared sandbox. Peers write only when a test makes them."""
    running = Sandbox(
        {
            "data_dir": str(tmp_path_factory.mktemp("sandbox")),
            "sessions": SESSIONS,
            "peers_per_session": PEERS,
            "message_interval_ms": 0,
        }
    ).start()
    yield running
    assert running.stop() == 0, running.errors


@pytest.fixture
def make_sandbox(tmp_path: Path) -> Iterator[MakeSandbox]:
    """Starts a sandbox of one's own, with two sessions and two silent peers unless told otherwise."""
    started: list[Sandbox] = []

    def make(**config: Any) -> Sandbox:
        defaults = {
            "data_dir": str(tmp_path / "data"),
            "sessions": [2, 26],
            "peers_per_session": PEERS,
            "message_interval_ms": 0,
        }
        started.append(Sandbox({**defaults, **config}))
        return started[-1].start()

    yield make
    for running in started:
        running.stop()
