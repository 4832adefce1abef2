"""Session files: what a purge takes and leaves, and what it refuses to touch."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from sessionmedic.errors import ConfigError, InvalidName, StoreError
from sessionmedic.stores import auth_names, safe_files
from sessionmedic.stores.session_files import SessionFiles
from tests.unit.stores.auth_state import RECORDS, backend, content_of, creds, make_session, tree

KEYS = [name for name in RECORDS if name.startswith(("session-", "sender-key-"))]
OTHERS = {"notes.txt", "session-backup.json"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Session 26 among neighbours whose names begin or end alike."""
    path = tmp_path / "storage"
    for session in ("2", "26", "27", "126", "26-1", "session-26"):
        make_session(path, session)
    return path


def files(tmp_path: Path, session: str = "26", **changes: object) -> SessionFiles:
    return SessionFiles(backend(tmp_path, **changes), session)


def neighbours(storage: Path) -> dict[str, dict[str, tuple[object, ...]]]:
    return {path.name: tree(path) for path in storage.iterdir() if path.name != "26"}


def test_names_are_the_auth_state_alone(tmp_path: Path, storage: Path) -> None:
    store = files(tmp_path)
    assert store.folder == storage / "26"
    assert store.exists()
    assert store.names() == sorted([*RECORDS, "creds.json"])


def test_the_folder_may_have_a_prefix(tmp_path: Path, storage: Path) -> None:
    assert files(tmp_path, session_folder="session-{id}").folder == storage / "session-26"


@pytest.mark.parametrize(("level", "gone"), [("cache", []), ("keys", KEYS), ("all", sorted([*RECORDS, "creds.json"]))])
def test_a_purge_removes_its_level_and_nothing_else(tmp_path: Path, storage: Path, level: str, gone: list[str]) -> None:
    before, others = tree(storage / "26"), neighbours(storage)
    assert files(tmp_path).select(level) == gone
    assert tree(storage / "26") == before
    assert files(tmp_path).purge(level) == gone
    assert tree(storage / "26") == {name: value for name, value in before.items() if name not in gone}
    assert neighbours(storage) == others
    assert files(tmp_path).purge(level) == []


@pytest.mark.parametrize(
    ("peers", "gone"),
    [
        (
            ["15550001111.0"],
            [
                "sender-key-120363000000000001@g.us--15550001111--0.json",
                "sender-key-15550009999-1595953599@g.us--15550001111--12.json",
                "session-15550001111.0.json",
                "session-15550001111.12.json",
            ],
        ),
        (["15550001112"], ["session-15550001112.0.json"]),
        (["1555000111", "5550001111.0", "155500011111"], []),
        # Its session lies under the LID that the mapping names.
        (
            ["15550003333.0"],
            ["sender-key-120363000000000001@g.us--99990003333_1--0.json", "session-99990003333_1.0.json"],
        ),
        (["15550009999"], []),
        ([], KEYS),
    ],
)
def test_named_peers_confine_a_purge_of_keys(tmp_path: Path, storage: Path, peers: list[str], gone: list[str]) -> None:
    before, others = tree(storage / "26"), neighbours(storage)
    assert files(tmp_path).purge("keys", peers) == gone
    assert set(before) - set(tree(storage / "26")) == set(gone)
    assert neighbours(storage) == others


def test_hashed_names_are_purged_alike(tmp_path: Path) -> None:
    folder = tmp_path / "storage" / "26"
    folder.mkdir(parents=True)
    ours = [
        "creds",
        "session-15550001111.0",
        "sender-key-1203@g.us::15550001111::0",
        "session-15550001112.0",
        "pre-key-1",
    ]
    for name in ours:
        (folder / auth_names.hashed(name)).write_bytes(content_of(name))
    (folder / "session-15550001111.0-000000.json").write_text("its hash is of another name")
    store = files(tmp_path)
    assert store.purge("keys", ["15550001111.0"]) == sorted(auth_names.hashed(name) for name in ours[1:3])
    assert store.purge("keys") == [auth_names.hashed("session-15550001112.0")]
    assert store.purge("all") == sorted(auth_names.hashed(name) for name in ("creds", "pre-key-1"))
    assert [path.name for path in folder.iterdir()] == ["session-15550001111.0-000000.json"]


