"""Backups of files: equal to their source or not there at all, and put back exactly."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sessionmedic.backup import NothingToBackUp, Restored, backup_credentials, list_backups, prune
from sessionmedic.backup import restore_backup as restore
from sessionmedic.backup import verify_backup as verify
from sessionmedic.backup import write_backup as write
from sessionmedic.backup_manifest import read_manifest
from sessionmedic.config import BackendConfig
from sessionmedic.errors import BackupError, ConfigError, InvalidName, StoreError
from sessionmedic.stores import auth_names, safe_files
from sessionmedic.stores.session_files import SessionFiles
from tests.unit.stores.auth_state import BACKEND, RECORDS, backend, creds, make_session, tree

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


def test_a_backup_holds_every_byte(tmp_path: Path, config: BackendConfig, folder: Path) -> None:
    before = tree(tmp_path / "storage")
    made = write(config, "26", NOW)
    assert made.path == home(tmp_path) / "20260115T103045Z-1"
    assert (made.created_at, made.files, made.keys, made.row) == (NOW, len(RECORDS) + 1, 0, False)
    copies = {path.name: path.read_bytes() for path in (made.path / "files").iterdir()}
    assert copies == {name: (folder / name).read_bytes() for name in (*RECORDS, "creds.json")}
    assert made.bytes == sum(map(len, copies.values()))
    assert verify(made.path) == made
    assert list_backups(config, "26") == [made]
    assert tree(tmp_path / "storage") == before


def test_a_backup_is_for_its_owner_alone(tmp_path: Path, config: BackendConfig) -> None:
    made = write(config, "26", NOW)
    for path in (*made.path.parents, made.path, *made.path.rglob("*")):
        if tmp_path in path.parents:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_backups_of_one_second_get_numbers(tmp_path: Path, config: BackendConfig) -> None:
    made = [write(config, "26", NOW) for _ in range(11)]
    assert [item.path.name for item in made] == [f"20260115T103045Z-{number}" for number in range(1, 12)]
    assert list_backups(config, "26") == made[::-1]


def test_a_session_is_put_back_exactly(tmp_path: Path, config: BackendConfig, folder: Path) -> None:
    (folder / "pre-key-1.json").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(folder / "creds.json", 12345, 23456)
    os.utime(folder / "creds.json", ns=(10**18, 10**18 + 1))
    before = tree(tmp_path / "storage")
    made = write(config, "26", NOW)
    SessionFiles(config, "26").purge("keys")
    SessionFiles(config, "26").write_creds(creds("second"))
    (folder / "session-15550007777.0.json").write_text("not there then")
    (folder / "pre-key-2.json").chmod(0o666)
    changed = restore(config, "26", made.path)
    keys = [name for name in RECORDS if name.startswith(("session-", "sender-key-"))]
    assert changed == Restored(sorted([*keys, "creds.json", "pre-key-2.json"]), ["session-15550007777.0.json"])
    assert tree(tmp_path / "storage") == before
    assert restore(config, "26", made.path) == Restored()
    assert not restore(config, "26", made.path).changed


def test_a_folder_that_vanished_is_made_again(tmp_path: Path, config: BackendConfig, folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 12345, 23456)
    folder.chmod(0o750)
    made = write(config, "26", NOW)
    before = tree(tmp_path / "storage")
    shutil.rmtree(folder)
    restore(config, "26", made.path)
    after = tree(tmp_path / "storage")
    ignored = {"26", "26/notes.txt", "26/session-backup.json"}
    assert {name: value for name, value in before.items() if name not in ignored} == {
        name: value for name, value in after.items() if name not in ignored
    }
    assert after["26"][:3] == before["26"][:3]


@pytest.mark.parametrize(
    ("change", "at_fault"),
    [
        (lambda path: (path / "files/creds.json").write_bytes(creds("second")), "creds.json"),
        (lambda path: (path / "files/creds.json").write_bytes(creds() + b" "), "creds.json"),
        (lambda path: (path / "files/pre-key-1.json").unlink(), "pre-key-1.json"),
        (lambda path: (path / "files/pre-key-9.json").write_bytes(b"{}"), "pre-key-9.json"),
        (lambda path: shutil.rmtree(path / "files"), "app-state-sync-key-AAAAAEx1.json"),
        (lambda path: _relink(path / "files/creds.json"), "creds.json"),
        (lambda path: _edit(path, lambda text: text[:-40]), "manifest.json"),
        (lambda path: _edit(path, lambda text: text.replace('"session": "26"', '"session": "27"')), "manifest.json"),
        (lambda path: _edit(path, lambda text: text.replace('"size": 10,', '"size": 11,')), "manifest.json"),
        (lambda path: _edit(path, lambda text: "[]"), "manifest.json"),
        (lambda path: _edit(path, lambda text: '{"sha256": 1}'), "manifest.json"),
    ],
)
def test_a_changed_backup_is_refused_and_changes_nothing(
    tmp_path: Path, config: BackendConfig, change: Callable[[Path], object], at_fault: str
) -> None:
    (tmp_path / "storage" / "26" / "pre-key-1.json").write_bytes(b'{"a": 123}')
    made = write(config, "26", NOW)
    SessionFiles(config, "26").purge("keys")
    before = tree(tmp_path / "storage")
    change(made.path)
    with pytest.raises(BackupError, match=f"is damaged: {at_fault} is not what was written"):
        verify(made.path)
    with pytest.raises(BackupError, match="is damaged"):
        restore(config, "26", made.path)
    assert tree(tmp_path / "storage") == before


def _relink(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    path.symlink_to("../moved")


def _edit(path: Path, change: Callable[[str], str]) -> None:
    manifest = path / "manifest.json"
    text = manifest.read_text()
    assert change(text) != text
    manifest.write_text(change(text))


def test_the_backup_of_another_session_or_backend_is_refused(tmp_path: Path, config: BackendConfig) -> None:
    made = write(config, "27", NOW)
    before = tree(tmp_path / "storage")
    with pytest.raises(BackupError, match="is of session 27 of sandbox. Use one of session 26 of sandbox."):
        restore(config, "26", made.path)
    with pytest.raises(BackupError, match="is of session 27 of sandbox. Use one of session 27 of other."):
        restore(BackendConfig(name="other", session_path=config.session_path), "27", made.path)
    assert tree(tmp_path / "storage") == before
    # Nor is it listed when somebody moves it there.
    home(tmp_path).mkdir()
    made.path.rename(home(tmp_path) / made.path.name)
    assert list_backups(config, "26") == []


def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path: Path, config: BackendConfig) -> None:
    """Somebody who can write a manifest, digest and all, gains no path and no set-user-id file."""
    made = write(config, "26", NOW)
    manifest = read_manifest(made.path)
    digest, attributes = manifest.files["creds.json"]
    forged = {**manifest.files, "creds.json": (digest, replace(attributes, mode=0o6755))}
    (made.path / "manifest.json").write_bytes(replace(manifest, files=forged).rendered())
    (tmp_path / "storage" / "26" / "creds.json").unlink()
    restore(config, "26", made.path)
    assert stat.S_IMODE((tmp_path / "storage" / "26" / "creds.json").stat().st_mode) == 0o755
    forged = {**manifest.files, "../27/creds.json": (digest, attributes)}
    (made.path / "manifest.json").write_bytes(replace(manifest, files=forged).rendered())
    (made.path / "27").mkdir()
    (made.path / "27" / "creds.json").write_bytes(creds())
    (tmp_path / "storage" / "27" / "creds.json").write_bytes(creds("second"))
    before = tree(tmp_path / "storage")
    with pytest.raises(BackupError, match="is damaged"):
        restore(config, "26", made.path)
    assert tree(tmp_path / "storage") == before


def test_a_path_that_is_no_backup_is_refused(tmp_path: Path, config: BackendConfig) -> None:
    for path in (tmp_path / "nowhere", tmp_path / "storage", tmp_path / "storage" / "26" / "creds.json"):
        with pytest.raises(BackupError, match="holds no backup"):
            restore(config, "26", path)
        with pytest.raises(BackupError, match="holds no backup"):
            verify(path)


def test_what_the_settings_do_not_reach_is_not_put_back(tmp_path: Path, config: BackendConfig) -> None:
    made = write(config, "26", NOW)
    with pytest.raises(BackupError, match="The backup holds files, but backend sandbox has no session_path."):
        restore(BackendConfig(name=BACKEND), "26", made.path)


@pytest.mark.parametrize("missing", ["folder", "storage", "backup_path"])
def test_what_is_missing_is_named_and_leaves_nothing(tmp_path: Path, config: BackendConfig, missing: str) -> None:
    if missing == "folder":
        shutil.rmtree(tmp_path / "storage" / "26")
    elif missing == "storage":
        shutil.rmtree(tmp_path / "storage")
    else:
        config = BackendConfig(name=BACKEND, session_path=config.session_path)
    expected = {
        "folder": "/storage/26 of session 26 is missing",
        "storage": "is missing",
        "backup_path": "no backup_path",
    }
    with pytest.raises(BackupError, match=expected[missing]):
        write(config, "26", NOW)
    assert left_behind(tmp_path) == []


def test_a_session_without_any_state_gets_no_backup(tmp_path: Path, config: BackendConfig, folder: Path) -> None:
    SessionFiles(config, "26").purge("all")
    with pytest.raises(NothingToBackUp, match="no files, keys or row"):
        write(config, "26", NOW)
    assert left_behind(tmp_path) == []


def test_a_link_among_the_files_is_refused(tmp_path: Path, config: BackendConfig, folder: Path) -> None:
    (folder / "session-15550007777.0.json").symlink_to(folder.parent / "27" / "creds.json")
    with pytest.raises(BackupError, match="is a link"):
        write(config, "26", NOW)
    assert left_behind(tmp_path) == []


def test_a_link_in_place_of_the_backups_folder_is_refused(tmp_path: Path, config: BackendConfig) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home(tmp_path).parent.mkdir(parents=True)
    home(tmp_path).symlink_to(elsewhere)
    with pytest.raises(BackupError, match="cannot be written"):
        write(config, "26", NOW)
    assert list(elsewhere.iterdir()) == []


def test_the_credentials_of_a_backup(tmp_path: Path, config: BackendConfig, folder: Path) -> None:
    assert backup_credentials(write(config, "26", NOW).path) == creds()
    (folder / "creds.json").write_bytes(b'{"noiseKey"')
    assert backup_credentials(write(config, "26", NOW).path) == b'{"noiseKey"'
    (folder / "creds.json").unlink()
    made = write(config, "26", NOW)
    assert backup_credentials(made.path) is None
    (folder / auth_names.hashed("creds")).write_bytes(creds("second"))
    made = write(config, "26", NOW)
    assert backup_credentials(made.path) == creds("second")
    (made.path / "files" / auth_names.hashed("creds")).write_bytes(creds("third"))
    with pytest.raises(BackupError, match="is damaged"):
        backup_credentials(made.path)


def test_prune_keeps_the_newest_and_always_a_good_one(tmp_path: Path, config: BackendConfig) -> None:
    other = write(config, "27", NOW)
    made = [write(config, "26", NOW + day * 86400) for day in range(6)]
    (home(tmp_path) / "notes").mkdir()
    assert prune(config, "26", keep=4) == [made[1].path, made[0].path]
    for item in made[3:]:
        (item.path / "files" / "creds.json").write_bytes(b"{}")
    # The newest three are damaged in their parts: the one that is good stays beside them.
    assert prune(config, "26", keep=3) == []
    assert prune(config, "26", keep=1) == [made[4].path, made[3].path]
    assert left_behind(tmp_path) == [made[2].path.name, made[5].path.name, "notes"]
    assert verify(other.path) == other
    with pytest.raises(ConfigError):
        prune(config, "26", keep=0)


def test_only_whole_backups_are_listed(tmp_path: Path, config: BackendConfig) -> None:
    assert list_backups(config, "26") == []
    made = write(config, "26", NOW)
    for name in ("20260115T103045Z-7", "latest", ".partial-0"):
        (home(tmp_path) / name).mkdir()
    (home(tmp_path) / "20260116T103045Z-1").write_text("a file")
    shutil.copytree(made.path, home(tmp_path) / "20260117T103045Z-1")
    (home(tmp_path) / "20260117T103045Z-1" / "manifest.json").write_text("{")
    assert list_backups(config, "26") == [made]


@pytest.mark.parametrize("session", ["", "../27", "*", "26 27", "x" * 300])
def test_ids_that_are_no_names_reach_no_path(tmp_path: Path, config: BackendConfig, session: str) -> None:
    before = tree(tmp_path)
    for act in (
        lambda: write(config, session, NOW),
        lambda: list_backups(config, session),
        lambda: restore(config, session, tmp_path),
        lambda: prune(config, session, 1),
    ):
        with pytest.raises(InvalidName):
            act()
    assert tree(tmp_path) == before


def test_a_restore_into_a_folder_with_links_changes_nothing(
    tmp_path: Path, config: BackendConfig, folder: Path
) -> None:
    made = write(config, "26", NOW)
    (folder / "creds.json").unlink()
    (folder / "creds.json").symlink_to(folder.parent / "27" / "creds.json")
    before = tree(tmp_path / "storage")
    with pytest.raises(StoreError, match="is a link"):
        restore(config, "26", made.path)
    assert tree(tmp_path / "storage") == before


def test_a_restore_that_cannot_remove_everything_changes_nothing(
    tmp_path: Path, config: BackendConfig, folder: Path
) -> None:
    made = write(config, "26", NOW)
    (folder / "session-15550007777.0.json").mkdir()
    (folder / "creds.json").write_bytes(creds("second"))
    before = tree(tmp_path / "storage")
    with pytest.raises(StoreError, match="is a folder"):
        restore(config, "26", made.path)
    assert tree(tmp_path / "storage") == before


def test_credentials_are_put_back_last(
    tmp_path: Path, config: BackendConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks in between finds the credentials that go with most of the records."""
    made = write(config, "26", NOW)
    SessionFiles(config, "26").purge("all")
    order: list[str] = []
    original = safe_files.commit

    def commit(descriptor: int, staged: str, name: str) -> None:
        order.append(name)
        original(descriptor, staged, name)

    monkeypatch.setattr(safe_files, "commit", commit)
    restore(config, "26", made.path)
    assert sorted(order) == sorted([*RECORDS, "creds.json"])
    assert order[-1] == "creds.json"


FILES_ALONE = """
import importlib.abc, sys, time
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("redis", "sqlalchemy", "requests", "ansible", "psutil"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from sessionmedic import backup
from sessionmedic.backup_manifest import read_manifest
from sessionmedic.config import BackendConfig
from sessionmedic.errors import BackupError
paths = {"session_path": sys.argv[1], "backup_path": sys.argv[2]}
config = BackendConfig("sandbox", **paths)
made = backup.write_backup(config, "26", time.time())
assert not backup.restore_backup(config, "26", made.path).changed
for more in ({"redis_url": "redis://127.0.0.1:1"}, {"database_url": "sqlite:///x"}):
    try:
        backup.write_backup(BackendConfig("sandbox", **paths, **more), "26", 0.0)
    except BackupError as error:
        print(error)
"""


def test_files_need_the_standard_library_alone(config: BackendConfig) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FILES_ALONE, config.session_path, config.backup_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "The Python package redis is not installed. Install it: pip install redis.",
        "The Python package SQLAlchemy is not installed. Install it: pip install SQLAlchemy.",
    ]
