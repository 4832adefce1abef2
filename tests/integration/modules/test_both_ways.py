"""Every module gives the same result as a module and in the controller's process, and shows no secret either way."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible_site import DATABASE_MARK, REDIS_PASSWORD, Site
from tests.playbooks import ROOT, Run
from tests.sandbox.sandbox import PASSWORD, wait_for

# A variable for the task's environment is what no process of ours can have afterwards, so it makes a module of it.
AS_MODULE = {"environment": {"SOME_VARIABLE": "1"}}
VOLATILE = {
    "at",
    "since",
    "updated_at",
    "backup",
    "bytes",
    "decrypted",
    "seconds",
    "lock",
    "source",
    "saved_at",
    "files",
}
GROUP = "group/sessionmedic.whatsapp.session"

# Each step of a repair, then each kind of refusal. `S` stands for the session.
STEPS: list[dict[str, Any]] = [
    {"session_info": {}},
    {"session_info": {"session": "S"}},
    {"session_info": {"session": "999"}},
    {"session_lock": {"session": "S", "owner": "test"}, "register": "held"},
    {"session_lock": {"session": "S", "owner": "other"}},
    {"session_health": {"session": "S"}},
    {"session_health": {"session": "S", "strategy": "regenerate", "force": True}},
    {"session_backup": {"session": "S", "lock": "{{ held.lock }}"}, "check_mode": True},
    {"session_backup": {"session": "S", "lock": "{{ held.lock }}"}},
    {"session_purge": {"session": "S", "level": "keys", "lock": "{{ held.lock }}"}, "check_mode": True},
    {"session_purge": {"session": "S", "level": "keys", "lock": "{{ held.lock }}"}},
    {"session_disconnect": {"session": "S", "lock": "{{ held.lock }}"}, "check_mode": True},
    {"session_disconnect": {"session": "S", "lock": "{{ held.lock }}"}},
    {"session_disconnect": {"session": "S", "lock": "{{ held.lock }}"}},
    {"session_backup": {"session": "S", "lock": "{{ held.lock }}"}, "register": "backup"},
    {"session_purge": {"session": "S", "level": "keys", "lock": "{{ held.lock }}"}},
    {"session_purge": {"session": "S", "level": "keys", "lock": "{{ held.lock }}", "backup": "{{ backup.backup }}"}},
    {"session_purge": {"session": "S", "level": "keys", "lock": "{{ held.lock }}", "backup": "{{ backup.backup }}"}},
    {"credentials_save": {"session": "S", "lock": "{{ held.lock }}"}, "check_mode": True},
    {"credentials_save": {"session": "S", "lock": "{{ held.lock }}"}},
    {"credentials_save": {"session": "S", "lock": "{{ held.lock }}"}},
    {"credentials_restore": {"session": "S", "lock": "{{ held.lock }}"}},
    {"session_reconnect": {"session": "S", "lock": "{{ held.lock }}"}, "check_mode": True},
    {"session_reconnect": {"session": "S", "lock": "{{ held.lock }}"}, "register": "reconnect"},
    {"session_reconnect": {"session": "S", "lock": "{{ held.lock }}"}},
    {"session_health": {"session": "S", "since": "{{ reconnect.since }}", "settle_seconds": 1, "timeout_seconds": 20}},
    {"session_backup": {"session": "S", "lock": "1:lost"}},
    {
        "session_lock": {
            "session": "S",
            "state": "released",
            "lock": "{{ held.lock }}",
            "outcome": "recovered",
            "remedy": "regenerate",
        }
    },
    {"session_lock": {"session": "S", "state": "released"}},
    {"session_info": {"session": "../.."}},
    {"session_health": {"session": "S", "since": "yesterday"}},
    {"session_health": {"session": "S", "strategy": "reset"}},
    {"session_backup": {"session": "S", "unknown_option": 1}},
    {"session_backup": {}},
    {"session_info": {"backend": {"url": "ftp://nowhere"}}},
    {"session_backup": {"session": "S", "redis_url": "{{ redis_away }}"}},
    {
        "session_backup": {
            "session": "S",
            "backend": "{{ whatsapp_backend | combine({'database_url': database_away}) }}",
        }
    },
]


def playbook(session: int, way: dict[str, Any], out: Path) -> list[Any]:
    """One task for each step. Secrets come from files of variables: Ansible shows lines of playbooks in errors."""
    tasks: list[dict[str, Any]] = []
    for number, step in enumerate(STEPS):
        step = json.loads(json.dumps(step).replace('"S"', f'"{session}"'))
        name = next(key for key in step if key not in ("register", "check_mode"))
        kept = {key: step[key] for key in ("check_mode",) if key in step}
        task = {
            "name": f"step {number}",
            f"sessionmedic.whatsapp.{name}": step[name],
            "register": f"result_{number}",
            "ignore_errors": True,
            **kept,
            **way,
        }
        tasks.append(task)
        if "register" in step:
            tasks.append(
                {
                    "name": "keep",
                    "ansible.builtin.set_fact": {step["register"]: f"{{{{ result_{number} }}}}"},
                    "no_log": True,
                }
            )
    results = ", ".join(f"result_{number}" for number in range(len(STEPS)))
    tasks.append(
        {
            "name": "write",
            "ansible.builtin.copy": {"content": f"{{{{ [{results}] | to_json }}}}", "dest": str(out), "mode": "0600"},
            "no_log": True,
            "diff": False,
        }
    )
    defaults = {"backend": "{{ whatsapp_backend }}", "backend_name": "sandbox"}
    return [
        {
            "name": "both ways",
            "hosts": "sandbox",
            "gather_facts": False,
            "module_defaults": {GROUP: defaults},
            "tasks": tasks,
        }
    ]


def run(site: Site, folder: Path, session: int, way: dict[str, Any]) -> tuple[Run, list[dict[str, Any]]]:
    out = folder / "results.json"
    database = f"sqlite:///{folder / DATABASE_MARK}.sqlite3"
    ansible = site.ansible(folder, {"sandbox": {**site.backend, "database_url": database}})
    path, secrets = folder / "play.yml", folder / "secrets.yml"
    secrets.write_text(
        json.dumps(
            {
                "redis_away": f"redis://:{REDIS_PASSWORD}@127.0.0.1:9/0",
                "database_away": f"postgresql://user:{DATABASE_MARK}@127.0.0.1:9/name",
            }
        )
    )
    path.write_text(yaml.safe_dump(playbook(session, way, out)))
    done = ansible.run(str(path), "-vvv", "--diff", "-e", f"@{secrets}")
    assert out.exists(), done.output
    return done, json.loads(out.read_text())


def counted(site: Site) -> set[int]:
    return {record["whatsappId"] for record in site.sandbox.out_log() if "messages received" in record["msg"]}


@cache
def both(site: Site, folder: Path) -> dict[str, tuple[Run, list[dict[str, Any]]]]:
    """One run each way, on two sessions in the same state, for all tests below."""
    for session in (26, 27):
        # Each message changes the session's records, so each backup after a while is a new one.
        site.writing(session)
    for name in ("here", "module"):
        (folder / name).mkdir()
    wait_for("a count of messages in the log for each", lambda: counted(site) >= {26, 27})
    return {
        "here": run(site, folder / "here", 26, {}),
        "module": run(site, folder / "module", 27, AS_MODULE),
    }


@pytest.fixture(scope="session")
def runs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, list[dict[str, Any]]]]:
    return both(site, tmp_path_factory.mktemp("ways"))


def comparable(value: Any) -> Any:
    """A result without what differs from run to run or from session to session."""
    if isinstance(value, dict):
        volatile = VOLATILE | ({"errors", "recent_errors", "peers"} if "verified" in value else set())
        return {key: (value[key] is not None) if key in volatile else comparable(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\d+ (records|bytes)", r"n \1", re.sub(r"\b(26|27)\b|(?<=0000)2[67](?=0|_)", "S", value))
    return value


def test_one_way_is_in_process_and_the_other_is_not(runs: dict[str, tuple[Run, Any]]) -> None:
    shipped = re.compile(r"Using module file \S*/sessionmedic/whatsapp/plugins/modules/")
    assert shipped.findall(runs["here"][0].output) == []
    assert len(shipped.findall(runs["module"][0].output)) == len(STEPS)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[f"{n}-{next(iter(step))}" for n, step in enumerate(STEPS)])
def test_results_are_the_same(runs: dict[str, tuple[Run, list[dict[str, Any]]]], number: int) -> None:
    here, module = runs["here"][1][number], runs["module"][1][number]
    for result in (here, module):
        result.pop("exception", None)
        for session in result.get("sessions", []):
            assert isinstance(session.pop("state"), str)
            assert isinstance(session.pop("raw_state"), str)
    assert comparable(here) == comparable(module)


def test_the_steps_did_what_they_are_for(runs: dict[str, tuple[Run, list[dict[str, Any]]]]) -> None:
    for way in ("here", "module"):
        results = runs[way][1]
        by_step = [(next(iter(step)), result) for step, result in zip(STEPS, results)]
        errors = [
            (number, result.get("error", "argument")) for number, result in enumerate(results) if result.get("failed")
        ]
        assert [error for _, error in errors] == [
            "LockHeld",
            "StoreError",
            "BackupError",
            "LockLost",
            "argument",
            "InvalidName",
            "argument",
            "argument",
            "argument",
            "argument",
            "ConfigError",
            "StateUnavailable",
            "BackupError",
        ], errors
        changed = [name for name, result in by_step if result.get("changed")]
        assert changed == [
            "session_backup",
            "session_backup",
            "session_purge",
            "session_disconnect",
            "session_disconnect",
            "session_backup",
            "session_purge",
            "credentials_save",
            "credentials_save",
            "session_reconnect",
            "session_reconnect",
        ]
        verified = next(result for _, result in by_step if "verified" in result)
        assert verified["verified"] is True


@pytest.mark.parametrize("way", ["here", "module"])
def test_no_secret_is_shown(runs: dict[str, tuple[Run, list[dict[str, Any]]]], way: str, site: Site) -> None:
    done, results = runs[way]
    text = done.output + json.dumps(results)
    assert "invocation" in done.output
    for secret in (PASSWORD, REDIS_PASSWORD, DATABASE_MARK):
        # Ansible's own line of the command it runs holds nothing of the arguments.
        assert secret not in text
    creds = json.loads((site.sandbox.folder(26) / "creds.json").read_text())
    for key in (
        creds["noiseKey"]["private"]["data"],
        creds["signedIdentityKey"]["private"]["data"],
        creds["advSecretKey"],
    ):
        assert key not in text


def test_the_collection_under_test_is_this_one(runs: dict[str, tuple[Run, Any]]) -> None:
    assert str(ROOT) in runs["module"][0].output
