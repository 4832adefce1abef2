"""What modules and playbooks say at the end."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sessionmedic.whatsapp.plugins.lookup.environment_backend import environment_backend
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._health import plan_in_words
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import outcome
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.config import BackendConfig
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import LockLost
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.ladder import Rung
from ansible_collections.sessionmedic.whatsapp.plugins.plugin_utils.summary import row_of, table, verdict


def fails(error: Exception) -> Any:
    def run(params: object, check_mode: bool) -> dict[str, Any]:
        raise error

    return run


def test_an_error_of_ours_is_a_sentence_with_the_next_step() -> None:
    assert outcome(fails(LockLost("The lock is gone.", "Run again.")), {}, False, False) == {
        "failed": True,
        "changed": False,
        "msg": "The lock is gone. Run again.",
        "error": "LockLost",
    }


def test_a_defect_says_where_it_is_and_nothing_of_the_values() -> None:
    result = outcome(fails(KeyError("a password")), {}, False, False)
    assert result["failed"] is True
    assert result["error"] == "KeyError"
    assert "test_results.py:" in result["msg"]
    assert "password" not in result["msg"]


@pytest.mark.parametrize("diff_mode", [False, True])
def test_a_diff_is_shown_in_diff_mode_only(diff_mode: bool) -> None:
    result = outcome(lambda params, check_mode: {"changed": True, "diff": {"before": "a"}}, {}, False, diff_mode)
    assert ("diff" in result) is diff_mode


def test_a_plan_in_words() -> None:
    rungs = [Rung("restart"), Rung("regenerate", ("1.0", "2.0")), Rung("regenerate", ("1.0",)), Rung("regenerate")]
    assert plan_in_words(rungs) == "restart, regenerate (2 peers), regenerate (1 peer), regenerate"


REPAIRED = {
    "fix_lock": {"lock": "1:me", "at": 100.0},
    "fix_unlock": {"at": 124.06},
    "fix_health": {"healthy": False, "reason": "5 crypto errors in 300 s"},
    "fix_outcome": "recovered",
    "fix_remedy": "regenerate",
    "fix_reason": "connected, no new errors",
    "fix_tried": ["restart: did not help", "regenerate: connected, no new errors"],
}
HEALTHY = {
    "fix_lock": {"lock": "1:me", "at": 100.0},
    "fix_unlock": {"at": 101.0},
    "fix_health": {"healthy": True, "reason": "connected, no recent errors"},
}


def test_a_repaired_session() -> None:
    row = row_of("sandbox/26", REPAIRED)
    assert (row["outcome"], row["remedy"], row["seconds"]) == ("recovered", "regenerate", 24.1)
    assert verdict([row], []) == ""


def test_a_healthy_session_is_left_alone() -> None:
    row = row_of("sandbox/27", HEALTHY)
    assert (row["outcome"], row["remedy"], row["reason"]) == ("left alone", "-", "connected, no recent errors")
    assert verdict([row], []) == ""


def test_a_session_of_which_nothing_is_known_has_failed() -> None:
    row = row_of("sandbox/28", {})
    assert row["outcome"] == "failed"
    assert "sandbox/28 failed (its host could not be reached)" in verdict([row], [])


def test_a_remedy_that_ends_in_a_qr_code_as_asked_is_no_failure() -> None:
    facts = {**REPAIRED, "fix_outcome": "gave_up", "fix_remedy": "recreate"}
    assert "1 of 1" in verdict([row_of("sandbox/26", facts)], [])
    assert verdict([row_of("sandbox/26", {**facts, "fix_waits_for_person": True})], []) == ""


def test_the_verdict_counts_and_names_who_failed() -> None:
    rows = [row_of("sandbox/26", REPAIRED), row_of("sandbox/27", {**REPAIRED, "fix_outcome": "gave_up"})]
    assert verdict(rows, ["Backend north: it is away."]) == (
        "1 of 2 sessions not repaired: sandbox/27 gave_up (connected, no new errors). Backend north: it is away."
    )


def test_a_table_is_aligned() -> None:
    rows = [row_of("sandbox/26", REPAIRED), row_of("b/2", HEALTHY)]
    assert table(rows, ("session", "outcome", "seconds", "reason")) == [
        "session     outcome     seconds  reason",
        "sandbox/26  recovered   24.1     connected, no new errors",
        "b/2         left alone  1.0      connected, no recent errors",
    ]


def test_the_backend_of_an_empty_environment() -> None:
    assert environment_backend({"HOME": "/home/me"}) == {
        "url": "http://localhost:8080",
        "backup_path": "/home/me/.local/state/sessionmedic/backups",
    }


def test_the_backend_of_a_full_environment() -> None:
    backend = environment_backend(
        {
            "BACKEND_URL": "http://10.0.0.1:8080",
            "BACKEND_USERNAME": "admin@example.com",
            "BACKEND_PASSWORD": "word",
            "SESSION_STORAGE_PATH": "/srv/sessions",
            "BACKUP_PATH": "/srv/backups",
            "CACHE_PATH": "/srv/cache",
            "DATABASE_URL": "postgresql://db/app",
            "BACKEND_LOG_PATH": "/srv/out.log:/srv/err.log",
        }
    )
    config = BackendConfig.from_mapping("default", backend)
    assert (config.url, config.auth.username, config.auth.password) == (
        "http://10.0.0.1:8080",
        "admin@example.com",
        "word",
    )
    assert (config.session_path, config.backup_path, config.cache_path) == (
        "/srv/sessions",
        "/srv/backups",
        "/srv/cache",
    )
    assert [source.path for source in config.log_sources] == ["/srv/out.log", "/srv/err.log"]
    assert config.database_url == "postgresql://db/app"
    assert environment_backend({"BACKEND_TOKEN": "t", "BACKEND_USERNAME": "u"})["auth"] == {
        "type": "bearer",
        "token": "t",
    }
