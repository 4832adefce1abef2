"""The metrics of one session, as text.

A family turns one session into its lines, or into nothing where the value is not known::

    whatsapp_session_health{backend="b1",session="26",state="corrupted"} 1
    whatsapp_session_errors_total{backend="b1",session="26",kind="bad_mac"} 5
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sessionmedic.crypto_errors import KINDS
from sessionmedic.models import ConnectionState, HealthState

from ..series import SessionSeries
from ..store import Aspect

# Stands for a session's labels in text that is made once; no label value holds it, because values are escaped.
_LABELS = "\0"


@dataclass(frozen=True)
class Family:
    """One metric.

    :param lines: the lines of a session, given whether its backend can be read; each line ends with a newline.
    """

    name: str
    type: str
    help: str
    aspect: Aspect
    lines: Callable[[SessionSeries, bool], str]

    def header(self, openmetrics: bool) -> str:
        """HELP and TYPE lines; OpenMetrics names a counter without its suffix."""
        name = self.name.removesuffix("_total") if openmetrics and self.type == "counter" else self.name
        return f"# HELP {name} {self.help}\n# TYPE {name} {self.type}\n"


def escape(value: str) -> str:
    """A label value as the text format wants it."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def labels(backend: str, session: str) -> str:
    return f'backend="{escape(backend)}",session="{escape(session)}"'


def number(value: float) -> str:
    """A sample's value; times keep their milliseconds."""
    return str(value) if isinstance(value, int) else repr(round(value, 3))


def _state_set(name: str, states: tuple[str, ...]) -> dict[str, str]:
    """For each state the lines of a whole state set in which it is the one that holds."""
    return {
        held: "".join(f'{name}{{{_LABELS},state="{state}"}} {int(state == held)}\n' for state in states)
        for held in states
    }


_HEALTH = _state_set("whatsapp_session_health", tuple(state.value for state in HealthState))
_CONNECTION = _state_set("whatsapp_session_connection", tuple(state.value for state in ConnectionState))
_NO_ERRORS = "".join(f'whatsapp_session_errors_total{{{_LABELS},kind="{kind}"}} 0\n' for kind in KINDS)


def _health(series: SessionSeries, readable: bool) -> str:
    state = series.health.value if readable and series.health is not None else "unknown"
    return _HEALTH[state].replace(_LABELS, series.labels)


def _connection(series: SessionSeries, readable: bool) -> str:
    return _CONNECTION[series.state.value if readable else "unknown"].replace(_LABELS, series.labels)


def _errors(series: SessionSeries, readable: bool) -> str:
    if not readable:
        return ""
    if not any(series.errors):
        return _NO_ERRORS.replace(_LABELS, series.labels)
    return "".join(
        f'whatsapp_session_errors_total{{{series.labels},kind="{kind}"}} {count}\n'
        for kind, count in zip(KINDS, series.errors, strict=True)
    )


def _info(series: SessionSeries, readable: bool) -> str:
    if not readable or series.listed is None:
        return ""
    name, company = escape(series.listed.name), escape(series.listed.company)
    return f'whatsapp_session_info{{{series.labels},name="{name}",company="{company}"}} 1\n'


def _gauge(name: str, value: Callable[[SessionSeries], float | None]) -> Callable[[SessionSeries, bool], str]:
    def lines(series: SessionSeries, readable: bool) -> str:
        shown = value(series) if readable else None
        return "" if shown is None else f"{name}{{{series.labels}}} {number(shown)}\n"

    return lines


def _family(name: str, kind: str, text: str, aspect: Aspect, value: Callable[[SessionSeries], float | None]) -> Family:
    return Family(name, kind, text, aspect, _gauge(name, value))


FAMILIES: tuple[Family, ...] = (
    Family(
        "whatsapp_session_info",
        "gauge",
        "Name and company of a session, as its backend says them.",
        Aspect.IDENTITY,
        _info,
    ),
    _family(
        "whatsapp_session_enabled",
        "gauge",
        "Whether the session should be connected (1) or was switched off by its owner (0).",
        Aspect.IDENTITY,
        lambda series: None if series.listed is None else int(series.listed.enabled),
    ),
    Family(
        "whatsapp_session_health",
        "gauge",
        "Health of a session; exactly one state is 1. unknown: the backend cannot be read.",
        Aspect.HEALTH | Aspect.STATE,
        _health,
    ),
    Family(
        "whatsapp_session_connection",
        "gauge",
        "State of the connection as the backend says it; exactly one state is 1.",
        Aspect.STATE,
        _connection,
    ),
    _family(
        "whatsapp_session_state_since_timestamp_seconds",
        "gauge",
        "When the session entered its group of states (connected, on its way, waiting for a person, terminal, down).",
        Aspect.STATE,
        lambda series: None if series.spell is None or series.listed is None else series.spell.since,
    ),
    _family(
        "whatsapp_session_last_connected_timestamp_seconds",
        "gauge",
        "When the session was last seen connected.",
        Aspect.CONNECTED_AT,
        lambda series: series.connected_at or None,
    ),
    _family(
        "whatsapp_session_reconnects_total",
        "counter",
        "How often the session was seen connected after it was not.",
        Aspect.STATE,
        lambda series: series.reconnects,
    ),
    Family(
        "whatsapp_session_errors_total",
        "counter",
        "Messages that could not be decrypted, by kind of error, benign ones left out; one message counts once.",
        Aspect.ERRORS,
        _errors,
    ),
    _family(
        "whatsapp_session_recent_errors",
        "gauge",
        "Errors in the window, which starts anew with each verified repair; counts up to 1000.",
        Aspect.HEALTH,
        lambda series: series.recent,
    ),
    _family(
        "whatsapp_session_messages_total",
        "counter",
        "Messages decrypted, where a log says so.",
        Aspect.MESSAGES,
        lambda series: series.messages,
    ),
    _family(
        "whatsapp_session_memory_bytes",
        "gauge",
        "Memory of the session's own process; absent where sessions share one.",
        Aspect.MEMORY,
        lambda series: series.memory_bytes,
    ),
    _family(
        "whatsapp_session_credentials_bytes",
        "gauge",
        "Size of the session's credentials where its backend keeps them; 0: there are none.",
        Aspect.CREDENTIALS,
        lambda series: None if series.credentials is None else series.credentials.bytes,
    ),
    _family(
        "whatsapp_session_credentials_valid",
        "gauge",
        "Whether the session's credentials are complete and paired.",
        Aspect.CREDENTIALS,
        lambda series: None if series.credentials is None else int(series.credentials.valid),
    ),
    _family(
        "whatsapp_session_credentials_saved_timestamp_seconds",
        "gauge",
        "When the file with the session's credentials was last written.",
        Aspect.CREDENTIALS,
        lambda series: None if series.credentials is None else series.credentials.saved_at,
    ),
)
