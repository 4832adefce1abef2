"""The backend's process is found by its port, measured, and left alone when it is not to be seen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from session_exporter import memory
from session_exporter.memory import MemoryWatch, listeners, measure
from tests.unit.exporter.exporter_cases import Clock, store

SERVER = """
import socket, subprocess, sys, time
server = socket.create_server((sys.argv[1], 0))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


def started(address: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, address], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def ended(process: subprocess.Popen[str]) -> None:
    for child in psutil.Process(process.pid).children():
        child.kill()
    process.kill()
    process.communicate()


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    process, port = started(request.param)
    yield process.pid, port
    ended(process)


def test_memory_of_the_process_that_listens_and_of_its_children(server: tuple[int, int]) -> None:
    pid, port = server
    found = measure(f"http://localhost:{port}/path", listeners())
    resident = psutil.Process(pid).memory_info().rss
    assert abs(found.bytes["rss"] - resident) < resident / 4
    assert found.bytes["children"] > 1_000_000
    assert found.started_at is not None and abs(found.started_at - time.time()) < 60


def test_a_port_that_nobody_listens_on_is_unknown() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert measure(f"http://127.0.0.1:{port}", listeners()) == memory.ProcessMemory()


def test_the_same_port_of_another_machine_is_unknown(server: tuple[int, int]) -> None:
    assert measure(f"http://192.0.2.1:{server[1]}", listeners()).bytes == {}


def test_a_name_that_does_not_resolve_is_unknown() -> None:
    assert measure("http://no-such-host.invalid:80", listeners()).bytes == {}


def test_a_forwarder_is_not_the_backend(server: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FORWARDERS", {psutil.Process(server[0]).name()})
    assert measure(f"http://127.0.0.1:{server[1]}", listeners()).bytes == {}


def test_a_process_that_just_ended_is_unknown() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert measure("http://127.0.0.1:80", {("127.0.0.1", 80): process.pid}).bytes == {}


def test_the_watch_measures_its_backends_and_forgets_what_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        made = store(Clock())
        watch = MemoryWatch(300.0, [(made, f"http://127.0.0.1:{own.getsockname()[1]}")])
        watch.look()
        assert made.memory_bytes["rss"] > 1_000_000
        assert made.started_at == psutil.Process(os.getpid()).create_time()
    watch.look()
    assert (made.memory_bytes, made.started_at) == ({}, None)


def test_the_watch_ends_when_told() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=MemoryWatch(300.0, []).run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
