#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_health
short_description: Judge the health of sessions, or verify a repair
version_added: 0.1.0
description:
  - Judges sessions by what the backend says and by the end of its logs, not by the backend alone.
  - Names the remedies that an ill session may get, mildest first.
  - With O(since) it verifies a repair, by waiting until the session has been connected and without new errors for a
    while; where messages are counted, one must decrypt.
  - A session that is ill is a result, not a failure.
author:
  - sessionmedic contributors (@sessionmedic)
extends_documentation_fragment:
  - sessionmedic.whatsapp.backend
  - sessionmedic.whatsapp.guard
  - sessionmedic.whatsapp.attributes
  - sessionmedic.whatsapp.attributes.info
attributes:
  check_mode: {}
  diff_mode: {}
  idempotent: {}
options:
  session:
    description: Id of one session; all of the backend are judged when it is not given.
    type: str
  strategy:
    description: The remedies to plan, by the evidence (V(auto)) or the one that is named.
    type: str
    choices: [auto, restart, regenerate, restore, recreate]
    default: auto
  force:
    description: Whether to plan remedies for a session that looks healthy, too.
    type: bool
    default: false
  allow_qr:
    description:
      - Whether a session may be started that will ask for a QR code.
      - If not, and its credentials are not whole, V(auto) plans only the remedy that restores them.
    type: bool
    default: false
  tried:
    description: Remedies that failed lately; V(auto) plans start above them.
    type: list
    elements: str
    default: []
  corrupted_errors:
    description: Recent errors from which a session counts as corrupted.
    type: int
    default: 5
  window_seconds:
    description: How old a recent error may be, in seconds.
    type: float
    default: 300.0
  stuck_seconds:
    description:
      - Seconds after which a session that is on its way counts as stuck; it is watched for so long.
      - One session is watched for O(backend.self_recovery_seconds) when that is longer.
    type: float
    default: 30.0
  since:
    description: Epoch seconds of a reconnect to verify. Needs O(session).
    type: float
  peers:
    description:
      - With O(since), addresses of the peers that failed before.
      - Their failures count also where no record names the session.
    type: list
    elements: str
    default: []
  settle_seconds:
    description: With O(since), seconds that the session must be calm.
    type: float
    default: 20.0
  timeout_seconds:
    description: With O(since), seconds after which the verification fails.
    type: float
    default: 60.0
"""

EXAMPLES = r"""
- name: Judge session 26
  sessionmedic.whatsapp.session_health:
    backend_name: sandbox
    session: "26"
  register: health

- name: Verify the repair
  sessionmedic.whatsapp.session_health:
    backend_name: sandbox
    session: "26"
    since: "{{ reconnect.since }}"
  register: verification
  failed_when: not verification.verified
"""

RETURN = r"""
healthy:
  description: Whether the session is healthy; with O(since), whether the repair is verified.
  returned: with O(session)
  type: bool
  sample: false
state:
  description: One of healthy, disconnected, degraded, stuck, corrupted, not_found, unknown.
  returned: with O(session), without O(since)
  type: str
  sample: corrupted
reason:
  description: One sentence why.
  returned: with O(session)
  type: str
  sample: 5 crypto errors in 300 s
should_cleanup:
  description: Whether records of the session should be cleaned.
  returned: with O(session), without O(since)
  type: bool
  sample: true
id:
  description: Id of the session; empty when the backend does not have it.
  returned: with O(session), without O(since)
  type: str
  sample: "26"
name:
  description: Name of the session.
  returned: with O(session), without O(since)
  type: str
  sample: shop-26
connection:
  description: State of the connection in our words.
  returned: with O(session), without O(since)
  type: str
  sample: connected
raw_state:
  description: State of the connection in the backend's words.
  returned: with O(session), without O(since)
  type: str
  sample: OPENED
since:
  description: Epoch seconds; older errors were not counted.
  returned: with O(session)
  type: float
  sample: 1705314345.0
errors:
  description: Kind of error to number of messages that failed.
  returned: with O(session)
  type: dict
  sample: {bad_mac: 5}
recent_errors:
  description: Sum of RV(errors).
  returned: with O(session)
  type: int
  sample: 5
peers:
  description: Signal addresses of the peers whose messages failed.
  returned: with O(session)
  type: list
  elements: str
  sample: ["5511999990000.0"]
decrypted:
  description: Messages that were decrypted, null where no log counts them.
  returned: with O(session)
  type: int
  sample: 12
logs_readable:
  description: Whether a log of the backend could be read.
  returned: with O(session)
  type: bool
  sample: true
remedies:
  description: Remedies to try, in this order; empty when the session is to be left alone.
  returned: with O(session), without O(since)
  type: list
  elements: dict
  sample: [{remedy: restart, peers: []}, {remedy: regenerate, peers: ["5511999990000.0"]}]
  contains:
    remedy:
      description: Name of the remedy.
      type: str
      sample: regenerate
    peers:
      description: Peers whose records are removed; all when empty.
      type: list
      elements: str
      sample: ["5511999990000.0"]
plan:
  description: The same in words.
  returned: with O(session), without O(since)
  type: str
  sample: restart, regenerate (1 peer), regenerate, restore
cooldown_left:
  description: Seconds for which the last repair keeps automatic ones away; 0 when none does, or Redis is away.
  returned: with O(session), without O(since)
  type: float
  sample: 0.0
credentials:
  description: Whether the stored credentials are C(complete), C(incomplete), or C(unknown) when no store is configured.
  returned: with O(session), without O(since)
  type: str
  sample: complete
verified:
  description: Whether the repair worked.
  returned: with O(since)
  type: bool
  sample: true
