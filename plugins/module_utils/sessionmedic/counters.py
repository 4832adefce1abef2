"""Counters that several processes add to and one shows: fields of a hash in Redis, rendered by the webhook.

A field is JSON ``[metric, {label: value}]``, its value a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .redis_client import Client

KEY = "sessionmedic:counters"


@dataclass(frozen=True)
class Increment:
    """Something to be added to one counter."""

    field: str
    amount: float = 1.0


def increment(metric: str, labels: Mapping[str, str], amount: float = 1.0) -> Increment:
    """One more of ``metric``, or ``amount``."""
    return Increment(json.dumps([metric, labels], sort_keys=True), amount)


def histogram(metric: str, labels: Mapping[str, str], buckets: Sequence[float], value: float) -> list[Increment]:
    """An observation: the cumulative buckets that hold it, and the sum. The bucket ``+Inf`` is the count."""
    bounds = [format_bound(bound) for bound in buckets if value <= bound] + ["+Inf"]
    return [
        *(increment(f"{metric}_bucket", {**labels, "le": bound}) for bound in bounds),
        increment(f"{metric}_sum", labels, value),
    ]


def format_bound(bound: float) -> str:
    """A bucket's bound as label ``le``, which Prometheus writes as a float."""
    return repr(float(bound))


def add(client: Client, increments: Iterable[Increment]) -> None:
    """Add to the counters, all or none."""
    pipeline = client.pipeline()
    for one in increments:
        pipeline.hincrbyfloat(KEY, one.field, one.amount)
    pipeline.execute()


def read(client: Client) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Metric to sorted labels to value. A field that is none of ours is left out."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for name, value in client.hgetall(KEY).items():
        try:
            metric, labels = json.loads(name)
            key = tuple(sorted((str(label), str(text)) for label, text in labels.items()))
            number = float(value)
        except (ValueError, TypeError, AttributeError):
            continue
        found.setdefault(str(metric), {})[key] = number
    return found
