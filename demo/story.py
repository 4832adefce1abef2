"""The main job, told as it happens; each stage is seen in the part that does it, never assumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.services import Service

from .screen import Screen
from .stack import Stack

ALERT = "WhatsAppSessionCorrupted"
# The control shows that the session does not mend itself: it stays broken for this many times the repair's time.
CONTROL_FACTOR = 3


class StageFailed(Exception):
    """A stage did not happen in time.

    :ivar stage: its name.
    :ivar service: the part that should have done it; its log tells why.
    """

    def __init__(self, stage: str, why: str, service: Service) -> None:
        super().__init__(f"{stage}: {why}")
        self.stage = stage
        self.service = service


@dataclass
class Report:
    """``build/demo/report.json``; times are seconds since the fault."""

    outcome: str = "failed"
    session: str = ""
    fault: str = ""
    detected: float | None = None
    alert_firing: float | None = None
    accepted: float | None = None
    remedied: float | None = None
    verified: float | None = None
    resolved: float | None = None
    remedy: str = ""
    messages_failed: int = 0
    messages_ok_after: int = 0
    backup: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    other_sessions_touched: int | None = None
    control_still_failing: bool | None = None
    control_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Story:
    """Breaks ``session``, follows the repair, then shows that ``twin`` stays broken without a worker."""

    def __init__(
        self, stack: Stack, screen: Screen, session: int = 26, twin: int = 27, fault: str = "rolled_back_records"
    ) -> None:
        self.stack = stack
        self.screen = screen
        self.session = session
        self.twin = twin
        self.fault = fault
        self.report = Report(session=str(session), fault=fault)
        self._zero = 0.0

    def run(self) -> Report:
        self._save_credentials()
        self._watched()
        self._break()
        self._detect()
        self._alert()
        record = self._remediation()
        self._messages(record)
        self._resolve()
        self._others()
        self._control()
        self.report.outcome = "recovered"
        return self.report

    # -- stages -------------------------------------------------------------------------------------------------

    def _save_credentials(self) -> None:
        self.screen.say("saving the credentials of all sessions, as credential_sync does in production")
        result = self.stack.playbook("save_credentials")
        if result.returncode:
            self.screen.plain(result.stdout + result.stderr)
            raise StageFailed("save credentials", "the playbook failed", self.stack.sandbox)

    def _watched(self) -> None:
        prometheus = self.stack.prometheus
        self._wait(
            "scrape",
            "Prometheus to read exporter and webhook",
            60,
            prometheus,
            lambda: len(prometheus.query("up == 1")) >= 2,
        )
        self.screen.say("Prometheus reads exporter and webhook")

    def _break(self) -> None:
        sandbox = self.stack.sandbox
        known = {item["name"]: item for item in sandbox.ask("faults")}
        if self.fault not in known:
            raise StageFailed("fault", f"{self.fault} is not known; known: {', '.join(known)}", sandbox)
        facts = known[self.fault]
        sandbox.ask("touched/reset", {})
        self._zero = sandbox.break_session(self.session, self.fault)
        self.screen.start_clock(self._zero)
        self.screen.say(
            f"FAULT in session {self.session}: {facts['description']} (mended by: {facts['mended_by']})", self._zero
        )

    def _detect(self) -> None:
        self.report.detected = self._wait(
            "detected", "the first error in the log", 30, self.stack.exporter, self._errors_read
        )
        self.screen.say("the exporter has read the first error from the log")

    def _alert(self) -> None:
        pending = self._wait("alert pending", "an alert in Prometheus", 30, self.stack.prometheus, self._alert_states)
        self.screen.say(f"alert seen by Prometheus ({', '.join(sorted(self._alert_states()))})", self._zero + pending)
        self.report.alert_firing = self._wait(
            "alert firing",
            f"{ALERT} to fire",
            30,
            self.stack.prometheus,
            lambda: f"{ALERT} firing" in self._alert_states(),
        )
        self.screen.say(f"{ALERT} is firing")

    def _remediation(self) -> dict[str, Any]:
        self._wait("accepted", "Alertmanager and the webhook", 40, self.stack.webhook, self._record)
        record = self._record()
        assert record is not None
        self.report.accepted = record["accepted_at"] - self._zero
        self.screen.say(f"the webhook has accepted it: remediation {record['uuid']}", record["accepted_at"])
        shown = 0
        deadline = time.monotonic() + 180
        while True:
            record = self.stack.webhook.api(f"remediations/{record['uuid']}")
            for step in record["steps"][shown:]:
                self._step(step)
            shown = len(record["steps"])
            if record["finished_at"]:
                break
            if time.monotonic() > deadline:
                raise StageFailed("remedied", "the playbook has not ended", self.stack.worker)
            self.screen.waiting("the worker runs the playbook")
            time.sleep(0.1)
        if record["outcome"] != "recovered":
            raise StageFailed("verified", f"{record['outcome']}: {record['message']}", self.stack.worker)
        self.report.verified = record["finished_at"] - self._zero
        self.report.remedy = record["remedy"]
        self.report.backup = record["backup"] or ""
        self.screen.say(f"VERIFIED: {record['outcome']} by {record['remedy']}", record["finished_at"])
        return dict(record)

    def _step(self, step: dict[str, Any]) -> None:
        if step["outcome"] == "skipped":
            return
        at = step["started_at"] + step["seconds"]
        self.report.steps.append({key: step[key] for key in ("name", "seconds", "outcome")})
        if step["name"].startswith("reconnect"):
            self.report.remedied = at - self._zero
        message = f": {step['message']}" if step.get("message") else ""
        self.screen.say(f"  step {step['name']} ({step['seconds']:.2f} s) {step['outcome']}{message}", at)

    def _messages(self, record: dict[str, Any]) -> None:
        sandbox = self.stack.sandbox
        since = record["finished_at"]
        self._wait(
            "messages",
            "messages that decrypt",
            20,
            sandbox,
            lambda: sandbox.messages(self.session, since)["decrypted"] >= 5,
        )
        after = sandbox.messages(self.session, since)
        if after["failed"]:
            raise StageFailed("messages", f"{after['failed']} messages failed after the repair", sandbox)
        self.report.messages_ok_after = after["decrypted"]
        self.report.messages_failed = sandbox.messages(self.session, self._zero)["failed"]
        self.screen.say(f"messages decrypt again: {after['decrypted']} of {after['sent']} since the repair")

    def _resolve(self) -> None:
        self.report.resolved = self._wait(
            "resolved",
            "the alert to resolve",
            60,
            self.stack.prometheus,
            lambda: f"{ALERT} firing" not in self._alert_states(),
        )
        self.screen.say("the alert is resolved")

    def _others(self) -> None:
        others = [session for session in self.stack.sessions if session != self.session]
        touched = sum(self.touched(session) for session in others)
        self.report.other_sessions_touched = touched
        if touched:
            raise StageFailed("other sessions", f"{touched} touches of other sessions", self.stack.sandbox)
        self.screen.say(f"other sessions touched: {touched} (sessions {', '.join(map(str, others))})")

    def touched(self, session: int) -> int:
        """How often anything of ``session`` was touched since the fault, as the sandbox counts it."""
        counts: dict[str, int] = self.stack.sandbox.ask(f"sessions/{session}")["touched"]
        return sum(counts.values())

    def _control(self) -> None:
        assert self.report.verified is not None
        seconds = CONTROL_FACTOR * self.report.verified
        sandbox = self.stack.sandbox
        self.stack.worker.stop()
        self.stack.running.remove(self.stack.worker)
        began = sandbox.break_session(self.twin, self.fault)
        self.screen.say(f"CONTROL: the same fault in session {self.twin}, without a worker, for {seconds:.0f} s")
        while time.time() - began < seconds:
            left = seconds - (time.time() - began)
            self.screen.waiting(f"session {self.twin} is left alone for another {left:.0f} s")
            time.sleep(0.2)
        # Messages of the last third: whatever mends itself would have done so by then.
        late = sandbox.messages(self.twin, began + seconds * 2 / 3)
        self.report.control_seconds = time.time() - began
        self.report.control_still_failing = late["failed"] > 0 and late["decrypted"] == 0
        if not self.report.control_still_failing:
            raise StageFailed("control", f"session {self.twin} has mended itself: {late}", sandbox)
        self.screen.say(f"session {self.twin} is still broken: {late['failed']} messages failed, none decrypted")

    # -- looking ------------------------------------------------------------------------------------------------

    def _wait(self, stage: str, for_what: str, seconds: float, service: Service, check: Callable[[], Any]) -> float:
        """Seconds since the fault at which ``check`` came true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if check():
                    return time.time() - self._zero
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StageFailed(stage, str(error), service) from error
            if time.monotonic() > deadline:
                raise StageFailed(stage, f"not within {seconds:.0f} s", service)
            self.screen.waiting(f"waiting for {for_what}")
            time.sleep(0.05)

    def _errors_read(self) -> bool:
        status, body = self.stack.exporter.request("GET", "/metrics")
        if status != 200:
            return False
        for family in text_string_to_metric_families(body.decode()):
            if family.name == "whatsapp_session_errors":
                return any(item.value and item.labels.get("session") == str(self.session) for item in family.samples)
        return False

    def _alert_states(self) -> set[str]:
        return {
            f"{alert['labels']['alertname']} {alert['state']}"
            for alert in self.stack.prometheus.alerts()
            if alert["labels"].get("session") == str(self.session)
        }

    def _record(self) -> dict[str, Any] | None:
        records = self.stack.webhook.api("remediations")
        items = records["remediations"] if isinstance(records, dict) else records
        return next((item for item in items if item["session"] == str(self.session)), None)
