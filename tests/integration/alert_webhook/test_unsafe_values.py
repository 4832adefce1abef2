"""The last line of defence: values that got past the checks of names are still not evaluated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.alert_webhook.stand import Stand

_RUN = """
import json, os, sys
from alert_webhook import config, playbook_run
from sessionmedic.remediations import Remediation
settings = config.load(sys.argv[1])
playbook_run.warm_up(settings)
out = os.fdopen(os.dup(1), "w")
ran = playbook_run.run(settings, Remediation("shop", os.environ["HOSTILE"], "show", "webhook:x", 0.0))
print(json.dumps(vars(ran)), file=out)
"""
_SHOW = [
    {
        "name": "Show",
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {"name": "Use it", "ansible.builtin.copy": {"content": "{{ id }}", "dest": "{{ steering }}/shown"}},
            {"name": "Use a fixed one", "ansible.builtin.copy": {"content": "{{ sum }}", "dest": "{{ steering }}/sum"}},
        ],
    }
]


def test_a_template_in_an_alert_is_text_for_ansible(stand: Stand, tmp_path: Path) -> None:
    pwned = tmp_path / "pwned"
    hostile = "{{ lookup('ansible.builtin.pipe', 'touch PWNED') }}".replace("PWNED", str(pwned))
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    (playbooks / "show.yml").write_text(json.dumps(_SHOW))
    config = stand.configure(
        playbook_path=str(playbooks),
        allowed_playbooks=["show"],
        # What the operator fixes may be a template.
        variables={"steering": str(stand.steering), "sum": "{{ 20 + 6 }}"},
    )
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(config)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "HOSTILE": hostile},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout) == {"code": 0, "error": "", "timed_out": False}, done.stderr
    assert (stand.steering / "shown").read_text() == hostile
    assert (stand.steering / "sum").read_text() == "26"
    assert not pwned.exists()