proven:
  description: Whether messages were seen to decrypt, and not only no errors.
  returned: with O(since)
  type: bool
  sample: true
terminal:
  description: Whether the session came to a state that no remedy may touch.
  returned: with O(since)
  type: bool
  sample: false
seconds:
  description: How long it took.
  returned: with O(since)
  type: float
  sample: 21.4
available:
  description: Whether the backend could be read.
  returned: without O(session)
  type: bool
  sample: true
msg:
  description: What is wrong with the backend, and the next step; empty when it could be read.
  returned: without O(session)
  type: str
  sample: ""
sessions:
  description: The sessions, each with the keys above from RV(healthy) to RV(remedies).
  returned: without O(session)
  type: list
  elements: dict
  sample: [{id: "26", healthy: false, state: stuck, reason: connecting for 31 s}]
"""

from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._argspec import backend_spec, guard_spec
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._health import (
    evidence_result,
    health_result,
    plan_in_words,
    rungs_result,
    survey,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._module import main
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._session import (
    Params,
    Result,
    adapter_of,
    backend_of,
    cooldown_of,
    guard,
    verified_of,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._stores import credentials_verdict
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.config import BackendConfig
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import (
    BackendAnswerError,
    BackendAuthError,
    BackendUnavailable,
    StoreError,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.examination import (
    Clock,
    Examination,
    examine,
    verify,
)
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.health import Limits
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.ladder import STRATEGIES, Rung, plan
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.models import ConnectionState
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.names import check_name

ARGUMENT_SPEC = {
    **backend_spec(),
    **guard_spec(),
    "session": {"type": "str"},
    "strategy": {"type": "str", "choices": list(STRATEGIES), "default": "auto"},
    "force": {"type": "bool", "default": False},
    "allow_qr": {"type": "bool", "default": False},
    "tried": {"type": "list", "elements": "str", "default": []},
    "corrupted_errors": {"type": "int", "default": 5},
    "window_seconds": {"type": "float", "default": 300.0},
    "stuck_seconds": {"type": "float", "default": 30.0},
    "since": {"type": "float"},
    "peers": {"type": "list", "elements": "str", "default": []},
    "settle_seconds": {"type": "float", "default": 20.0},
    "timeout_seconds": {"type": "float", "default": 60.0},
}
RULES = {"required_by": {"since": ["session"]}}


def run(params: Params, check_mode: bool) -> Result:
    config = backend_of(params)
    if params["session"] is None:
        return _judge_all(params, config)
    session = check_name(params["session"])
    guard(params, config, session, changing=False)
    if params["since"] is not None:
        return _verify(params, config, session)
    verified = verified_of(params, config).get(session, 0.0)
    with adapter_of(config) as adapter:
        examination = examine(adapter, config, session, verified, _limits(params, config.self_recovery_seconds))
    credentials = _credentials(config, session)
    rungs = _plan(params, config, examination)
    if rungs and credentials == "incomplete" and params["strategy"] == "auto" and not params["allow_qr"]:
        # Every milder remedy ends with a start, which would end in a QR code.
        rungs = [Rung("restore")]
    return {
        "changed": False,
        **health_result(examination),
        "remedies": rungs_result(rungs),
        "plan": plan_in_words(rungs),
        "credentials": credentials,
        "cooldown_left": cooldown_of(params, config, session),
    }


def _credentials(config: BackendConfig, session: str) -> str:
    try:
        verdict = credentials_verdict(config, session)
    except StoreError:
        # Health is judged without them; whatever needs the store says what is wrong with it.
        return "unknown"
    return "unknown" if verdict is None else "complete" if verdict.ok else "incomplete"


def _judge_all(params: Params, config: BackendConfig) -> Result:
    try:
        with adapter_of(config) as adapter:
            examinations = survey(adapter, config, verified_of(params, config), _limits(params), Clock())
    except (BackendUnavailable, BackendAuthError, BackendAnswerError) as error:
        return {"changed": False, "available": False, "msg": str(error), "sessions": []}
    judged = [{**health_result(one), "remedies": rungs_result(_plan(params, config, one))} for one in examinations]
    return {"changed": False, "available": True, "msg": "", "sessions": judged}


def _plan(params: Params, config: BackendConfig, examination: Examination) -> list[Rung]:
    # A session without credentials asks for a QR code; whoever says "restore" knows of better ones.
    waits = params["strategy"] == "restore" and examination.state is ConnectionState.QR_REQUIRED
    return plan(
        params["strategy"],
        examination.health.state,
        examination.state,
        examination.evidence.errors,
        examination.evidence.peers,
        params["tried"],
        params["force"] or waits,
        has_keys=bool(config.session_path or config.redis_url),
    )


def _verify(params: Params, config: BackendConfig, session: str) -> Result:
    with adapter_of(config) as adapter:
        verification = verify(
            adapter,
            config,
            session,
            params["since"],
            params["settle_seconds"],
            params["timeout_seconds"],
            peers=params["peers"],
        )
    return {
        "changed": False,
        "healthy": verification.ok,
        "verified": verification.ok,
        "proven": verification.proven,
        "terminal": verification.terminal,
        "reason": verification.reason,
        "seconds": round(verification.seconds, 3),
        **evidence_result(verification.evidence),
    }


def _limits(params: Params, own_recovery: float = 0.0) -> Limits:
    # The mildest remedy is to wait: a session on its way is watched until the backend had time to bring it up itself.
    stuck = max(params["stuck_seconds"], own_recovery)
    return Limits(params["corrupted_errors"], params["window_seconds"], stuck)


if __name__ == "__main__":
    main(run, ARGUMENT_SPEC, **RULES)
