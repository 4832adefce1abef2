"""A backup while the session is written, and writers of backups that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionmedic.backup import list_backups
from sessionmedic.backup import verify_backup as verify
from sessionmedic.backup import write_backup as write
from sessionmedic.config import BackendConfig
from sessionmedic.errors import BackupError
from sessionmedic.stores import safe_files
from tests.unit.stores.auth_state import BACKEND, RECORDS, backend, make_session

NOW = 1_768_473_045.25  # 2026-01-15T10:30:45Z


@pytest.fixture
def config(tmp_path: Path) -> BackendConfig:
    for session in ("2", "26", "27"):
        make_session(tmp_path / "storage", session)
    return backend(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, config: BackendConfig) -> Path:
    return tmp_path / "storage" / "26"


def home(tmp_path: Path) -> Path:
    return tmp_path / "backups" / BACKEND / "26"


def left_behind(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in home(tmp_path).iterdir()) if home(tmp_path).exists() else []


def interfere(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Let the backend act each time that a copy has been brought to the disk, before it is compared."""
    original, calls = safe_files.sync, iter(range(10_000))

    def synced(descriptor: int, name: str) -> None:
        original(descriptor, name)
        act(next(calls))

    monkeypatch.setattr(safe_files, "sync", synced)


def test_a_file_that_changes_meanwhile_is_copied_again(
    config: BackendConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder / "session-15550001111.0.json"
    interfere(monkeypatch, lambda call: place.write_bytes(b"new content") if call == 0 else None)
    made = write(config, "26", NOW)
    assert (made.path / "files" / place.name).read_bytes() == b"new content"
    assert verify(made.path) == made


def test_a_file_that_appears_meanwhile_is_copied_too(
    config: BackendConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder / "session-15550007777.0.json"
    interfere(monkeypatch, lambda call: place.write_bytes(b"{}") if call == 0 else None)
    assert (write(config, "26", NOW).path / "files" / place.name).read_bytes() == b"{}"


def test_a_file_that_never_rests_is_an_error(
    tmp_path: Path, config: BackendConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder / "session-15550001111.0.json"
    interfere(monkeypatch, lambda call: place.write_bytes(f"{call}".encode()))
    with pytest.raises(BackupError, match=r"session-15550001111\.0\.json keeps changing"):
        write(config, "26", NOW)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("name", ["creds.json", "session-15550001111.0.json", "tctoken-__index.json"])
@pytest.mark.parametrize("call", [0, len(RECORDS)])
def test_a_file_that_vanishes_is_an_error(
    tmp_path: Path, config: BackendConfig, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    interfere(monkeypatch, lambda now: (folder / name).unlink() if now == call else None)
    with pytest.raises(BackupError, match=f"{name} vanished while it was being backed up"):
        write(config, "26", NOW)
    assert left_behind(tmp_path) == []


def test_a_pre_key_may_be_used_up_meanwhile(
    config: BackendConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfere(monkeypatch, lambda now: (folder / "pre-key-1.json").unlink() if now == 0 else None)
    made = write(config, "26", NOW)
    assert made.files == len(RECORDS)
    assert not (made.path / "files" / "pre-key-1.json").exists()
    assert verify(made.path) == made


def test_a_copy_that_the_disk_garbles_is_an_error(
    tmp_path: Path, config: BackendConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read back decides, not that writing reported success."""
    original = safe_files.create

    def garbling(folder: int, name: str, data: bytes, *rest: object, **more: bool) -> None:
        garbled = b"\0" + data[1:] if name == "creds.json" else data
        original(folder, name, garbled, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(safe_files, "create", garbling)
    with pytest.raises(BackupError, match="creds.json keeps changing"):
        write(config, "26", NOW)
    assert left_behind(tmp_path) == []


WRITER = """
import os, signal, sys
from sessionmedic import backup
from sessionmedic.backup_manifest import read_manifest
from sessionmedic.config import BackendConfig
from sessionmedic.stores import safe_files
def stop(*_):
    print("half way", flush=True)
    signal.pause()
safe_files.sync = stop
backup.write_backup(BackendConfig(name="sandbox", session_path=sys.argv[1], backup_path=sys.argv[2]), "26", 0.0)
"""


def start_writer(config: BackendConfig) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, config.session_path, config.backup_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "half way\n"
    return process


def test_what_a_killed_writer_left_is_no_backup_and_goes_with_the_next(tmp_path: Path, config: BackendConfig) -> None:
    with start_writer(config) as process:
        process.kill()
    assert len(left_behind(tmp_path)) == 1
    assert list_backups(config, "26") == []
    made = write(config, "26", NOW)
    assert left_behind(tmp_path) == [made.path.name]


def test_what_a_living_writer_has_is_left_alone(tmp_path: Path, config: BackendConfig) -> None:
    with start_writer(config) as process:
        try:
            made = write(config, "26", NOW)
            assert len(left_behind(tmp_path)) == 2
            assert list_backups(config, "26") == [made]
        finally:
            process.kill()


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path, config: BackendConfig) -> None:
    with start_writer(config) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert left_behind(tmp_path) == []
