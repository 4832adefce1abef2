"""Everything that is not of one session: backends, log files and the exporter itself, by prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sessionmedic._version import __version__
from sessionmedic.crypto_errors import KINDS

from ..sources.backend_logs import BackendLogs
from ..sources.follower import SourceStatus
from ..store import BackendStore

METHODS = ("explicit", "message_id", "source", "none")
# A check gives up after 10 s, the adapter's repeats included somewhat later.
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class SelfMetrics:
    """The registry, and the metrics that code counts into."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        info = Gauge("session_exporter_build_info", "Version of the exporter.", ("version",), registry=self.registry)
        info.labels(__version__).set(1)
        self._durations = Histogram(
            "whatsapp_health_check_duration_seconds",
            "How long the bulk check of a backend's sessions took, repeats included.",
            ("backend",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._checks = Counter(
            "session_exporter_checks_total",
            "Checks of a backend by tier and outcome.",
            ("backend", "tier", "outcome"),
            registry=self.registry,
        )
        self.state_saved = Gauge(
            "session_exporter_state_saved_timestamp_seconds",
            "When positions and counters were last written to disk.",
            registry=self.registry,
        )
        self.state_failures = Counter(
            "session_exporter_state_save_failures_total",
            "How often the state could not be written.",
            registry=self.registry,
        )
        self.scrapes = Counter("session_exporter_scrapes_total", "Answers to /metrics.", registry=self.registry)
        self.render_seconds = Gauge(
            "session_exporter_render_duration_seconds",
            "How long the last answer to /metrics took to make.",
            registry=self.registry,
        )

        self.log_failures = Counter(
            "session_exporter_log_failures_total",
            "How often reading a backend's logs failed unexpectedly; see the exporter's log.",
            ("backend",),
            registry=self.registry,
        )

    def known_backend(self, backend: str) -> None:
        """Start its series at zero."""
        self._durations.labels(backend)
        self.log_failures.labels(backend)
        for outcome in ("ok", "failed"):
            self._checks.labels(backend, "connection", outcome)

    def checked(self, backend: str, tier: str, seconds: float, ok: bool) -> None:
        """A check ended."""
        self._checks.labels(backend, tier, "ok" if ok else "failed").inc()
        if tier == "connection":
            self._durations.labels(backend).observe(seconds)

    def watch_marks(self, readable: Callable[[], bool]) -> None:
        """Show whether marks of verified repairs can be read."""
        gauge = Gauge(
            "session_exporter_verified_marks_readable",
            "Whether marks of verified repairs can be read from Redis.",
            registry=self.registry,
        )
        gauge.set_function(lambda: float(readable()))

    def text(self, openmetrics: bool) -> bytes:
        encode, _ = choose_encoder("application/openmetrics-text" if openmetrics else "text/plain")
        return bytes(encode(self.registry))


class BackendCollector(Collector):
    """One value a backend::

    whatsapp_backend_up{backend="b1"} 1
    whatsapp_unattributed_errors_total{backend="b1",kind="bad_mac"} 0
    """

    def __init__(self, stores: Sequence[BackendStore]) -> None:
        self._stores = stores

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("whatsapp_backend_up", "Whether the backend can be read.", labels=["backend"])
        started = GaugeMetricFamily(
            "whatsapp_backend_start_time_seconds", "When the backend's process started.", labels=["backend"]
        )
        memory = GaugeMetricFamily(
            "whatsapp_backend_memory_bytes",
            "Memory of the backend's process (rss) and of all processes below it (children).",
            labels=["backend", "kind"],
        )
        unattributed = CounterMetricFamily(
            "whatsapp_unattributed_errors",
            "Messages that could not be decrypted in a session that no log names.",
            labels=["backend", "kind"],
        )
        attributions = CounterMetricFamily(
            "whatsapp_attributions",
            "Errors by how their session was found; none: it was not.",
            labels=["backend", "method"],
        )
        sessions = GaugeMetricFamily("session_exporter_sessions", "Sessions with series.", labels=["backend"])
        for store in self._stores:
            with store.lock:
                name = [store.name]
                if store.was_asked():
                    up.add_metric(name, float(store.readable()))
                if store.started_at is not None:
                    started.add_metric(name, store.started_at)
                for kind, value in store.memory_bytes.items():
                    memory.add_metric([*name, kind], value)
                for kind in KINDS:
                    unattributed.add_metric([*name, kind], store.unattributed[kind])
                for method in METHODS:
                    attributions.add_metric([*name, method], store.attributions[method])
                sessions.add_metric(name, len(store.sessions))
        yield from (up, started, memory, unattributed, attributions, sessions)


class LogCollector(Collector):
    """One value a log file::

    session_exporter_log_readable{backend="b1",path="/var/log/b1.log"} 1
    """

    def __init__(self, logs: Sequence[BackendLogs]) -> None:
        self._logs = logs

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        names = ["backend", "path"]
        readable = GaugeMetricFamily("session_exporter_log_readable", "Whether the file can be read.", labels=names)
        read = CounterMetricFamily("session_exporter_log_read_bytes", "Bytes read of the file.", labels=names)
        last = GaugeMetricFamily(
            "session_exporter_log_last_read_timestamp_seconds",
            "When the file last had something new; absent before that.",
            labels=names,
        )
        rotations = CounterMetricFamily(
            "session_exporter_log_rotations",
            "Rotations: renamed, copied (and truncated), truncated, or lost (the rest of the old file is gone).",
            labels=[*names, "how"],
        )
        for logs in self._logs:
            for follower in logs.followers:
                own = [logs.name, follower.path]
                readable.add_metric(own, float(follower.status is SourceStatus.READING))
                read.add_metric(own, follower.bytes_read)
                if follower.last_read_at is not None:
                    last.add_metric(own, follower.last_read_at)
                for how, count in follower.rotations.items():
                    rotations.add_metric([*own, how], count)
        yield from (readable, read, last, rotations)
