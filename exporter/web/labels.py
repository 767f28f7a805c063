"""Which apps, providers, models and causes have a metric label of their own; the rest is `other`.

The largest get one first, by tokens. A label once given stays, also over a restart: if a series moved in or out of
`other`, that counter would fall, and Prometheus would take the fall for a restart and count everything again.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass

import orjson

from exporter.config import WebSettings
from exporter.state import health
from exporter.state.store import Store
from exporter.state.totals import Total

OTHER = "other"
TOP_PROVIDERS = 50
TOP_CAUSES = 100
"""Causes are the codes of our own catalogue, half as many; the bound holds over all versions that wrote to a state."""
TOP_SOURCES = 50
"""Whoever pushes evidence may name its source."""
_KEY = "metric_labels"
_SIZED = {"recorded_tokens"}
_BY_CAUSE = {"unrecorded_tokens", "overrecorded_tokens", "unrecorded_cost", "overrecorded_cost"}


@dataclass(frozen=True, slots=True)
class Labels:
    """Names with their own label, in the order in which they got it."""

    apps: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Folded:
    """How many names have no label of their own."""

    apps: int
    models: int
    providers: int
    causes: int


def extends(given: Labels, kept: Labels) -> bool:
    """Whether these labels are those, and perhaps more."""
    return all(more[: len(names)] == names for more, names in zip(astuple(given), astuple(kept), strict=True))


def own_or_other(names: Iterable[str]) -> Mapping[str, str]:
    """A name's label; what is not in it is `other`."""
    return {name: name for name in names}


def cause_of(total: Total) -> str | None:
    """The finding that a counter is about, None for counters of other kinds."""
    return total.label.partition("/")[2] if total.metric in _BY_CAUSE else None


def choose(totals: Sequence[Total], kept: Labels, settings: WebSettings) -> Labels:
    """Pure: labels already given stay, free places go to the largest."""
    sizes = _sizes(totals)
    return Labels(
        _chosen(sizes["app"], kept.apps, settings.top_apps),
        _chosen(sizes["model"], kept.models, settings.top_models),
        _chosen(sizes["provider"], kept.providers, TOP_PROVIDERS),
        _chosen(sizes["cause"], kept.causes, TOP_CAUSES),
    )


def folded(totals: Sequence[Total], labels: Labels) -> Folded:
    """How many names of each kind are counted under `other`."""
    sizes = _sizes(totals)
    return Folded(
        len(sizes["app"].keys() - set(labels.apps)),
        len(sizes["model"].keys() - set(labels.models)),
        len(sizes["provider"].keys() - set(labels.providers)),
        len(sizes["cause"].keys() - set(labels.causes)),
    )


def largest(sizes: Mapping[str, float], places: int) -> tuple[str, ...]:
    """The largest names; for gauges, whose labels may come and go."""
    return _chosen(sizes, (), places)


def remembered(connection: sqlite3.Connection) -> Labels:
    """The labels given before, by this process or an earlier one."""
    text = health.remembered(connection, _KEY)
    if text is None:
        return Labels()
    return Labels(**{name: tuple(names) for name, names in orjson.loads(text).items()})


def remember(store: Store, labels: Labels) -> None:
    """Keep the labels over a restart."""
    with store.transaction("labels") as connection:
        health.remember(connection, _KEY, orjson.dumps(asdict(labels)).decode())


def _sizes(totals: Iterable[Total]) -> Mapping[str, Mapping[str, float]]:
    sizes: dict[str, defaultdict[str, float]] = {
        kind: defaultdict(float) for kind in ("app", "model", "provider", "cause")
    }
    for total in totals:
        tokens = total.value if total.metric in _SIZED else 0
        sizes["app"][total.app] += tokens
        sizes["model"][total.model] += tokens
        sizes["provider"][total.provider] += tokens
        if (cause := cause_of(total)) is not None:
            sizes["cause"][cause] += total.value
    return sizes


def _chosen(sizes: Mapping[str, float], kept: Sequence[str], places: int) -> tuple[str, ...]:
    newcomers = sorted((name for name in sizes if name not in kept), key=lambda name: (-sizes[name], name))
    return (*kept, *newcomers)[:places]
