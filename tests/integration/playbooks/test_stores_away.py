"""A place that a remedy needs and cannot write or reach: one sentence, and the session is as it was and connected."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.little_backend import QUICK, LittleBackend, refused
from tests.playbooks import Ansible
from tests.services import RedisServer, free_port


def as_root(*command: str) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, *command], check=True, capture_output=True, text=True)


@pytest.fixture
def read_only(little: LittleBackend) -> Iterator[Path]:
    """Session 26 on a mount that takes no writes, as root sees it too."""
    place = little.storage / "26"
    as_root("mount", "--bind", str(place), str(place))
    try:
        as_root("mount", "-o", "remount,ro,bind", str(place))
        yield place
    finally:
        as_root("umount", str(place))


@pytest.mark.usefixtures("read_only")
def test_a_session_folder_that_takes_no_writes(little: LittleBackend, quick: Ansible) -> None:
    before = little.files("26")
    run = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
    refused(run, "is not writable")
    assert little.files("26") == before
    assert little.sessions["26"] == "CONNECTED"


def test_a_credentials_database_that_is_away(little: LittleBackend, redis_server: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    away = {**little.backend, "database_url": f"postgresql+psycopg://u:MARKED-PASSWORD@127.0.0.1:{port}/zap"}
    ansible = Ansible(tmp_path, {tmp_path.name: away}, {"REDIS_URL": redis_server.url})
    before = little.files("26")
    for strategy in ("restore", "regenerate"):
        run = ansible.run("fix_session", id=26, strategy=strategy, force=True, **QUICK)
        refused(run, "127.0.0.1")
        assert "MARKED-PASSWORD" not in run.output
    assert little.files("26") == before
    assert little.sessions["26"] == "CONNECTED"
    assert little.calls("26/disconnect") == 0
