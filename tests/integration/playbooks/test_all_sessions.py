"""id=all means the unhealthy ones; several sessions are repaired side by side, and each fails alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible_site import BACKEND, FAST, Site, broken, reads_again, row, untouched
from tests.playbooks import Ansible


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A sandbox of four sessions."""
    running = Site(tmp_path_factory.mktemp("small"), [2, 36, 37, 38])
    yield running.start()
    running.stop()


@pytest.fixture
def ansible(small: Site, tmp_path: Path) -> Ansible:
    return small.ansible(tmp_path)


def test_all_means_the_unhealthy_ones_and_each_fails_alone(small: Site, ansible: Ansible) -> None:
    broken(small, 36, "stale_memory")
    broken(small, 37, "stale_memory")
    with small.client() as client:
        client.set(f"sessionmedic:lock:{BACKEND}:37", "1:somebody", px=120_000)
    try:
        run = ansible.run("fix_session", id=[36, 37, 38], **FAST)
    finally:
        with small.client() as client:
            client.delete(f"sessionmedic:lock:{BACKEND}:37")
    assert run.rc == 2
    assert row(run, 36)[:2] == ["recovered", "restart"]
    assert row(run, 37)[0] == "refused"
    assert row(run, 38)[:2] == ["left", "alone"]
    assert "being repaired by somebody" in run.output
    assert "1 of 3 sessions not repaired" in run.output
    reads_again(small, 36)

    small.sandbox.control_post("/touched/reset")
    everything = ansible.run("fix_session", id="all", **FAST)
    assert row(everything, 37)[:2] == ["recovered", "restart"]
    assert f"{BACKEND}/36 " not in everything.stdout
    assert f"{BACKEND}/2 " not in everything.stdout
    assert untouched(small, 2)


def test_all_the_healthy_ones_too_needs_a_confirmation(small: Site, ansible: Ansible) -> None:
    small.sandbox.control_post("/touched/reset")
    run = ansible.run("fix_session", id="all", force=True)
    assert run.rc == 2
    assert "was not confirmed. Add -e confirm=true." in run.output
    assert untouched(small, 2)
    prompted = ansible.run("fix_session", stdin="yes\n", id="all", force=True)
    assert prompted.rc == 2, "no terminal, so nobody who could have typed it"
    dry = ansible.run("fix_session", "--check", id="all", force=True, strategy="restart", confirm=True)
    assert dry.rc == 0, dry.output
    assert row(dry, 2)[:2] == ["dry_run", "restart"]
