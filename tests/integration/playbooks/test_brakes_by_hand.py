"""Lock, pause switch and cooldown hold for repairs by hand, too."""

from __future__ import annotations

import json
from pathlib import Path

import redis

from tests.little_backend import PASSWORD, QUICK, LittleBackend, nothing_done, refused
from tests.playbooks import ROOT, Ansible
from tests.services import RedisServer, free_port


def test_without_redis_nothing_is_repaired_unless_a_local_lock_is_asked_for(
    little: LittleBackend, quick: Ansible, redis_server: RedisServer
) -> None:
    away = {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"}
    run = quick.run("fix_session", environ=away, id=26, strategy="restart", force=True, **QUICK)
    refused(run, "Redis at 127.0.0.1:", "cannot be used", "-e lock=local")
    nothing_done(little)
    local = quick.run("fix_session", environ=away, id=26, strategy="restart", force=True, lock="local", **QUICK)
    assert local.rc == 0, local.output
    assert little.calls("26/start-session") == 1
    beside = quick.run("fix_session", id=26, strategy="restart", force=True, lock="local", **QUICK)
    refused(beside, "Redis answers", "Leave lock=local away")
    assert little.calls("26/start-session") == 1


def test_the_pause_switch_holds_by_hand(little: LittleBackend, quick: Ansible, redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("sessionmedic:paused", json.dumps({"by": "ops", "at": 1.0, "reason": "maintenance"}))
        try:
            run = quick.run("fix_session", id=26, strategy="restart", force=True, **QUICK)
            refused(run, "Repairs are paused by ops (maintenance)", "ignore_pause=true")
            nothing_done(little)
            anyway = quick.run("fix_session", id=26, strategy="restart", force=True, ignore_pause=True, **QUICK)
            assert anyway.rc == 0, anyway.output
        finally:
            client.delete("sessionmedic:paused")


def test_a_pause_in_the_middle_ends_the_repair_there(
    little: LittleBackend, quick: Ansible, redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        little.on["disconnect"] = lambda session: client.set(
            "sessionmedic:paused", json.dumps({"by": "ops", "at": 1.0, "reason": ""})
        )
        try:
            run = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
        finally:
            client.delete("sessionmedic:paused")
    refused(run, "Repairs are paused by ops")
    assert little.calls("26/start-session") == 0
    assert "session-5511888880000.0.json" in little.files("26")


def test_whoever_loses_the_lock_stops(
    little: LittleBackend, quick: Ansible, redis_server: RedisServer, tmp_path: Path
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        little.on["disconnect"] = lambda session: client.set(f"sessionmedic:lock:{tmp_path.name}:26", "99:other")
        run = quick.run("fix_session", id=26, strategy="regenerate", force=True, **QUICK)
        refused(run, "is no longer ours")
        assert little.calls("26/start-session") == 0
        assert "session-5511888880000.0.json" in little.files("26")
        assert client.get(f"sessionmedic:lock:{tmp_path.name}:26") == b"99:other"


def test_a_repair_that_did_not_help_keeps_the_next_automatic_one_away(little: LittleBackend, quick: Ansible) -> None:
    little.on["start"] = lambda session: little.sessions.update({session: "DISCONNECTED"})
    little.sessions["26"] = "DISCONNECTED"
    run = quick.run("fix_session", id=26, **QUICK)
    refused(run, "26 gave_up (the session is disconnected after the start)")
    again = quick.run("fix_session", id=26, **QUICK)
    refused(again, "was repaired just now", "-e force=true")
    assert little.calls("26/start-session") == 1
    named = quick.run("fix_session", id=26, strategy="restart", **QUICK)
    assert little.calls("26/start-session") == 2, named.output
    forced = quick.run("fix_session", id=26, force=True, **QUICK)
    assert little.calls("26/start-session") == 3, forced.output


def test_a_repair_that_is_refused_leaves_no_cooldown(little: LittleBackend, quick: Ansible) -> None:
    whole = little.files("26")["creds.json"]
    (little.storage / "26" / "creds.json").write_bytes(whole[:40])
    refused(quick.run("fix_session", id=26, strategy="restart", force=True, **QUICK), "is not started")
    (little.storage / "26" / "creds.json").write_bytes(whole)
    little.sessions["26"] = "DISCONNECTED"
    run = quick.run("fix_session", id=26, **QUICK)
    assert run.rc == 0, run.output


# -- where it is run from ---------------------------------------------------------------------------------------------


def test_a_run_from_the_playbooks_folder_and_without_an_inventory(
    little: LittleBackend, redis_server: RedisServer, tmp_path: Path
) -> None:
    backend = little.backend
    alone = Ansible(
        tmp_path,
        None,
        {
            "BACKEND_URL": backend["url"],
            "BACKEND_USERNAME": backend["auth"]["username"],
            "BACKEND_PASSWORD": PASSWORD,
            "SESSION_STORAGE_PATH": backend["session_path"],
            "BACKEND_LOG_PATH": str(little.log),
            "REDIS_URL": redis_server.url,
        },
    )
    inside = alone.run("fix_session", "-vvv", cwd=ROOT / "playbooks", id=26, strategy="regenerate", force=True, **QUICK)
    assert inside.rc == 0, inside.output
    assert "default/26" in inside.recap
    assert PASSWORD not in inside.output
    assert len(list((tmp_path / ".local/state/sessionmedic/backups/default/26").iterdir())) == 1
    elsewhere = alone.run(
        "check_sessions", "-vvv", cwd=tmp_path, environ={"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections")}
    )
    assert elsewhere.rc == 0, elsewhere.output
    assert "default  26       shop-26  connected   healthy" in elsewhere.stdout
    assert "default  27       shop-27  connected   healthy" in elsewhere.stdout
    assert PASSWORD not in elsewhere.output
