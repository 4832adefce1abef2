"""What the sandbox counts for a session that nobody should touch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .sandbox import Sandbox, wait_for

NOTHING = {"api_calls": 0, "socket_restarts": 0, "files_removed": 0, "keys_removed": 0, "failed_messages": 0}


@pytest.fixture
def baseline(sandbox: Sandbox) -> Iterator[Sandbox]:
    sandbox.control_post("/touched/reset")
    assert sandbox.touched(2) == NOTHING
    yield sandbox
    sandbox.control_post("/sessions/2/clear")
    sandbox.regenerate(2)
    sandbox.assert_decrypts(2)


def test_reading_and_receiving_touch_nothing(baseline: Sandbox) -> None:
    baseline.call("GET", "/whatsapp/2")
    baseline.assert_decrypts(2)
    assert baseline.touched(2) == NOTHING


def test_calls_and_sockets_are_counted(baseline: Sandbox) -> None:
    baseline.restart(2)
    assert baseline.touched(2) == NOTHING | {"api_calls": 2, "socket_restarts": 1}


def test_a_refused_call_counts_too(baseline: Sandbox) -> None:
    assert baseline.http.put(f"{baseline.api}/whatsapp/2/disconnect", timeout=10).status_code == 401
    assert baseline.touched(2) == NOTHING | {"api_calls": 1}


def test_removed_files_are_counted_once(baseline: Sandbox) -> None:
    for file in [next(baseline.folder(2).glob(f"{kind}-*.json")) for kind in ("session", "device-list")]:
        file.unlink()
    assert baseline.touched(2) == NOTHING | {"files_removed": 2}
    assert baseline.touched(2) == NOTHING | {"files_removed": 2}


def test_a_removed_file_that_the_backend_writes_again_is_counted(baseline: Sandbox) -> None:
    for record in baseline.folder(2).glob("session-*.json"):
        record.unlink()
        # before anybody looks, the live socket puts it back from memory
    baseline.send(2, 4)
    wait_for("the records to be back", lambda: len(list(baseline.folder(2).glob("session-*.json"))) >= 2)
    assert baseline.touched(2)["files_removed"] >= 2


def test_what_the_backend_removes_itself_is_not_counted(baseline: Sandbox) -> None:
    # a newcomer's pre-key is used up, and its file removed by Baileys
    before = {path.name for path in baseline.folder(2).glob("pre-key-*.json")}
    baseline.control_post("/sessions/2/newcomers", {"count": 1})
    since = baseline.send(2, 1, peer=2)
    wait_for("the newcomer's message", lambda: baseline.messages(2, since)["decrypted"] == 1)
    assert before - {path.name for path in baseline.folder(2).glob("pre-key-*.json")}
    assert baseline.touched(2)["files_removed"] == 0


def test_failed_messages_are_counted(baseline: Sandbox) -> None:
    baseline.fault(2, "stale_memory", peers=1)
    since = baseline.send(2, 2, peer=0)
    wait_for("failures", lambda: baseline.messages(2, since)["failed"] == 2)
    assert baseline.touched(2) == NOTHING | {"failed_messages": 2}
