"""What Alertmanager sends (webhook payload, version 4), and what an alert asks us to do."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sessionmedic.errors import SessionMedicError
from sessionmedic.names import check_name, shown
from sessionmedic.remediations import Alert
from sessionmedic.service_log import one_line

VERSION = "4"
MAX_BYTES = 1024 * 1024
# What repairs one session needs to know which; other playbooks may be for a whole backend.
SESSION_PLAYBOOKS = frozenset({"fix_session"})

_Label = Annotated[str, Field(max_length=4096)]
_MODEL = ConfigDict(extra="ignore", hide_input_in_errors=True)


class PayloadRefused(SessionMedicError):
    """The whole payload is unusable: HTTP 400."""


class AlertRefused(SessionMedicError):
    """One alert asks for something that we do not do; the others of its payload are not affected."""


class _Payload(BaseModel):
    model_config = _MODEL

    version: str
    alerts: list[Any]


class _Alert(BaseModel):
    model_config = _MODEL

    status: Literal["firing", "resolved"]
    labels: dict[str, _Label]
    starts_at: Annotated[AwareDatetime, Field(alias="startsAt")]
    fingerprint: Annotated[str, Field(max_length=128)] = ""


@dataclass(frozen=True)
class Demand:
    """A checked wish: run ``playbook`` for ``session`` (empty: for the whole backend)."""

    playbook: str
    backend: str
    session: str
    alert: Alert


def parse(body: bytes) -> list[Any]:
    """The alerts of a payload, each still unchecked.

    :raises PayloadRefused: it is not JSON, of another version, or has no alerts.
    """
    try:
        payload = _Payload.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise PayloadRefused("The payload is not JSON.", "Send Alertmanager's webhook payload.") from None
        key = ".".join(map(str, first["loc"])) or "the payload"
        raise PayloadRefused(
            f"The payload is not Alertmanager's: {key}: {first['msg'].lower()}.", "Send its webhook payload."
        ) from None
    if payload.version != VERSION:
        raise PayloadRefused(
            f"The payload's version {shown(payload.version)} is not known.", f"Send version {VERSION}."
        )
    if not payload.alerts:
        raise PayloadRefused("The payload has no alerts.", "Send at least one.")
    return payload.alerts


def fingerprint_of(raw: Any) -> str:
    """What to call an alert in the answer, also when the rest of it is unusable."""
    given = raw.get("fingerprint") if isinstance(raw, dict) else None
    return one_line(given, 128) if isinstance(given, str) else ""


def demand(raw: Any, allowed_playbooks: Collection[str]) -> Demand | str:
    """What an alert asks for, or why there is nothing to do (one sentence).

    :raises AlertRefused: it has the wrong shape, or asks for a playbook that is not allowed.
    :raises InvalidName: its backend or session is not a safe name.
    """
    try:
        alert = _Alert.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(_part, first["loc"])) or "alert"
        raise AlertRefused(f"The alert's {key} is unusable: {first['msg'].lower()}.") from None
    if alert.status == "resolved":
        return "It is resolved."
    wanted = alert.labels.get("remediation", "")
    if not wanted:
        return "It has no label remediation."
    if wanted not in allowed_playbooks:
        raise AlertRefused(f"The playbook {shown(wanted)} is not allowed.", "Add it to allowed_playbooks if it should.")
    session = alert.labels.get("session", "")
    if session or wanted in SESSION_PLAYBOOKS:
        session = check_name(session, "session label")
    return Demand(
        playbook=wanted,
        backend=check_name(alert.labels.get("backend", ""), "backend label"),
        session=session,
        alert=Alert(
            name=one_line(alert.labels.get("alertname", ""), 128),
            fingerprint=fingerprint_of(raw) or _fingerprint(alert.labels),
            starts_at=alert.starts_at.timestamp(),
        ),
    )


def _part(part: int | str) -> str:
    # A label's name comes from outside.
    return one_line(str(part), 64)


def _fingerprint(labels: dict[str, str]) -> str:
    """For senders that leave it out: the same labels give the same one."""
    text = "\0".join(f"{name}\0{value}" for name, value in sorted(labels.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
