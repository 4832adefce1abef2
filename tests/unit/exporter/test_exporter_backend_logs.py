"""The logs of one backend: counts are exact, also when the exporter is killed at any moment."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from session_exporter.sources.backend_logs import BackendLogs
from sessionmedic.config import BackendConfig, LogSource
from sessionmedic.logs.correlate import CryptoError
from sessionmedic.logs.reader import Event, MessagesReceived

NOW = 1_800_000_000.0
TURN = 0.2


class Writer:
    """A backend that writes records of every sort, and knows what they should count to."""

    def __init__(self, folder: Path, seed: int, sorts: tuple[str, ...]) -> None:
        self.sorts = sorts
        self.stdout, self.stderr = folder / "out.log", folder / "err.log"
        self.stdout.touch()
        self.stderr.touch()
        self.random = random.Random(seed)
        self.serial = 0
        self.now = NOW
        self.expected: Counter[Any] = Counter()
        self._pending: dict[Path, bytes] = {self.stdout: b"", self.stderr: b""}

    def write(self) -> None:
        """One record, all or a part of it; the part that is missing comes with the next call."""
        self.serial += 1
        session = self.random.choice(["2", "26", "27"])
        peer = f"5511{self.serial:09d}"
        kind = self.random.choice(self.sorts)
        # A record is written some time before it is read.
        stamp = {"level": 50, "time": int(self.now * 1000) - 7, "whatsappId": session}
        key = {"remoteJid": f"{peer}@s.whatsapp.net", "id": f"3EB0{self.serial:08d}"}
        stack = f"Error: x\n    at async {peer}.0 [as awaitable] (/app/session_cipher.js:171:28)"
        if kind == "pino":
            error = {"type": "PreKeyError", "message": "Invalid PreKey ID", "stack": stack}
            self._json(**stamp, key=key, err=error, msg="failed to decrypt message")
            self.expected[session, "invalid_prekey"] += 1
        elif kind == "console":
            self._console(peer)
            error = {"type": "SessionError", "message": "No matching sessions found for message", "stack": stack}
            self._json(**stamp, key=key, err=error, msg="failed to decrypt message")
            self.expected[session, "bad_mac"] += 1
        elif kind == "line":
            # Neither time nor message id: as errors nothing tells two of them apart.
            self._add(self.stdout, f"ERROR {self.serial} whatsappId={session} Bad MAC\n".encode())
            self.expected[session, "bad_mac"] += 1
        elif kind == "count":
            self._json(**stamp, received=3, msg="messages received")
            self.expected[session, "messages"] += 3
        elif kind == "foreign":
            del stamp["whatsappId"]
            error = {"type": "PreKeyError", "message": "Invalid PreKey ID", "stack": stack}
            self._json(**stamp, key=key, err=error, msg="failed to decrypt message")
            self.expected[None, "invalid_prekey"] += 1
        else:
            self._json(**stamp, msg="connected to WA")

    def _console(self, peer: str) -> None:
        self._add(
            self.stderr,
            b"Failed to decrypt message with any known session...\n"
            b"Session error:Error: Bad MAC Error: Bad MAC\n"
            b"    at Object.verifyMAC (/app/node_modules/libsignal/src/crypto.js:87:15)\n"
            b"    at async %s.0 [as awaitable] (/app/node_modules/libsignal/src/session_cipher.js:171:28)\n"
            % peer.encode(),
        )

    def _json(self, **fields: object) -> None:
        self._add(self.stdout, json.dumps(fields, separators=(",", ":")).encode() + b"\n")

    def _add(self, path: Path, data: bytes) -> None:
        data = self._pending[path] + data
        cut = self.random.choice([len(data), len(data), self.random.randrange(len(data))])
        with path.open("ab") as file:
            file.write(data[:cut])
        self._pending[path] = data[cut:]

    def finish(self) -> None:
        for path, data in self._pending.items():
            with path.open("ab") as file:
                file.write(data)
            self._pending[path] = b""

    def rotate(self) -> None:
        path = self.random.choice([self.stdout, self.stderr])
        if path.stat().st_size:
            path.rename(path.with_name(f"{path.name}.{self.serial}"))
            path.touch()


class Exporter:
    """Counts what BackendLogs gives, and keeps its last saved state as the state file does."""

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.saved = ""
        self.counts: Counter[Any] = Counter()
        self.logs = BackendLogs(config)

    def read(self, now: float) -> None:
        more = True
        while more:
            events, more = self.logs.read(now)
            self.counts.update(dict(counted(events)))

    def save(self) -> None:
        self.saved = json.dumps({"counts": list(self.counts.items()), "logs": self.logs.to_json()})

    def kill_and_restart(self) -> None:
        self.logs.close()
        saved = json.loads(self.saved)
        self.counts = Counter({tuple(key): number for key, number in saved["counts"]})
        self.logs = BackendLogs(self.config, saved["logs"])


def counted(events: Iterable[Event]) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for event in events:
        if isinstance(event, CryptoError):
            counts[event.session, event.kind] += 1
        elif isinstance(event, MessagesReceived):
            counts[event.session, "messages"] += event.number
    return counts


def config_of(writer: Writer) -> BackendConfig:
    sources = (LogSource(str(writer.stdout), "stdout"), LogSource(str(writer.stderr), "stderr"))
    return BackendConfig(name="b", log_sources=sources)


STEPS = st.lists(
    st.sampled_from(["write", "write", "write", "turn", "turn", "pause", "save", "save", "kill", "rotate"]), max_size=80
)


# A line that names neither message nor peer is joined with any console text, also live: so they are tested apart.
SORTS = {
    "two streams": ("pino", "console", "count", "foreign", "noise"),
    "lines without time": ("pino", "line", "count", "foreign", "noise"),
}


@pytest.mark.parametrize("sorts", SORTS.values(), ids=SORTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 2**32))
# A record is given out only when the next one comes: the place to read again from lies between the two.
@example(steps=["write", "write", "pause", "write"], seed=212705888)
def test_killed_at_any_moment_it_counts_every_message_once(
    tmp_path: Path, sorts: tuple[str, ...], steps: list[str], seed: int
) -> None:
    case = tmp_path / "case"
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir()
    writer = Writer(case, seed, sorts)
    exporter = Exporter(config_of(writer))
    exporter.read(writer.now)
    exporter.save()
    for step in [*steps, "save", "finish", "turn", "kill"]:
        if step == "write":
            writer.write()
        elif step == "finish":
            writer.finish()
        elif step == "turn":
            writer.now += TURN
            exporter.read(writer.now)
            # Traces of one message that are further apart than the reader waits are two, killed or not.
            writer.finish()
        elif step == "pause":
            writer.finish()
            for _ in range(10):
                writer.now += TURN
                exporter.read(writer.now)
        elif step == "save":
            exporter.save()
        elif step == "rotate":
            writer.finish()
            writer.rotate()
        else:
            exporter.kill_and_restart()
    for _ in range(15):
        exporter.read(writer.now)
        writer.now += TURN
    exporter.logs.close()
    assert exporter.counts == writer.expected
