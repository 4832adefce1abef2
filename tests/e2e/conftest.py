"""The real thing: Redis and the sandbox with many sessions, one a fault, so that no test waits for another's window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stack import Stack
from tests.e2e.ward import Ward


@pytest.fixture(scope="module")
def ward(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A sandbox with the SESSIONS of the test's module."""
    folder: Path = tmp_path_factory.mktemp("ward")
    stack = Stack(folder, request.module.SESSIONS, sandbox_options={"peers_per_session": 2, "message_interval_ms": 700})
    try:
        stack.launch(stack.redis)
        stack.launch(stack.sandbox)
        stack.configure()
        ward = Ward(stack)
        saved = ward.run("save_credentials")
        assert saved.code == 0, saved.text
        yield ward
    finally:
        stack.stop()
