"""A running sandbox with many sessions, and the commands of an operator."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from demo.stack import Stack, wait_until

SETTLE = ("-e", "verify_settle_seconds=4", "-e", "verify_timeout_seconds=12")


@dataclass(frozen=True)
class Run:
    """A playbook that was run by hand."""

    result: subprocess.CompletedProcess[str]

    @property
    def code(self) -> int:
        return self.result.returncode

    @property
    def text(self) -> str:
        return self.result.stdout + self.result.stderr

    def changed(self) -> int:
        """Changed tasks in the recap, all hosts together."""
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.result.stdout))

    def said(self, session: int) -> str:
        """What the run's decisions said of the session, one after the other."""
        return "\n".join(
            " ".join(text.split())
            for text in re.findall(
                rf"^ok: \[sandbox/{session} -> sandbox\] => *\n\s+msg: (.*?)(?=\n\n|\nok: |\nchanged: |\Z)",
                self.result.stdout,
                re.MULTILINE | re.DOTALL,
            )
        )

    def row(self, session: int) -> dict[str, str]:
        """The session's line of the summary table."""
        match = re.search(
            rf"^sandbox/{session} +(?P<outcome>\S+) +(?P<remedy>\S+) +(?P<seconds>\S+) +(?P<reason>.*)$",
            self.result.stdout,
            re.MULTILINE,
        )
        assert match, f"no summary of session {session} in:\n{self.text[-3000:]}"
        return match.groupdict()


class Ward:
    """A running sandbox and the commands of an operator."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sandbox = stack.sandbox

    def fix(self, *arguments: str, timeout: float = 240.0) -> Run:
        return Run(self.stack.playbook("fix_session", *SETTLE, *arguments, timeout=timeout))

    def run(self, playbook: str, *arguments: str) -> Run:
        return Run(self.stack.playbook(playbook, *arguments))

    def break_session(self, session: int, fault: str, failures: int = 6, **options: Any) -> float:
        """Cause a fault and wait until ``failures`` messages failed by it; epoch seconds of the fault."""
        at = self.sandbox.break_session(session, fault, **options)
        assert wait_until(lambda: self.sandbox.messages(session, at)["failed"] >= failures, 30), (
            f"{fault} broke nothing"
        )
        return at

    def state(self, session: int) -> str:
        return str(self.sandbox.ask(f"sessions/{session}")["state"])

    def touched(self, session: int) -> int:
        counts: dict[str, int] = self.sandbox.ask(f"sessions/{session}")["touched"]
        return sum(counts.values())

    def decrypts(self, session: int) -> bool:
        """Whether all messages that are sent from now on decrypt, and there are some."""
        since = time.time()
        assert wait_until(lambda: self.sandbox.messages(session, since)["sent"] >= 6, 20)
        found: dict[str, Any] = wait_until(
            lambda: (now := self.sandbox.messages(session, since))["decrypted"] >= 5 and now, 10
        ) or self.sandbox.messages(session, since)
        return found["decrypted"] >= 5 and found["failed"] == 0

    def files(self, session: int) -> dict[str, bytes]:
        folder = self.sandbox.session_path / str(session)
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
