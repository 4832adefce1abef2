"""A followed file gives every byte once, whatever happens to it between two looks."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_exporter.sources.follower import BLOCK_BYTES, Follower, LogFile, SourceStatus
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


# -- where reading begins ---------------------------------------------------------------------------------------------


def test_a_file_that_is_there_at_first_sight_is_read_from_its_end(log: Path) -> None:
    append(log, b"old\n")
    follower = started(log)
    append(log, b"new\n")
    assert read(follower) == b"new\n"


def test_a_line_that_was_half_written_at_first_sight_is_not_read(log: Path) -> None:
    append(log, b"old\nhalf of a Bad MA")
    follower = started(log)
    append(log, b"C\nnew\n")
    assert read(follower) == b"new\n"


def test_from_beginning_reads_what_is_there(log: Path) -> None:
    append(log, b"old\n")
    assert read(Follower(str(log), from_beginning=True)) == b"old\n"


def test_a_file_that_appears_later_is_read_from_its_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = started(tmp_path / "late.log")
    assert follower.status is SourceStatus.MISSING
    read(follower)
    append(tmp_path / "late.log", b"first\n")
    assert read(follower) == b"first\n"
    assert follower.status is SourceStatus.READING
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_regular_file_is_told_once_and_read_when_it_becomes_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "odd.log"
    make(path)
    follower = Follower(str(path))
    for _ in range(3):
        assert read(follower) == b""
    assert follower.status is SourceStatus.UNREADABLE
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(path) in caplog.text


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own may be entered by us alone."""
    folder = Path(tempfile.mkdtemp(prefix="sessionmedic-follower-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def without_rights_of_root() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_rights_is_unreadable_and_later_read_from_where_it_ended(open_folder: Path) -> None:
    log = open_folder / "out.log"
    append(log, b"old\n")
    log.chmod(0)
    with without_rights_of_root():
        follower = started(log)
    assert follower.status is SourceStatus.UNREADABLE
    log.chmod(0o600)
    append(log, b"new\n")
    assert read(follower) == b"new\n"
    follower.close()


# -- rotation while it is followed ------------------------------------------------------------------------------------


def test_the_rest_of_a_renamed_file_comes_before_the_new_one(log: Path) -> None:
    follower = started(log)
    append(log, b"1\n")
    assert read(follower) == b"1\n"
    append(log, b"2\n")
    log.rename(log.with_name("out.log.1"))
    append(log.with_name("out.log.1"), b"3\n")
    append(log, b"4\n")
    assert read(follower) == b"2\n3\n4\n"
    assert follower.rotations["renamed"] == 1


def test_while_the_new_file_is_empty_the_writer_is_still_on_the_old_one(log: Path) -> None:
    follower = started(log)
    old = log.rename(log.with_name("out.log.1"))
    assert read(follower) == b""
    log.touch()
    append(old, b"1\n")
    assert read(follower) == b"1\n"
    append(old, b"2\n")
    append(log, b"3\n")
    assert read(follower) == b"2\n3\n"


def test_files_rotated_twice_between_two_looks_are_read_in_order(log: Path) -> None:
    follower = started(log)
    append(log, b"1\n")
    assert read(follower) == b"1\n"
    append(log, b"2\n")
    log.rename(log.with_name("out.log.1"))
    append(log, b"3\n")
    log.with_name("out.log.1").rename(log.with_name("out.log.2"))
    log.rename(log.with_name("out.log.1"))
    append(log, b"4\n")
    assert read(follower) == b"2\n3\n4\n"


def test_what_is_written_between_our_last_read_and_the_rotation_is_read(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = started(log)
    move_on = Follower._move_on

    def rotate_first(self: Follower, file: LogFile) -> bool:
        if not log.with_name("out.log.1").exists():
            append(log, b"1\n")
            log.rename(log.with_name("out.log.1"))
            append(log, b"2\n")
        return move_on(self, file)

    monkeypatch.setattr(Follower, "_move_on", rotate_first)
    assert read(follower) == b"1\n2\n"


def test_a_file_between_the_old_and_an_empty_new_one_is_read_at_once(log: Path) -> None:
    follower = started(log)
    append(log, b"1\n")
    older = log.rename(log.with_name("out.log.2"))
    append(log, b"2\n")
    newer = log.rename(log.with_name("out.log.1"))
    log.touch()
    assert read(follower) == b"1\n2\n"
    append(newer, b"3\n")
    append(log, b"4\n")
    assert read(follower) == b"3\n4\n"
    assert older.read_bytes() == b"1\n"


@pytest.mark.parametrize("after_copy", [b"", b"1 again\n"], ids=["whole", "part"])
def test_a_copy_of_the_old_file_is_not_read_as_a_later_one(log: Path, after_copy: bytes) -> None:
    follower = started(log)
    append(log, b"1\n")
    shutil.copy(log, log.with_name("out.log.2"))
    append(log, after_copy)
    assert read(follower) == b"1\n" + after_copy
    os.utime(log.with_name("out.log.2"))
    log.rename(log.with_name("out.log.1"))
    append(log, b"2\n")
    assert read(follower) == b"2\n"


@pytest.mark.parametrize(
    "rotated", ["out.log.1", "out-20240115.log", "out__2024-01-15_10-30-45.log", "out.log-20240115"]
)
def test_the_rest_of_a_copied_and_truncated_file_is_read_from_the_copy(log: Path, rotated: str) -> None:
    follower = started(log)
    append(log, b"1\n")
    assert read(follower) == b"1\n"
    append(log, b"2\n")
    shutil.copy(log, log.with_name(rotated))
    os.truncate(log, 0)
    append(log, b"3\n")
    assert read(follower) == b"2\n3\n"
    assert follower.rotations["copied"] == 1


def test_two_copies_between_two_looks_are_read_in_order(log: Path) -> None:
    follower = started(log)
    append(log, b"1\n")
    assert read(follower) == b"1\n"
    for line in (b"2\n", b"3\n"):
        append(log, line)
        shutil.copy(log, log.with_name(f"out.log.{line[:1].decode()}"))
        os.truncate(log, 0)
    append(log, b"4\n")
    assert read(follower) == b"2\n3\n4\n"


def test_files_that_were_rotated_are_read_also_when_no_new_one_comes(log: Path) -> None:
    follower = started(log)
    append(log, b"1\n")
    assert read(follower) == b"1\n"
    log.rename(log.with_name("out.log.1"))
    assert read(follower) == b""
    for number in (2, 3):
        append(log, b"%d\n" % number)
        log.rename(log.with_name(f"out.log.{number}"))
    assert read(follower) == b"2\n3\n"


def test_a_truncated_file_that_has_grown_beyond_our_place_is_noticed(log: Path) -> None:
    follower = started(log)
    append(log, b"1" * 100 + b"\n")
    read(follower)
    os.truncate(log, 0)
    append(log, b"2" * 500 + b"\n")
    assert read(follower) == b"2" * 500 + b"\n"
    assert follower.rotations["truncated"] == 1


def test_the_hole_that_a_writer_without_append_leaves_is_not_part_of_the_first_line(log: Path) -> None:
    with log.open("wb") as writer:
        follower = started(log)
        writer.write(b"1" * 200_000 + b"\n")
        writer.flush()
        read(follower)
        os.truncate(log, 0)
        writer.write(b"2\n")
    assert read(follower) == b"2\n"


def test_a_file_of_another_name_is_never_taken_for_a_rotated_one(log: Path) -> None:
    follower = started(log)
    append(log, b"1\n")
    assert read(follower) == b"1\n"
    append(log.with_name("outgoing.log"), b"other\n")
    append(log.with_name("out.log.gz"), b"packed\n")
    append(log.with_name("out-error.log"), b"other\n")
    log.rename(log.with_name("out.log.1"))
    append(log, b"2\n")
    assert read(follower) == b"2\n"


def test_a_link_that_is_turned_to_another_file_is_a_rotation(tmp_path: Path) -> None:
    link = tmp_path / "current.log"
    append(tmp_path / "2024-01-15.log", b"")
    link.symlink_to("2024-01-15.log")
    follower = started(link)
    append(link, b"1\n")
    append(tmp_path / "2024-01-16.log", b"2\n")
    link.unlink()
    link.symlink_to("2024-01-16.log")
    assert read(follower) == b"1\n2\n"


# -- everything together ----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(["write", "write", "write", "rename", "copytruncate", "read", "read", "restart"]), max_size=40
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_no_order_of_writes_rotations_and_restarts_loses_or_doubles_a_line(
    tmp_path: Path, steps: list[str], sizes: list[int]
) -> None:
    folder = tmp_path / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    log = folder / "out.log"
    log.touch()
    follower = started(log)
    position = position_after(log, 0)
    written = rotated = 0
    got = b""

    def write(lines: int) -> None:
        nonlocal written
        append(log, b"".join(LINE % number for number in range(written, written + lines)))
        written += lines

    for number, step in enumerate([*steps, "read"]):
        if step == "write":
            write(sizes[number % len(sizes)])
        elif step == "rename" and log.stat().st_size:
            rotated += 1
            log.rename(folder / f"out.log.{rotated}")
            write(1)
        elif step == "copytruncate" and log.stat().st_size:
            if not (follower._files[-1].offset if follower._files else position.offset):
                # Nothing tells a file of which nothing was read from its successor.
                got += read(follower)
                write(1)
            rotated += 1
            shutil.copy2(log, folder / f"out.log.{rotated}")
            os.truncate(log, 0)
        elif step == "read":
            got += read(follower)
        elif step == "restart":
            got += b"".join(block.data for block in follower.blocks(BLOCK_BYTES))
            position = follower._files[0].position()
            follower.close()
            follower = Follower(str(log), position)
    follower.close()
    assert got == b"".join(LINE % number for number in range(written))
