"""Credentials are found where the backend keeps them, judged, and read again only when they changed."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path

import pytest

from session_exporter.credentials import NONE, CredentialsWatch, in_files
from session_exporter.store import BackendStore
from sessionmedic.config import BackendConfig
from sessionmedic.errors import StoreError
from sessionmedic.stores import auth_names
from sessionmedic.stores.session_files import SessionFiles
from tests.unit.exporter.exporter_cases import Clock, session, store
from tests.unit.stores.auth_state import creds

GO_ON = threading.Event()


def config_of(folder: Path) -> BackendConfig:
    return BackendConfig("b", session_path=str(folder))


def write(folder: Path, data: bytes, session: str = "26", name: str = "creds.json") -> Path:
    (folder / session).mkdir(exist_ok=True)
    path = folder / session / name
    path.write_bytes(data)
    return path


def test_complete_credentials_are_valid_with_size_and_time(tmp_path: Path) -> None:
    data = creds()
    path = write(tmp_path, data)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert in_files(config_of(tmp_path), "26") == (len(data), True, 1_700_000_000.0)


def test_the_hashed_name_of_a_fork_is_found_as_well(tmp_path: Path) -> None:
    write(tmp_path, creds(), name=auth_names.hashed(auth_names.CREDS))
    assert in_files(config_of(tmp_path), "26").valid


@pytest.mark.parametrize("data", [b"", b"{}", b'{"noiseKey": {"priv'])
def test_credentials_that_are_not_whole_are_not_valid(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, data)
    found = in_files(config_of(tmp_path), "26")
    assert (found.bytes, found.valid) == (len(data), False)


def test_a_session_without_folder_or_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    assert in_files(config_of(tmp_path), "26") == NONE
    assert in_files(config_of(tmp_path), "2") == NONE


def test_what_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, creds())
    known = in_files(config_of(tmp_path), "26")
    monkeypatch.setattr(SessionFiles, "read_creds", lambda self: b"{}")
    assert in_files(config_of(tmp_path), "26", known) is known
    os.utime(path, (1, 1))
    assert not in_files(config_of(tmp_path), "26", known).valid


def test_a_folder_that_leads_elsewhere_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    write(tmp_path / "..", creds(), "elsewhere")
    (tmp_path / "26").symlink_to(tmp_path.parent / "elsewhere")
    with pytest.raises(StoreError, match="link"):
        in_files(config_of(tmp_path), "26")
    shutil.rmtree(tmp_path.parent / "elsewhere")


def watched(folder: Path) -> tuple[BackendStore, CredentialsWatch]:
    made = store(Clock(), session("2"), session("26"))
    return made, CredentialsWatch(300.0, [(made, config_of(folder))])


def test_the_watch_looks_at_every_listed_session(tmp_path: Path) -> None:
    made, watch = watched(tmp_path)
    write(tmp_path, creds())
    watch.look(GO_ON)
    found = {id: series.credentials for id, series in made.sessions.items()}
    assert found["2"] == NONE
    assert found["26"] is not None and found["26"].valid


def test_what_cannot_be_looked_at_is_absent_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made, watch = watched(tmp_path)
    write(tmp_path, creds())
    (tmp_path / "2").symlink_to("26")
    for _ in range(3):
        watch.look(GO_ON)
    assert made.sessions["2"].credentials is None
    assert made.sessions["26"].credentials is not None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    (tmp_path / "2").unlink()
    watch.look(GO_ON)
    assert made.sessions["2"].credentials == NONE


def test_a_backend_that_keeps_nothing_we_know_of_is_left_alone() -> None:
    made = store(Clock(), session())
    CredentialsWatch(300.0, [(made, BackendConfig("b"))]).look(GO_ON)
    assert made.sessions["26"].credentials is None


def test_it_ends_when_told(tmp_path: Path) -> None:
    _, watch = watched(tmp_path)
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
