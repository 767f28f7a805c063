"""The answer of /metrics: the ledger's sums, our own health, and the process, read afresh at every scrape.

Nothing is counted here, so nothing is counted twice and a restart changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from exporter.config import WebSettings
from exporter.model import Micros
from exporter.state.store import Store
from exporter.web.health_metrics import HealthCollector
from exporter.web.ledger_metrics import LedgerCollector
from exporter.web.metrics_catalog import own
from exporter.web.readiness import Readiness

_JOBS = ("poll", "evidence", "prune")


class _Registry(CollectorRegistry):
    """A registry of our own, which tells how long its answer took."""

    def collect(self) -> Iterator[Metric]:
        """Everything; whoever asks writes each family down before the next is made, so that is part of the time."""
        started = time.perf_counter()
        yield from super().collect()
        yield own("scrape_duration_seconds", {(): time.perf_counter() - started})


def build_registry(
    store: Store,
    readiness: Callable[[], Readiness],
    settings: WebSettings,
    destinations: Sequence[str],
    clock: Callable[[], Micros],
) -> CollectorRegistry:
    """All that is served; the process part brings CPU, memory, open files and start time."""
    registry = _Registry()
    ledger = LedgerCollector(store, settings, clock)
    jobs = (*_JOBS, *(f"deliver:{name}" for name in destinations))
    ProcessCollector(registry=registry)
    registry.register(ledger)
    registry.register(
        HealthCollector(
            store, readiness, destinations, clock,
            jobs=jobs, top_models=settings.top_models, folded=ledger.folded,
        )
    )  # fmt: skip
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The scrape answer and its content type: the text format, or OpenMetrics when asked for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
