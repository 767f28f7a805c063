"""Which apps and models have a metric label of their own; the rest is `other`.

The largest get one first, by tokens that Dify recorded. A label once given stays, also over a restart: if a series moved
in or out of `other`, that counter would fall, and Prometheus would take the fall for a restart and count everything again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from exporter.config import WebSettings
from exporter.state import health
from exporter.state.store import Store
from exporter.state.totals import Total

OTHER = "other"
_KEY = "metric_labels"


@dataclass(frozen=True, slots=True)
class Labels:
    """Names with their own label, in the order in which they got it."""

    apps: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def app(self, name: str) -> str:
        """The label of an app."""
        return name if name in self.apps else OTHER

    def model(self, name: str) -> str:
        """The label of a model."""
        return name if name in self.models else OTHER


def choose(totals: Sequence[Total], kept: Labels, settings: WebSettings) -> Labels:
    """Pure: labels already given stay, free places go to the largest."""
    return Labels(
        _chosen(_sizes((total.app, total) for total in totals), kept.apps, settings.top_apps),
        _chosen(_sizes((total.model, total) for total in totals), kept.models, settings.top_models),
    )


def folded(totals: Sequence[Total], labels: Labels) -> tuple[int, int]:
    """How many apps and how many models have no label of their own."""
    apps, models = {total.app for total in totals}, {total.model for total in totals}
    return len(apps - set(labels.apps)), len(models - set(labels.models))


def remembered(connection: sqlite3.Connection) -> Labels:
    """The labels given before, by this process or an earlier one."""
    text = health.remembered(connection, _KEY)
    if text is None:
        return Labels()
    stored = orjson.loads(text)
    return Labels(tuple(stored["apps"]), tuple(stored["models"]))


def remember(store: Store, labels: Labels) -> None:
    """Keep the labels over a restart."""
    text = orjson.dumps({"apps": labels.apps, "models": labels.models}).decode()
    with store.transaction("labels") as connection:
        health.remember(connection, _KEY, text)


def _sizes(named: Iterable[tuple[str, Total]]) -> Mapping[str, float]:
    sizes: Counter[str] = Counter()
    for name, total in named:
        sizes[name] += total.value if total.metric == "recorded_tokens" else 0  # type: ignore[assignment]
    return sizes


def _chosen(sizes: Mapping[str, float], kept: Sequence[str], places: int) -> tuple[str, ...]:
    newcomers = sorted((name for name in sizes if name not in kept), key=lambda name: (-sizes[name], name))
    return (*kept, *newcomers)[:places]
