"""A follower that starts again goes on where the last run stopped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from session_exporter.sources.follower import Follower
from session_exporter.sources.rotation import Position

BUDGET = 1 << 30
LINE = b'{"level":50,"msg":"line %06d"}\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "out.log"
    path.write_bytes(b"")
    return path


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def read(follower: Follower) -> bytes:
    data = b"".join(block.data for block in follower.blocks(BUDGET))
    assert follower.caught_up
    return data


def started(path: Path, **options: object) -> Follower:
    follower = Follower(str(path), **options)  # type: ignore[arg-type]
    assert read(follower) == b""
    return follower


def position_after(path: Path, length: int) -> Position:
    """Where a run stopped that had read ``length`` bytes of ``path``."""
    data = path.read_bytes()[:length]
    return Position.of(path.stat().st_ino, length, data[:256], data[-64:])


# -- restart ----------------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_where_the_last_run_stopped(log: Path) -> None:
    append(log, b"1\n2\n")
    position = position_after(log, 2)
    assert read(Follower(str(log), position)) == b"2\n"


@pytest.mark.parametrize("rename", [True, False], ids=["renamed", "copied"])
def test_what_was_rotated_while_nobody_read_is_read_after_a_restart(log: Path, rename: bool) -> None:
    append(log, b"1\n2\n")
    position = position_after(log, 2)
    if rename:
        log.rename(log.with_name("out.log.1"))
    else:
        shutil.copy(log, log.with_name("out.log.1"))
        os.truncate(log, 0)
    append(log, b"3 is longer than what was there\n")
    follower = Follower(str(log), position)
    assert read(follower) == b"2\n3 is longer than what was there\n"
    assert follower.rotations["renamed" if rename else "copied"] == 1


def test_a_file_moved_to_another_disk_is_known_by_its_contents(log: Path) -> None:
    append(log, b"1\n2\n")
    position = position_after(log, 2)
    other = log.with_name("copy")
    shutil.copy(log, other)
    other.replace(log)
    assert read(Follower(str(log), position)) == b"2\n"


def test_when_the_rest_is_gone_it_is_said_and_the_new_file_is_read(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(log, b"1\n2\n")
    position = position_after(log, 2)
    log.unlink()
    append(log.with_name("filler"), b"")  # so that the inode is not used again
    append(log, b"3\n")
    follower = Follower(str(log), position)
    assert read(follower) == b"3\n"
    assert follower.rotations["lost"] == 1
    assert "is not counted" in caplog.text


def test_a_restart_while_the_file_is_away_keeps_the_place(log: Path) -> None:
    append(log, b"1\n2\n")
    position = position_after(log, 2)
    away = log.rename(log.with_name("elsewhere"))
    follower = Follower(str(log), position)
    assert read(follower) == b"2\n"
    away.rename(log)
    append(log, b"3\n")
    assert read(follower) == b"3\n"


def test_a_position_survives_json_and_holds_no_log_text(log: Path) -> None:
    append(log, b"a secret line of a log\n" * 20)
    position = position_after(log, 200)
    data = position.to_json()
    assert Position.from_json(data) == position
    assert "secret" not in str(data)
