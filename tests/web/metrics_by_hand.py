"""Reading /metrics as Prometheus does, and traces made by hand for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.samples import Sample

from exporter.config import WebSettings
from exporter.model import AssessedTrace, Micros
from exporter.state.store import Store
from exporter.web.metrics import build_registry, exposition
from exporter.web.readiness import Readiness
from tests.web.traces_by_hand import NOON, SECOND

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LATER = NOON + 3600 * SECOND
CALL = ("app", "provider", "model")


class Scraper:
    """One exporter that is scraped at a time of the test's choice."""

    def __init__(self, store: Store, settings: WebSettings | None = None, *destinations: str) -> None:
        self.now: Micros = LATER
        self.registry: CollectorRegistry = build_registry(
            store,
            lambda: Readiness(lag_seconds=0.0),
            settings or WebSettings(),
            destinations,
            lambda: self.now,
        )

    def scrape(self, now: Micros | None = None) -> list[Sample]:
        """All samples, of OpenMetrics, which holds more; the plain text must say the same numbers."""
        self.now = now or self.now
        text, _ = exposition(self.registry, "")
        rich, _ = exposition(self.registry, OPENMETRICS)
        plain = {
            _key(sample)
            for family in parser.text_string_to_metric_families(text.decode())
            for sample in family.samples
        }
        found = [
            sample
            for family in openmetrics_parser.text_string_to_metric_families(rich.decode())
            for sample in family.samples
        ]
        assert {_key(sample) for sample in found} == plain
        return found

    def values(self, name: str, now: Micros | None = None) -> dict[tuple[str, ...], float]:
        """Of one name: the labels beyond app, provider and model (in the order of their names) → the sum over these."""
        summed: dict[tuple[str, ...], float] = {}
        for sample in self.scrape(now):
            if sample.name == name:
                own = tuple(sample.labels[label] for label in sorted(sample.labels) if label not in CALL)
                summed[own] = summed.get(own, 0.0) + sample.value
        return summed

    def nonzero(self, name: str, now: Micros | None = None) -> dict[tuple[str, ...], float]:
        """The same, without series that only wait for their first value."""
        return {own: value for own, value in self.values(name, now).items() if value}


def _key(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name, tuple(sorted(sample.labels.items()))


def changed(trace: AssessedTrace, change: Callable[[Any], Any]) -> AssessedTrace:
    """The trace with each of its assessments changed."""
    return replace(trace, assessments=tuple(change(item) for item in trace.assessments))


def counters(found: list[Sample]) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    """What may never fall."""
    for sample in found:
        if sample.name.startswith("dify_") and sample.name.endswith(("_total", "_bucket", "_count", "_sum")):
            yield _key(sample), sample.value


def copied(store: Store, folder: Path) -> Store:
    """The state as it lies on the disk now, opened by another process after a death of the first."""
    path = folder / "copy.db"
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).write_bytes(
            store.path.with_name(store.path.name + suffix).read_bytes()
        )
    return Store(path)
