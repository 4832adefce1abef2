from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path

import pytest

from sessionmedic import service_log
from sessionmedic.audit import Audit
from sessionmedic.errors import StoreError
from sessionmedic.remediations import Alert, Remediation, Step


def _record(session: str = "26", **more: object) -> Remediation:
    values = {
        "alert": Alert("WhatsAppSessionCorrupted", "f00", 1705314600.0),
        "started_at": 1705314641.0,
        "finished_at": 1705314645.0,
        "outcome": "recovered",
        "remedy": "regenerate",
        "backup": "/var/backups/x",
        "steps": [Step("lock", 1705314641.0, 0.1, "ok"), Step("purge", 1705314642.0, 0.2, "changed", "3 removed")],
        **more,
    }
    return Remediation("shop", session, "fix_session", "webhook:bearer", 1705314640.0, **values)  # type: ignore[arg-type] # kwargs


def test_an_entry_has_who_what_and_every_step(tmp_path: Path) -> None:
    folder = tmp_path / "not/there/yet"
    record = _record()
    Audit(folder).write(record)
    entry = json.loads((folder / "audit.jsonl").read_text())
    assert entry == record.as_dict()
    assert entry["alert"]["fingerprint"] == "f00"
    assert [(step["name"], step["seconds"], step["outcome"]) for step in entry["steps"]] == [
        ("lock", 0.1, "ok"),
        ("purge", 0.2, "changed"),
    ]
    assert (folder / "auto-fix-sessions.log").read_text() == (
        "[2024-01-15 10:30:45] fix_session of session 26 of shop: recovered by regenerate in 4.0 s; asked by "
        f"webhook:bearer, alert WhatsAppSessionCorrupted; backup /var/backups/x; remediation {record.uuid}\n"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outcome": "", "remedy": "", "refused": "locked"}, "session 26 of shop: refused (locked) in"),
        ({"outcome": "", "remedy": ""}, "session 26 of shop: nothing to do in"),
        ({"started_at": None, "outcome": "", "refused": "paused"}, "session 26 of shop: refused (paused); asked by"),
        ({"session": ""}, "fix_session of backend shop: recovered"),
    ],
)
def test_the_plain_line_says_what_became_of_it(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    Audit(tmp_path).write(_record(**changes))  # type: ignore[arg-type] # kwargs
    assert said in (tmp_path / "auto-fix-sessions.log").read_text()


def test_nothing_in_a_record_can_forge_an_entry_or_show_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_log, "_secrets", {"s3cret-token"})
    Audit(tmp_path).write(_record(message="a\n[2024-01-15 10:30:45] forged s3cret-token redis://:pw@h/0"))
    for name in ("audit.jsonl", "auto-fix-sessions.log"):
        text = (tmp_path / name).read_text()
        assert text.count("\n") == 1
        assert "s3cret" not in text and ":pw@" not in text


def test_files_are_for_owner_and_group_and_a_link_is_not_followed(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Audit(tmp_path / "logs").write(_record())
    finally:
        os.umask(before)
    assert (tmp_path / "logs/audit.jsonl").stat().st_mode & 0o777 == 0o640
    (tmp_path / "other").mkdir()
    (tmp_path / "other/audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "other"))):
        Audit(tmp_path / "other").write(_record())
    assert not (tmp_path / "elsewhere").exists()


def test_entries_of_many_writers_do_not_mix(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(20):
            Audit(tmp_path).write(_record(f"{number}-{turn}", message="x" * 250))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sessions = {json.loads(line)["session"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()}
    assert sessions == {f"{number}-{turn}" for number in range(8) for turn in range(20)}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/logs cannot be written"):
        Audit(tmp_path / "file/logs").write(_record())
