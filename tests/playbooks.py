"""Runs the playbooks as users do: ansible-playbook in a process of its own, against an inventory of the test."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
RUN_SECONDS = 240
_RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


def link_collection(root: Path = ROOT) -> None:
    """What ``make`` does: the checkout where Ansible looks for the collection."""
    link = root / ".ansible/collections/ansible_collections/sessionmedic/whatsapp"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to("../../../..")


@dataclass(frozen=True)
class Run:
    """What ansible-playbook did. ``output`` is stdout and stderr."""

    rc: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Host to counters of the play recap."""
        return {
            host: {key: int(value) for key, value in (item.split("=") for item in counters.split())}
            for host, counters in _RECAP.findall(self.stdout)
        }

    @property
    def changed(self) -> int:
        return sum(counters["changed"] for counters in self.recap.values())

    def results(self, task: str) -> list[dict[str, Any]]:
        """What -v printed for each turn of the task of that name, in order."""
        found = []
        for section in self.stdout.split("\nTASK [")[1:]:
            if not section.startswith(f"{task}]"):
                continue
            for part in section.split(" => ")[1:]:
                try:
                    found.append(json.JSONDecoder().raw_decode(part.lstrip())[0])
                except ValueError:
                    continue
        return found

    def steps(self) -> list[str]:
        """Names of the tasks in the order in which they began."""
        return re.findall(r"^TASK \[([^\]]*)\]", self.stdout, re.MULTILINE)


class Ansible:
    """ansible-playbook with an inventory and an environment.

    :param backends: name to ``whatsapp_backend``; None for no inventory of the test's own.
    """

    def __init__(self, folder: Path, backends: Mapping[str, Any] | None, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "SESSIONMEDIC_LOG_PATH": str(folder / "logs"),
            **environ,
        }
        self.inventory = folder / "inventory.json"
        if backends is not None:
            self.write_inventory(backends)

    def write_inventory(self, backends: Mapping[str, Any]) -> None:
        hosts = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "whatsapp_backend": backend,
            }
            for name, backend in backends.items()
        }
        self.inventory.write_text(json.dumps({"whatsapp_backends": {"hosts": hosts}}))

    def run(
        self,
        playbook: str,
        *arguments: str,
        cwd: Path = ROOT,
        environ: Mapping[str, str] | None = None,
        stdin: str | None = None,
        file_size_limit: int = 0,
        **variables: Any,
    ) -> Run:
        """Run ``playbooks/<playbook>.yml``, or a path; ``variables`` become JSON extra variables.

        :param file_size_limit: bytes that no file may grow beyond, as on a full disk; 0 for no limit.
        """
        link_collection()
        path = playbook if playbook.endswith(".yml") else str(ROOT / "playbooks" / f"{playbook}.yml")
        command = [str(ANSIBLE), path, *arguments]
        if self.inventory.exists():
            command += ["-i", str(self.inventory)]
        if variables:
            command += ["-e", json.dumps(variables)]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**self.environ, **(environ or {})},
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            preexec_fn=(lambda: _limit(file_size_limit)) if file_size_limit else None,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)


def _limit(size: int) -> None:
    # Writing further then fails with EFBIG, instead of ending the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