@pytest.mark.parametrize("level", ["keys", "all"])
@pytest.mark.parametrize("planted", ["link", "folder", "fifo"])
def test_a_name_that_is_no_file_stops_the_purge_before_it_begins(
    tmp_path: Path, storage: Path, level: str, planted: str
) -> None:
    victim = storage / "27" / "creds.json"
    path = storage / "26" / "session-15550007777.0.json"
    if planted == "link":
        path.symlink_to(victim)
    elif planted == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    before = tree(storage)
    with pytest.raises(StoreError, match=r"'session-15550007777\.0\.json' is a (link|folder|special file)"):
        files(tmp_path).purge(level)
    assert tree(storage) == before


def test_a_link_leading_out_of_the_storage_path_is_refused(tmp_path: Path) -> None:
    outside = make_session(tmp_path / "elsewhere", "26")
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "26").symlink_to(outside)
    before = tree(outside)
    store = files(tmp_path)
    for act in (
        store.exists,
        store.names,
        store.read_creds,
        lambda: store.folder,
        lambda: store.purge("all"),
        lambda: store.write_creds(b"{}"),
        store.create_folder,
    ):
        with pytest.raises(StoreError, match="is a link that leads out of the storage path"):
            act()
    assert tree(outside) == before


def test_a_link_to_another_sessions_folder_is_refused(tmp_path: Path, storage: Path) -> None:
    (storage / "28").symlink_to("27")
    before = tree(storage)
    with pytest.raises(StoreError, match="is a link that leads to another folder"):
        files(tmp_path, "28").purge("all")
    assert tree(storage) == before


def test_the_storage_path_itself_may_be_a_link(tmp_path: Path, storage: Path) -> None:
    storage.rename(tmp_path / "volume")
    storage.symlink_to(tmp_path / "volume")
    assert files(tmp_path).purge("keys") == KEYS


@pytest.mark.parametrize("session", ["", "../27", "..", "*", "26 27", "26/../27", "x" * 300, "{{ 1 }}"])
def test_ids_that_are_no_names_reach_no_path(tmp_path: Path, storage: Path, session: str) -> None:
    before = tree(storage)
    with pytest.raises(InvalidName):
        files(tmp_path, session).purge("all")
    assert tree(storage) == before


def test_what_is_missing_is_named(tmp_path: Path, storage: Path) -> None:
    with pytest.raises(StoreError, match=r"^The folder \S+/storage/99 of session 99 is missing\. Check session_path"):
        files(tmp_path, "99").names()
    assert not files(tmp_path, "99").exists()
    with pytest.raises(StoreError, match=r"^session_path \S+/nowhere is missing\."):
        files(tmp_path, session_path=str(tmp_path / "nowhere")).names()
    unset = files(tmp_path, session_path="")
    assert not unset.exists()
    with pytest.raises(StoreError, match=r"^session_path is not set"):
        unset.names()
    (storage / "30").write_text("a file")
    with pytest.raises(StoreError, match=r"/storage/30 is not a folder\."):
        files(tmp_path, "30").names()


def test_a_level_that_does_not_exist_removes_nothing(tmp_path: Path, storage: Path) -> None:
    before = tree(storage)
    for level, peers in (("everything", None), ("all", ["15550001111.0"])):
        with pytest.raises(ConfigError):
            files(tmp_path).purge(level, peers)
    assert tree(storage) == before


def test_credentials_are_read_as_they_are(tmp_path: Path, storage: Path) -> None:
    assert files(tmp_path).read_creds() == creds()
    (storage / "26" / "creds.json").write_bytes(b'{"noiseKey"')
    assert files(tmp_path).read_creds() == b'{"noiseKey"'
    (storage / "26" / "creds.json").unlink()
    assert files(tmp_path).read_creds() is None


def test_credentials_are_not_read_through_a_link(tmp_path: Path, storage: Path) -> None:
    (storage / "26" / "creds.json").unlink()
    (storage / "26" / "creds.json").symlink_to(storage / "27" / "creds.json")
    with pytest.raises(StoreError, match=r"'creds\.json' is a link"):
        files(tmp_path).read_creds()
    with pytest.raises(StoreError, match=r"'creds\.json' is a link"):
        files(tmp_path).write_creds(creds("second"))
    assert (storage / "27" / "creds.json").read_bytes() == creds()


