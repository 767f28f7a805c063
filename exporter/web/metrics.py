"""The answer of /metrics: the ledger's sums, our own health, and the process, read afresh at every scrape.

Nothing is counted here, so nothing is counted twice and a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from exporter.config import WebSettings
from exporter.model import Micros
from exporter.state.store import Store
from exporter.web.health_metrics import HealthCollector
from exporter.web.ledger_metrics import LedgerCollector
from exporter.web.readiness import Readiness


def build_registry(
    store: Store,
    readiness: Callable[[], Readiness],
    settings: WebSettings,
    destinations: Sequence[str],
    clock: Callable[[], Micros],
) -> CollectorRegistry:
    """A registry of our own; the process part brings CPU, memory, open files and start time."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(LedgerCollector(store, settings))
    registry.register(HealthCollector(store, readiness, destinations, clock))
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The scrape answer and its content type: the text format, or OpenMetrics when asked for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
