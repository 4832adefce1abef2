"""The same repair with sessions in Redis, with modules in place of in-process actions, and with secrets in a vault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.ansible_site import BACKEND, FAST, Site, broken, reads_again, row, untouched
from tests.http_backend import ScriptedBackend
from tests.little_backend import QUICK, LittleBackend
from tests.playbooks import ROOT, Ansible
from tests.services import RedisServer


def test_a_session_in_redis_loses_its_failing_keys_and_no_other_session_one(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        site = Site(tmp_path, [2, 26], store="redis", redis_url=redis_server.url)
        try:
            site.start()
            client.set("sessions:2", "not a session's")
            client.set("TICKETZ_JWT_SECRET", "kept")
            backend = {key: value for key, value in site.backend.items() if key != "session_path"}
            ansible = site.ansible(tmp_path, {BACKEND: {**backend, "redis_url": redis_server.url}})
            broken(site, 26, "rolled_back_records")
            site.sandbox.control_post("/touched/reset")
            ours = (b"sessions:26:", b"sessionmedic:")
            others = {key for key in client.scan_iter() if not key.startswith(ours)}
            run = ansible.run("fix_session", "-v", id=26, strategy="regenerate", **FAST)
            assert run.rc == 0, run.output
            assert row(run, 26)[:2] == ["recovered", "regenerate"]
            [purge] = run.results("Purge")
            assert purge["removed"]
            assert all(key.startswith("sessions:26:session-") for key in purge["removed"])
            assert others <= set(client.scan_iter())
            assert run.results("Back up")[0]["keys"] > 800
            assert redis_server.url not in run.output
            reads_again(site, 26)
            assert untouched(site, 2)
        finally:
            site.stop()


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """An interpreter that is not the one Ansible runs with, though it has the same packages."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def test_with_a_python_of_its_own_a_backend_is_repaired_by_modules(
    little: LittleBackend, quick: Ansible, tmp_path: Path, other_python: Path
) -> None:
    inventory = json.loads(quick.inventory.read_text())
    inventory["whatsapp_backends"]["hosts"][tmp_path.name]["ansible_python_interpreter"] = str(other_python)
    quick.inventory.write_text(json.dumps(inventory))
    run = quick.run("fix_session", "-vvv", id=26, strategy="regenerate", force=True, **QUICK)
    assert run.rc == 0, run.output
    assert [result["removed"] for result in run.results("Purge")] == [["session-5511888880000.0.json"]]
    for module in ("session_lock", "session_health", "session_backup", "session_purge", "session_reconnect"):
        assert f"plugins/modules/{module}.py" in run.stdout
    assert little.calls("26/start-session") == 1


@pytest.mark.parametrize("way", ["async", "environment", "interpreter"])
def test_what_a_process_cannot_do_makes_a_module(
    little: LittleBackend, quick: Ansible, tmp_path: Path, other_python: Path, way: str
) -> None:
    keywords: dict[str, Any] = {
        # The folder, because the home of the test's environment is not the one of the user's entry.
        "async": {"async": 30, "poll": 1, "vars": {"ansible_async_dir": str(tmp_path / "async")}},
        "environment": {"environment": {"A": "b"}},
        "interpreter": {"vars": {"ansible_python_interpreter": str(other_python)}},
    }[way]
    task = {"name": "list", "sessionmedic.whatsapp.session_info": {"backend": "{{ whatsapp_backend }}"}}
    play = {"name": "ways", "hosts": "whatsapp_backends", "gather_facts": False, "tasks": [task, {**task, **keywords}]}
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([play]))
    run = quick.run(str(path), "-vvv")
    assert run.rc == 0, run.output
    assert run.stdout.count("plugins/modules/session_info.py") == 1
    here, module = run.results("list")[0], run.results("list")[-1]
    assert here["sessions"] == module["sessions"]


def test_a_token_in_a_vault_reaches_the_backend_and_no_screen(tmp_path: Path) -> None:
    token, password = "MARKED-vaulted-token", tmp_path / "vault-password"
    password.write_text("open sesame")
    vault = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-vault"), "encrypt_string", "--vault-password-file", str(password)]
        + ["--name", "token", "--stdin-name", "token"],
        input=token,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    seen: list[str] = []

    def answer(method: str, path: str, headers: Any) -> tuple[int, Any]:
        seen.append(str(headers.get("Authorization")))
        return 200, [{"id": 26, "status": "CONNECTED"}]

    with ScriptedBackend(answer) as server:
        indented = "\n".join(" " * 12 + line for line in vault.splitlines())
        inventory = tmp_path / "hosts.yml"
        inventory.write_text(
            f"""
whatsapp_backends:
  hosts:
    shop:
      ansible_connection: local
      ansible_python_interpreter: {sys.executable}
      whatsapp_backend:
        url: {server.url}
        auth:
            type: bearer
{indented}
"""
        )
        run = Ansible(tmp_path, None, {}).run(
            "check_sessions", "-vvv", "-i", str(inventory), "--vault-password-file", str(password), cwd=ROOT
        )
        assert run.rc == 0, run.output
        assert "loja" not in run.stdout
        assert set(seen) == {f"Bearer {token}"}
        assert token not in run.output
