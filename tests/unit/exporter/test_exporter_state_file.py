"""What outlives a restart is written as a whole or not at all, and never in the way of a start."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_exporter.state_file import StateFile
from sessionmedic.errors import StoreError


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    made = StateFile(tmp_path / "a" / "state")
    yield made
    made.close()


def test_nothing_was_saved_yet(state: StateFile) -> None:
    assert state.load() == {}


def test_what_was_saved_is_loaded(state: StateFile) -> None:
    state.save({"b": {"sessions": {"26": 1}}})
    assert state.load() == {"b": {"sessions": {"26": 1}}}
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"version": 1, "backends"', b"[]", b"null", b'{"version": 2, "backends": {}}', b"\xff\xfe", b"{}"],
)
def test_an_unusable_file_is_set_aside_and_said(
    state: StateFile, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    state.path.write_bytes(content)
    assert state.load() == {}
    (aside,) = state.path.parent.glob("state.json.unusable-*")
    assert aside.read_bytes() == content
    assert not state.path.exists()
    assert aside.name in caplog.text
    assert "counters start at zero" in caplog.text


def test_a_write_that_fails_leaves_the_former_file(state: StateFile) -> None:
    state.save({"b": 1})
    temporary = state.path.with_suffix(".json.new")
    temporary.mkdir()
    with pytest.raises(StoreError, match=r"state\.json cannot be written"):
        state.save({"b": 2})
    assert state.load() == {"b": 1}
    temporary.rmdir()
    state.save({"b": 3})
    assert state.load() == {"b": 3}


def test_a_full_disk_leaves_the_former_file(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save({"b": 1})
    # /dev/full is the real thing: every write to it ends with "No space left on device".
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: real_open("/dev/full", os.O_WRONLY))
    with pytest.raises(StoreError, match="No space left on device"):
        state.save({"b": 2})
    monkeypatch.undo()
    assert state.load() == {"b": 1}


def test_a_second_exporter_on_the_same_folder_is_refused(state: StateFile) -> None:
    with pytest.raises(StoreError, match="Another session-exporter uses state_path"):
        StateFile(state.path.parent)


def test_the_folder_is_free_again_when_the_first_has_ended(tmp_path: Path) -> None:
    StateFile(tmp_path).close()
    StateFile(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"state_path .*/file/state cannot be written"):
        StateFile(tmp_path / "file" / "state")
