"""The text that Prometheus reads: exact lines, both formats, compressed or not, and what stays as it was."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from session_exporter.exposition.families import FAMILIES, Family, escape
from session_exporter.exposition.renderer import Renderer
from session_exporter.exposition.self_metrics import BackendCollector, SelfMetrics
from session_exporter.series import Credentials, SessionSeries
from session_exporter.store import BackendStore
from sessionmedic.crypto_errors import KINDS
from sessionmedic.logs.reader import MessagesReceived
from sessionmedic.models import ConnectionState
from tests.unit.exporter.exporter_cases import NOW, Clock, error, session, store

HOSTILE = 'Loja "a"\\b\nc {} # 1 çã😀'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> SelfMetrics:
    made = SelfMetrics()
    made.known_backend("b")
    return made


def lines(made: BackendStore, start: str) -> list[str]:
    text = Renderer([made], lambda openmetrics: b"").text().decode()
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_lines_of_one_session(clock: Clock) -> None:
    made = store(clock, session(name="Loja", company="7"))
    made.count([error(), error("26", "no_session"), MessagesReceived("26", 3, NOW)])
    own = 'backend="b",session="26"'
    text = Renderer([made], lambda openmetrics: b"").text().decode()
    samples = [line for line in text.splitlines() if not line.startswith("#") and not line.endswith(" 0")]
    assert samples == [
        f'whatsapp_session_info{{{own},name="Loja",company="7"}} 1',
        f"whatsapp_session_enabled{{{own}}} 1",
        f'whatsapp_session_health{{{own},state="degraded"}} 1',
        f'whatsapp_session_connection{{{own},state="connected"}} 1',
        f"whatsapp_session_state_since_timestamp_seconds{{{own}}} 1800000000.0",
        f"whatsapp_session_last_connected_timestamp_seconds{{{own}}} 1800000000.0",
        f'whatsapp_session_errors_total{{{own},kind="bad_mac"}} 1',
        f'whatsapp_session_errors_total{{{own},kind="no_session"}} 1',
        f"whatsapp_session_recent_errors{{{own}}} 2",
        f"whatsapp_session_messages_total{{{own}}} 3",
    ]
    assert f"whatsapp_session_reconnects_total{{{own}}} 0" in text


def test_counters_of_a_session_without_errors_start_at_zero_for_every_kind(clock: Clock) -> None:
    assert lines(store(clock, session()), "whatsapp_session_errors_total") == [
        f'whatsapp_session_errors_total{{backend="b",session="26",kind="{kind}"}} 0' for kind in KINDS
    ]


@pytest.mark.parametrize("family", ["whatsapp_session_health", "whatsapp_session_connection"])
@pytest.mark.parametrize("state", list(ConnectionState))
def test_exactly_one_state_of_a_state_set_is_one(clock: Clock, family: str, state: ConnectionState) -> None:
    values = [line[-2:] for line in lines(store(clock, session(state=state)), family + "{")]
    assert Counter(values) == {" 1": 1, " 0": len(values) - 1}


def test_of_a_backend_that_cannot_be_read_only_unknown_is_shown(clock: Clock) -> None:
    made = store(clock, session())
    made.count([error()])
    made.poll_failed("away")
    text = Renderer([made], lambda openmetrics: b"").text().decode()
    assert [line for line in text.splitlines() if line.endswith(" 1")] == [
        'whatsapp_session_health{backend="b",session="26",state="unknown"} 1',
        'whatsapp_session_connection{backend="b",session="26",state="unknown"} 1',
    ]
    names = {line.split("{")[0] for line in text.splitlines() if not line.startswith("#")}
    assert names == {"whatsapp_session_health", "whatsapp_session_connection"}


def test_of_a_session_that_only_a_log_names_errors_are_shown(clock: Clock) -> None:
    made = store(clock, session("2"))
    made.count([error("26")])
    text = Renderer([made], lambda openmetrics: b"").text().decode()
    shown = {line.split("{")[0] for line in text.splitlines() if 'session="26"' in line and not line.endswith(" 0")}
    assert shown == {
        "whatsapp_session_health",
        "whatsapp_session_connection",
        "whatsapp_session_errors_total",
        "whatsapp_session_recent_errors",
    }
    assert 'whatsapp_session_health{backend="b",session="26",state="not_found"} 1' in text


def test_escaping() -> None:
    assert escape('a"b\\c\nd') == r"a\"b\\c\nd"


# -- as its readers see it --------------------------------------------------------------------------------------------


@pytest.fixture
def full(clock: Clock, metrics: SelfMetrics) -> Iterator[Renderer]:
    """Every family, hostile names, two backends of which one is down."""
    made = store(clock, session(name=HOSTILE, company=HOSTILE), session("a.b@c-d_e", ConnectionState.CONNECTING))
    made.count([error(), error(None), MessagesReceived("26", 3, NOW)])
    made.sessions["26"].memory_bytes = 1
    made.found_credentials("26", Credentials(1964, True, NOW))
    made.measured({"rss": 5, "children": 6}, NOW)
    down = BackendStore("down", made.limits, clock)
    down.poll_failed("away")
    metrics.checked("b", "connection", 0.1, True)
    metrics.registry.register(BackendCollector([made, down]))
    yield Renderer([made, down], metrics.text)


def test_prometheus_clients_own_parsers_read_it(full: Renderer) -> None:
    families = {family.name: family for family in parse_text(full.text().decode())}
    assert {family.name.removesuffix("_total") for family in FAMILIES} <= families.keys()
    names = {sample.labels["name"] for sample in families["whatsapp_session_info"].samples}
    assert HOSTILE in names
    openmetrics = {family.name: family for family in parse_openmetrics(full.text(openmetrics=True).decode())}
    assert openmetrics.keys() >= {family.name.removesuffix("_total") for family in FAMILIES}
    assert [sample.value for sample in openmetrics["whatsapp_backend_up"].samples] == [1.0, 0.0]


def test_promtool_finds_nothing_wrong(full: Renderer) -> None:
    checked = subprocess.run(["promtool", "check", "metrics"], input=full.text(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_no_metric_is_given_twice(full: Renderer) -> None:
    samples = [line.rsplit(" ", 1)[0] for line in full.text().decode().splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples))
    heads = [line for line in full.text().decode().splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_compressed_answer_is_one_gzip_member_of_the_same_text(full: Renderer, openmetrics: bool) -> None:
    packed = full.gzip(openmetrics)
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert unpack.decompress(packed) + unpack.flush() == gzip.decompress(packed)
    assert unpack.unused_data == b""
    with_times = (b"process_cpu_seconds_total ", b"process_", b"session_exporter_")
    steady = [line for line in gzip.decompress(packed).splitlines() if not line.startswith(with_times)]
    assert steady == [line for line in full.text(openmetrics).splitlines() if not line.startswith(with_times)]


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_what_did_not_change_is_not_rendered_again(clock: Clock) -> None:
    rendered: Counter[str] = Counter()

    def counting(family: Family) -> Family:
        def counted(series: SessionSeries, readable: bool) -> str:
            rendered[family.name] += 1
            return family.lines(series, readable)

        return Family(family.name, family.type, family.help, family.aspect, counted)

    made = store(clock, *(session(str(number)) for number in range(1000)))
    renderer = Renderer([made], lambda openmetrics: b"", [counting(family) for family in FAMILIES])
    first = renderer.text()
    assert set(rendered.values()) == {1000}
    rendered.clear()
    assert renderer.text() == first
    assert not rendered
    made.count([error("26")])
    assert renderer.text() != first
    assert set(rendered) == {
        "whatsapp_session_errors_total",
        "whatsapp_session_health",
        "whatsapp_session_recent_errors",
    }
    assert max(rendered.values()) < 100


def test_a_session_that_is_forgotten_leaves_no_line(clock: Clock) -> None:
    made = store(clock, session("2"), session("26"))
    renderer = Renderer([made], lambda openmetrics: b"")
    assert b'session="26"' in renderer.text()
    made.poll_succeeded([session("2")])
    clock.now += 601
    made.poll_succeeded([session("2")])
    assert b'session="26"' not in renderer.text()


def test_self_metrics_of_a_known_backend_start_at_zero(metrics: SelfMetrics) -> None:
    text = metrics.text(openmetrics=False).decode()
    assert 'whatsapp_health_check_duration_seconds_count{backend="b"} 0.0' in text
    assert 'session_exporter_checks_total{backend="b",outcome="failed",tier="connection"} 0.0' in text
