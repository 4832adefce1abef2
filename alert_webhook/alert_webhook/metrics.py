"""What the webhook shows to Prometheus, read from Redis at each scrape: webhooks and workers come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from rq import Queue

from sessionmedic import brakes, counters
from sessionmedic.redis_client import Client
from sessionmedic.remediations import (
    BACKEND_REMEDIES,
    DURATION_BUCKETS,
    OUTCOMES,
    RECOVERY_BUCKETS,
    REMEDIES,
    SESSION_REMEDIES,
    Remediations,
)

from . import jobs, workers
from .backends import BackendNames

Labels = tuple[tuple[str, str], ...]
_Read = dict[str, dict[Labels, float]]


class RemediationCollector(Collector):
    """
    whatsapp_remediations_total{backend="sandbox",session="26",remedy="regenerate",outcome="recovered"} 1.0
    whatsapp_remediation_duration_seconds_bucket{backend="sandbox",le="30.0",remedy="regenerate"} 1.0
    whatsapp_remediations_refused_total{backend="sandbox",reason="cooldown"} 0.0
    whatsapp_remediation_workers 1.0
    alert_webhook_redis_up 1.0
    """

    def __init__(
        self,
        client: Client,
        queue: Queue,
        backends: BackendNames,
        heartbeat_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._queue = queue
        self._backends = backends
        self._heartbeat_seconds = heartbeat_seconds
        self._clock = clock
        self._records = Remediations(client)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not ask Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("alert_webhook_redis_up", "Whether Redis answers; without it nothing is accepted.")
        try:
            families = [*self._gauges(), *self._counted()]
        except RedisError:
            # Absent, not held: WhatsAppNoWorker is right about a webhook that cannot see any.
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from families

    def _gauges(self) -> Iterator[Metric]:
        now = self._clock()
        oldest = jobs.oldest_waiting(self._queue)
        alive = workers.living(self._queue, self._heartbeat_seconds, now)
        paused = brakes.paused(self._client) is not None
        for name, text, value in (
            ("whatsapp_remediations_running", "Repairs that run now.", self._records.running()),
            (
                "whatsapp_remediation_paused",
                "1 while repairs are paused.",
                int(paused),
            ),
            (
                "whatsapp_remediation_queue_age_seconds",
                "How long the oldest waiting repair has waited.",
                0.0 if oldest is None else max(0.0, now - oldest),
            ),
            ("whatsapp_remediation_workers", "Workers whose heart beats.", len(alive)),
        ):
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], value)
            yield gauge

    def _counted(self) -> Iterator[Metric]:
        read: _Read = counters.read(self._client)
        names = self._backends.all()
        yield _counter(
            "whatsapp_remediations_total",
            "Repairs that ended, and tries that ended with their worker.",
            ("backend", "session", "remedy", "outcome"),
            read,
            (
                (backend, session, remedy, outcome)
                for backend, sessions in self._records.known_sessions(names).items()
                for session, remedies in [("", BACKEND_REMEDIES), *((one, SESSION_REMEDIES) for one in sessions)]
                for remedy in remedies
                for outcome in OUTCOMES
            ),
        )
        yield _counter(
            "whatsapp_remediations_refused_total",
            "Repairs that were asked for and not done.",
            ("backend", "reason"),
            read,
            ((backend, reason) for backend in names for reason in brakes.REASONS),
        )
        for name, text in (
            ("whatsapp_manual_interventions_total", "Repairs run by hand."),
            ("whatsapp_sessions_checked_total", "Sessions whose health was judged by a playbook."),
        ):
            yield _counter(name, text, ("backend",), read, ((backend,) for backend in names))
        yield _histogram(
            "whatsapp_remediation_duration_seconds",
            "From the start of a repair to its end.",
            ("backend", "remedy"),
            DURATION_BUCKETS,
            read,
            ((backend, remedy) for backend in names for remedy in REMEDIES),
        )
        yield _histogram(
            "whatsapp_remediation_recovery_seconds",
            "From the start of the alert to the verified repair.",
            ("backend",),
            RECOVERY_BUCKETS,
            read,
            ((backend,) for backend in names),
        )


def registry(collector: RemediationCollector) -> CollectorRegistry:
    """A registry of this webhook alone."""
    own = CollectorRegistry()
    own.register(collector)
    return own


def _counter(
    name: str, text: str, labels: tuple[str, ...], read: _Read, known: Iterable[tuple[str, ...]]
) -> CounterMetricFamily:
    """Every known label set, at zero until something was counted: a first event must be seen as an increase."""
    values = dict.fromkeys(known, 0.0)
    for found, value in read.get(name, {}).items():
        values[_ordered(found, labels)] = value
    family = CounterMetricFamily(name, text, labels=labels)
    for label_set, value in sorted(values.items()):
        family.add_metric(label_set, value)
    return family


def _histogram(
    name: str,
    text: str,
    labels: tuple[str, ...],
    buckets: tuple[float, ...],
    read: _Read,
    known: Iterable[tuple[str, ...]],
) -> HistogramMetricFamily:
    bounds = [*map(counters.format_bound, buckets), "+Inf"]
    counts = {_ordered(found, (*labels, "le")): value for found, value in read.get(f"{name}_bucket", {}).items()}
    sums = {_ordered(found, labels): value for found, value in read.get(f"{name}_sum", {}).items()}
    family = HistogramMetricFamily(name, text, labels=labels)
    for label_set in sorted({*known, *sums}):
        values = [(bound, counts.get((*label_set, bound), 0.0)) for bound in bounds]
        family.add_metric(label_set, values, sums.get(label_set, 0.0))
    return family


def _ordered(found: Labels, labels: tuple[str, ...]) -> tuple[str, ...]:
    values = dict(found)
    return tuple(values.get(label, "") for label in labels)
