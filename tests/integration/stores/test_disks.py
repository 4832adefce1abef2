"""Backups and purges on disks that are full, read-only or of another user: real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionmedic.backup import list_backups, restore_backup, write_backup
from sessionmedic.errors import BackupError, StoreError
from sessionmedic.stores.session_files import SessionFiles
from tests.unit.stores.auth_state import BACKEND, RECORDS, backend, creds, make_session, tree

NOW = 1_768_473_045.0
NOBODY = 65534


def as_root(*command: str) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, *command], check=True, capture_output=True, text=True)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    for session in ("2", "26", "27"):
        make_session(tmp_path / "storage", session)
    return tmp_path / "storage"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "backups"
    place.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size=256k,mode=700,uid={os.geteuid()}", "tmpfs", str(place))
    try:
        yield place
    finally:
        as_root("umount", str(place))


@pytest.fixture
def read_only(storage: Path) -> Iterator[Path]:
    """The session's folder on a mount that takes no writes, as root sees it too."""
    place = storage / "26"
    as_root("mount", "--bind", str(place), str(place))
    try:
        as_root("mount", "-o", "remount,ro,bind", str(place))
        yield place
    finally:
        as_root("umount", str(place))


def test_a_full_disk_leaves_no_backup_and_the_session_as_it_was(
    tmp_path: Path, storage: Path, small_disk: Path
) -> None:
    config = backend(tmp_path)
    made = write_backup(config, "2", NOW)
    (storage / "26" / "session-15550008888.0.json").write_bytes(b"x" * 150_000)
    before, kept = tree(storage), tree(small_disk / BACKEND / "2")
    with pytest.raises(BackupError, match=r"^There is no space left for the backup in \S+/sandbox/26\. Free some"):
        write_backup(config, "26", NOW)
    assert tree(storage) == before
    assert list((small_disk / BACKEND / "26").iterdir()) == []
    assert list_backups(config, "26") == []
    assert tree(small_disk / BACKEND / "2") == kept
    # What the failed one took is free again.
    (storage / "26" / "session-15550008888.0.json").unlink()
    os.remove(made.path / "files" / "pre-key-1.json")
    assert write_backup(config, "26", NOW).files == len(RECORDS) + 1


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, storage: Path, small_disk: Path) -> None:
    with (small_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    before = tree(storage)
    with pytest.raises(BackupError, match="no space left"):
        write_backup(backend(tmp_path), "26", NOW)
    assert tree(storage) == before


LIMITED = """
import resource, sys
from sessionmedic import backup
from sessionmedic.config import BackendConfig
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
backup.write_backup(BackendConfig("sandbox", session_path=sys.argv[1], backup_path=sys.argv[2]), "26", 0.0)
"""


def test_a_quota_is_a_full_disk(tmp_path: Path, storage: Path) -> None:
    before = tree(storage)
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(storage), str(tmp_path / "backups")], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "BackupError: There is no space left" in ended.stderr
    assert list((tmp_path / "backups" / BACKEND / "26").iterdir()) == []
    assert tree(storage) == before


def test_a_full_disk_changes_nothing_in_a_restore(tmp_path: Path, small_disk: Path) -> None:
    """The session's own disk is the full one here."""
    folder = make_session(small_disk / "storage", "26")
    config = backend(tmp_path, session_path=str(small_disk / "storage"), backup_path=str(tmp_path / "elsewhere"))
    (folder / "session-15550008888.0.json").write_bytes(b"x" * 60_000)
    made = write_backup(config, "26", NOW)
    SessionFiles(config, "26").purge("keys")
    (folder / "notes.txt").write_bytes(b"y" * 170_000)
    before = tree(folder)
    with pytest.raises(BackupError, match=r"cannot be put back \(No space left on device\)"):
        restore_backup(config, "26", made.path)
    assert tree(folder) == before
    with pytest.raises(StoreError, match=r"creds\.json cannot be written \(No space left on device\)"):
        SessionFiles(config, "26").write_creds(creds() + b" " * 80_000)
    assert tree(folder) == before


def test_a_read_only_folder_is_named_and_nothing_is_half_done(tmp_path: Path, storage: Path, read_only: Path) -> None:
    config = backend(tmp_path)
    files = SessionFiles(config, "26")
    made = write_backup(config, "26", NOW)
    before = tree(storage)
    for act in (
        lambda: files.purge("keys"),
        lambda: files.write_creds(creds("second")),
        lambda: restore_backup(config, "26", made.path),
    ):
        with pytest.raises(StoreError, match=rf"^The folder {read_only} is not writable\. Check"):
            act()
    assert tree(storage) == before
    assert files.read_creds() == creds()
    assert len(files.select("keys")) > 0


AS_NOBODY = """
import os, sys
from sessionmedic import backup
from sessionmedic.config import BackendConfig
from sessionmedic.errors import SessionMedicError
from sessionmedic.stores.session_files import SessionFiles
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
config = BackendConfig("sandbox", session_path=sys.argv[1], backup_path=sys.argv[2])
files = SessionFiles(config, "26")
for act in (files.read_creds, lambda: files.purge("keys"), lambda: files.write_creds(b"{}"),
            lambda: backup.write_backup(config, "26", 0.0)):
    try:
        print(act())
    except SessionMedicError as error:
        print(type(error).__name__, error)
"""


NOT_WRITABLE = (
    "StoreError The folder {folder} is not writable. Check its owner, its mode and its mount; nothing was changed."
)
NOT_READABLE = "{folder} cannot be read (Permission denied). Check its owner, its mode and the free space."
NO_BACKUP = (
    "BackupError The backup in {backups} cannot be written (pre-key-1.json: Permission denied). "
    "Check backup_path and the session's folder; nothing was changed."
)


@pytest.fixture
def anyones_path() -> Iterator[Path]:
    """A folder that another user can reach; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="sessionmedic-") as path:
        os.chmod(path, 0o711)
        yield Path(path)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0o500, ["b'readable'", NOT_WRITABLE, NOT_WRITABLE, NO_BACKUP]),
        (0o000, [f"StoreError {NOT_READABLE}"] * 3 + [f"BackupError {NOT_READABLE}"]),
    ],
)
def test_a_user_without_rights_is_told_so(anyones_path: Path, mode: int, expected: list[str]) -> None:
    """Permission bits do not bind root, so another user acts here."""
    folder, backups = anyones_path / "storage" / "26", anyones_path / "backups"
    folder.mkdir(parents=True)
    backups.mkdir()
    for name in ("creds.json", "pre-key-1.json", "session-15550001111.0.json"):
        (folder / name).write_bytes(b"readable")
    if os.geteuid() == 0:
        for path in (folder, backups, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    before = tree(folder)
    (folder / "pre-key-1.json").chmod(0o000)
    folder.chmod(mode)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(folder.parent), str(backups)], capture_output=True, text=True
        )
    finally:
        folder.chmod(0o700)
        (folder / "pre-key-1.json").chmod(0o644)
    assert ended.returncode == 0, ended.stderr
    places = {"folder": folder, "backups": backups / BACKEND / "26"}
    assert ended.stdout.splitlines() == [line.format(**places) for line in expected]
    assert tree(folder) == before
    assert list((backups / BACKEND / "26").iterdir()) == []