def test_written_credentials_replace_the_old_at_once(tmp_path: Path, storage: Path) -> None:
    place = storage / "26" / "creds.json"
    place.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(place, 12345, 23456)
    owner, before, others = place.stat(), tree(storage / "26"), neighbours(storage)
    with place.open("rb") as still_open:
        files(tmp_path).write_creds(creds("second"))
        assert still_open.read() == creds()
    assert place.read_bytes() == creds("second")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert (place.stat().st_uid, place.stat().st_gid) == (owner.st_uid, owner.st_gid)
    after = tree(storage / "26")
    assert {name for name in after if after[name] != before.get(name)} == {"creds.json"}
    assert set(after) == set(before)
    assert neighbours(storage) == others


def test_new_credentials_belong_to_the_owner_of_the_folder(tmp_path: Path, storage: Path) -> None:
    folder = storage / "26"
    (folder / "creds.json").unlink()
    if os.geteuid() == 0:
        os.chown(folder, 12345, 23456)
    files(tmp_path).write_creds(creds("second"))
    written = (folder / "creds.json").stat()
    assert (written.st_uid, written.st_gid) == (folder.stat().st_uid, folder.stat().st_gid)
    assert stat.S_IMODE(written.st_mode) == 0o600


def test_credentials_keep_the_form_of_name_that_the_backend_uses(tmp_path: Path) -> None:
    folder = tmp_path / "storage" / "26"
    folder.mkdir(parents=True)
    store = files(tmp_path)
    assert store.creds_name() == "creds.json"
    (folder / auth_names.hashed("pre-key-1")).write_bytes(b"{}")
    store.write_creds(creds())
    assert store.creds_name() == "creds-dcce9a.json"
    assert store.read_creds() == creds()
    # A stray file of the other form decides nothing.
    (folder / "creds.json").write_bytes(b"{}")
    assert store.read_creds() == creds()


def test_a_missing_folder_is_made_for_credentials_only_when_asked(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    if os.geteuid() == 0:
        os.chown(storage, 12345, 23456)
    with pytest.raises(StoreError, match="is missing"):
        files(tmp_path).write_creds(creds())
    assert not (storage / "26").exists()
    files(tmp_path).write_creds(creds(), create=True)
    for path in (storage / "26", storage / "26" / "creds.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (storage.stat().st_uid, storage.stat().st_gid)
    assert stat.S_IMODE((storage / "26").stat().st_mode) == 0o700


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path, storage: Path) -> None:
    left = storage / "26" / f"{safe_files.TEMPORARY_PREFIX}0123456789abcdef.tmp"
    left.write_bytes(creds("third"))
    files(tmp_path).write_creds(creds("second"))
    assert not left.exists()


def test_a_file_that_is_too_large_is_not_read_into_memory(tmp_path: Path, storage: Path) -> None:
    with (storage / "26" / "creds.json").open("r+b") as file:
        file.truncate(safe_files.MAX_SIZE + 1)
    with pytest.raises(StoreError, match="is larger than 64 MiB"):
        files(tmp_path).read_creds()


def test_other_files_of_the_folder_stay_at_every_level(tmp_path: Path, storage: Path) -> None:
    for level in auth_names.LEVELS:
        files(tmp_path).purge(level)
    assert {path.name for path in (storage / "26").iterdir()} == OTHERS


def test_creds_that_are_being_written_are_read_when_they_are_whole(tmp_path: Path, storage: Path) -> None:
    path = storage / "26" / "creds.json"
    whole = path.read_bytes()
    path.write_bytes(b"")
    writer = threading.Timer(0.15, path.write_bytes, [whole])
    writer.start()
    assert files(tmp_path).read_creds() == whole
    writer.join()


@pytest.mark.parametrize("broken", [b"", b'{"noiseKey":'])
def test_creds_that_stay_broken_are_returned_as_they_are(tmp_path: Path, storage: Path, broken: bytes) -> None:
    (storage / "26" / "creds.json").write_bytes(broken)
    assert files(tmp_path).read_creds() == broken
