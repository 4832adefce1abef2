from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.http_backend import ScriptedBackend


class ListedSessions(ScriptedBackend):
    """Lists ``rows`` as Whaticket does; the test changes them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = [self.row(2), self.row(26)]
        super().__init__(lambda method, path, headers: (200, self.rows))

    @staticmethod
    def row(number: int, status: str = "CONNECTED") -> dict[str, Any]:
        return {"id": number, "name": f"loja-{number}", "status": status, "companyId": 1}


@pytest.fixture
def backend() -> Iterator[ListedSessions]:
    made = ListedSessions()
    with made:
        yield made
