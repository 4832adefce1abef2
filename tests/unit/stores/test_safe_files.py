"""File access in a folder that somebody else changes at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionmedic.errors import StoreError
from sessionmedic.stores import safe_files
from sessionmedic.stores.safe_files import Attributes


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    with safe_files.opened_folder(tmp_path) as descriptor:
        yield descriptor


def checked_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the name still was a regular file at the time of the check."""
    monkeypatch.setattr(safe_files, "stat_regular", lambda folder, name: None)


def test_a_link_planted_after_the_check_is_not_followed(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").write_text("secret")
    (tmp_path / "creds.json").symlink_to("victim")
    checked_as_a_file(monkeypatch)
    with pytest.raises(OSError, match="symbolic links"):
        safe_files.read(folder, "creds.json")
    with pytest.raises(OSError, match="symbolic links"):
        safe_files.sync(folder, "creds.json")


def test_a_fifo_planted_after_the_check_does_not_hang_the_reader(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "creds.json")
    checked_as_a_file(monkeypatch)
    with pytest.raises(StoreError, match="is not a regular file"):
        safe_files.read(folder, "creds.json")


@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_new_file_takes_no_name_that_is_taken(tmp_path: Path, folder: int, planted: str) -> None:
    (tmp_path / "victim").write_text("as it was")
    if planted == "link":
        (tmp_path / "new").symlink_to("victim")
    else:
        (tmp_path / "new").write_text("as it was")
    with pytest.raises(FileExistsError):
        safe_files.create(folder, "new", b"changed")
    assert (tmp_path / "new").read_text() == "as it was"


def test_a_staged_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("refused")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="refused"):
        safe_files.stage(folder, b"content", Attributes(0o600, os.geteuid(), os.getegid()))
    assert list(tmp_path.iterdir()) == []
