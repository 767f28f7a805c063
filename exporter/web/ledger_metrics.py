"""The counters of `exporter.state.totals` under their public names.

Three readings are three metrics, so that every sum over labels means something. No user, trace or key is ever a label.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exporter.config import WebSettings
from exporter.state import totals
from exporter.state.store import Store
from exporter.state.totals import Total
from exporter.web import labels

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Family:
    help: str
    own: tuple[str, ...]


_CALL = ("app", "provider", "model")
_CORRECTIONS = " A later correction adds what grew and never takes back."
_FAMILIES = {
    "recorded_tokens": _Family(
        "Tokens that Dify recorded for model calls of exported traces; input includes cached, output reasoning tokens.",
        ("direction",),
    ),
    "local_tokens": _Family(
        "Tokens that the local tokenizer counts for the same calls: our own recount, not a bill.",
        ("direction",),
    ),
    "vendor_tokens": _Family(
        "Tokens that the vendor itself reported, all billed attempts of a call together; only calls with such evidence.",
        ("direction",),
    ),
    "recorded_cost": _Family("Money that Dify recorded for these calls, per currency.", ("currency",)),
    "vendor_cost": _Family(
        "Money that the vendor's evidence states for these calls, per currency.", ("currency",)
    ),
    "unrecorded_tokens": _Family(
        "Tokens that the vendor counted and Dify did not record, by the finding that explains them.",
        ("direction", "cause"),
    ),
    "overrecorded_tokens": _Family(
        "Tokens that Dify recorded and the vendor did not count, by the finding that explains them.",
        ("direction", "cause"),
    ),
    "calls": _Family("Model calls of exported traces, by verdict.", ("verdict",)),
}


class LedgerCollector:
    """What Prometheus asks for the ledger's counters."""

    def __init__(self, store: Store, settings: WebSettings) -> None:
        self._store = store
        self._settings = settings
        self._given = labels.Labels()

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, those without a sample too."""
        with self._store.read() as connection:
            found = totals.all_totals(connection)
            before = labels.remembered(connection)
        self._given = labels.choose(found, self._given if self._given.apps else before, self._settings)
        apps, models = labels.folded(found, self._given)
        if (apps or models) and self._given != before:
            self._keep(self._given)
        yield from _counters(found, self._given)
        yield _folded(apps, models)

    def _keep(self, given: labels.Labels) -> None:
        """When the disk is full now, the next scrape tries again."""
        try:
            labels.remember(self._store, given)
        except sqlite3.Error as error:
            log.warning("metric_labels_not_kept", error=type(error).__name__)


def _counters(found: Iterable[Total], given: labels.Labels) -> Iterator[Metric]:
    sums: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in _FAMILIES}
    for total in found:
        if total.metric in sums:
            own = total.label.split("/", 1)
            key = (given.app(total.app), total.provider, given.model(total.model), *own)
            sums[total.metric][key] += total.value  # type: ignore[assignment]
    for name, family in _FAMILIES.items():
        metric = CounterMetricFamily(f"dify_{name}", family.help + _CORRECTIONS, labels=(*_CALL, *family.own))
        for key, value in sums[name].items():
            metric.add_metric(key, value)
        yield metric


def _folded(apps: int, models: int) -> Metric:
    gauge = GaugeMetricFamily(
        "dify_exporter_folded_labels",
        "Names without a label of their own, counted under 'other'; web.top_apps and web.top_models set how many have one.",
        labels=("label",),
    )
    gauge.add_metric(("app",), apps)
    gauge.add_metric(("model",), models)
    return gauge
