"""What an operator types, on real sessions."""

from __future__ import annotations

import json

from tests.e2e.ward import Ward

SESSIONS = (2, 26, 27, 43, 44, 45)


def test_fix_26_check_then_real_then_again(ward: Ward) -> None:
    ward.break_session(26, "rolled_back_records")
    ward.sandbox.ask("touched/reset", {})

    before = ward.files(26)
    checked = ward.fix("-e", "id=26", "--check", "--diff", "-e", "strategy=regenerate")
    assert checked.code == 0, checked.text[-4000:]
    counts = ward.sandbox.ask("sessions/26")["touched"]
    assert (counts["api_calls"], counts["socket_restarts"], counts["files_removed"]) == (0, 0, 0)
    assert set(ward.files(26)) >= set(before)
    assert not (ward.stack.backups / "sandbox/26").exists()
    assert "session-" in checked.text

    run = ward.fix("-e", "id=26")
    assert run.code == 0, run.text[-4000:]
    assert run.row(26)["outcome"] == "recovered"
    assert ward.decrypts(26)
    assert ward.touched(2) == 0 and ward.touched(27) == 0

    ward.sandbox.ask("touched/reset", {})
    again = ward.fix("-e", "id=26")
    assert again.code == 0
    assert again.changed() == 0
    assert ward.touched(26) == 0


def test_a_list_of_ids_and_a_named_backend(ward: Ward) -> None:
    run = ward.fix("-e", json.dumps({"id": [43, 44]}), "-e", "backend=sandbox")
    assert run.code == 0, run.text[-3000:]
    assert run.changed() == 0
    assert "sandbox/43" in run.text and "sandbox/44" in run.text


def test_verbose_prints_the_evidence_and_the_decision(ward: Ward) -> None:
    ward.break_session(45, "stale_memory")
    run = ward.fix("-e", "id=45", "-v")
    assert run.code == 0, run.text[-4000:]
    for words in ("bad_mac", "recent_errors", "peers", "Remedies, mildest first", "crypto errors in 300 s"):
        assert words in run.text, words


def test_a_playbook_that_touches_27_is_seen(ward: Ward) -> None:
    ward.sandbox.ask("touched/reset", {})
    playbook = ward.stack.folder / "touch27.yml"
    playbook.write_text(
        json.dumps(
            [
                {
                    "hosts": "sandbox",
                    "gather_facts": False,
                    "tasks": [
                        {
                            "sessionmedic.whatsapp.session_disconnect": {
                                "backend": "{{ whatsapp_backend }}",
                                "backend_name": "sandbox",
                                "session": "27",
                            }
                        }
                    ],
                }
            ]
        )
    )
    run = ward.run(str(playbook.with_suffix("")))
    assert run.code == 0, run.text
    assert ward.touched(27) == 1
    ward.fix("-e", "id=27")
    assert ward.decrypts(27)
