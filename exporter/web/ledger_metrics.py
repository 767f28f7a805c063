"""The counters of `exporter.state.totals` under their public names.

Three readings are three metrics, so that every sum over labels means something. No user, trace or key is ever a label.
A series begins at 0: all series of an app, provider and model are there from its first call, and a value that was never
shown shows 0 for a while, because Prometheus does not see a series grow that is born with a value.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from exporter.config import WebSettings
from exporter.model import SECOND, Accuracy, DifyKind, Micros, Verdict
from exporter.state import counted, totals
from exporter.state.counted import RATIO_BUCKET, RATIO_SUM
from exporter.state.store import Store
from exporter.state.totals import Total
from exporter.web import labels
from exporter.web.metrics_catalog import CALL, JUDGED, LEDGER, RATIO, Family

log = structlog.get_logger()

_PREFIX = "dify_"
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "direction": ("input", "output"),
    "verdict": tuple(Verdict),
    "kind": (*DifyKind, counted.NO_READING),
    "accuracy": tuple(Accuracy),
    "reading": ("dify", "local", "vendor"),
}
"""Labels whose every value is there from the start. Currencies are those of the app, provider and model, causes those that
the provider and model ever had in any app: what one app met the next will meet, and all causes would be far too many."""

Key = tuple[str, ...]
Sums = dict[str, dict[Key, float]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What one scrape shows: counter values by metric and label values, and the last trace of each bucket."""

    sums: Sums
    exemplars: Mapping[Key, Exemplar]


class LedgerCollector:
    """What Prometheus asks for the ledger's counters."""

    def __init__(self, store: Store, settings: WebSettings, clock: Callable[[], Micros]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._latest: Micros = 0
        self._given = labels.Labels()
        self._folded = labels.Folded(0, 0, 0, 0)

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, those without a sample too."""
        with self._store.read() as connection:
            found = totals.all_totals(connection)
            traces = totals.exemplars(connection)
            before = labels.remembered(connection)
        kept = self._given if labels.extends(self._given, before) else before
        self._given = labels.choose(found, kept, self._settings)
        self._folded = labels.folded(found, self._given)
        if self._given != before:
            self._keep(self._given)
        shown = _shown(found, traces, self._given, self._born_before())
        yield from (family.of(shown.sums[family.name]) for family in (*LEDGER, JUDGED))
        yield _ratio(shown)

    def folded(self) -> Mapping[Key, float]:
        """How many names of each kind the last scrape counted under `other`."""
        folded = self._folded
        return {
            ("app",): folded.apps,
            ("model",): folded.models,
            ("provider",): folded.providers,
            ("cause",): folded.causes,
        }

    def _born_before(self) -> Micros:
        """What was first counted later than that shows 0. A clock that is set back takes nothing back."""
        self._latest = max(self._latest, self._clock())
        return self._latest - round(self._settings.new_at_zero * SECOND)

    def _keep(self, given: labels.Labels) -> None:
        """When the disk is full now, the next scrape tries again."""
        try:
            labels.remember(self._store, given)
        except sqlite3.Error as error:
            log.warning("metric_labels_not_kept", error=type(error).__name__)


def _shown(
    found: Sequence[Total],
    traces: Iterable[totals.Exemplar],
    given: labels.Labels,
    born_before: Micros,
) -> _Shown:
    fold = _Fold(given)
    sums: Sums = defaultdict(lambda: defaultdict(float))
    _begin_at_zero(sums, found, fold)
    for total in found:
        if total.since <= born_before or total.metric == counted.JUDGED:
            sums[_PREFIX + total.metric][fold.key(total)] += total.value
    return _Shown(
        sums,
        {
            (*fold.call(item.app, item.provider, item.model), item.bucket): Exemplar(
                {"trace_id": item.trace_id}, item.value, item.at / SECOND
            )
            for item in traces
        },
    )


class _Fold:
    """Names to labels."""

    def __init__(self, given: labels.Labels) -> None:
        self._apps, self._models, self._providers, self._causes = map(
            labels.own_or_other, (given.apps, given.models, given.providers, given.causes)
        )

    def call(self, app: str, provider: str, model: str) -> Key:
        return (
            self._apps.get(app, labels.OTHER),
            self._providers.get(provider, labels.OTHER),
            self._models.get(model, labels.OTHER),
        )

    def own(self, total: Total) -> Key:
        if (cause := labels.cause_of(total)) is None:
            return (total.label,)
        return (total.label.partition("/")[0], self._causes.get(cause, labels.OTHER))

    def key(self, total: Total) -> Key:
        return (*self.call(total.app, total.provider, total.model), *self.own(total))


def _begin_at_zero(sums: Sums, found: Iterable[Total], fold: _Fold) -> None:
    """Every series of every app, provider and model that is known."""
    calls: set[Key] = set()
    currencies: defaultdict[Key, set[str]] = defaultdict(set)
    causes: defaultdict[tuple[str, Key], set[Key]] = defaultdict(set)
    for total in found:
        call = fold.call(total.app, total.provider, total.model)
        calls.add(call)
        if labels.cause_of(total) is not None:
            causes[(_PREFIX + total.metric, call[1:])].add(fold.own(total))
        elif total.metric.endswith("_cost"):
            currencies[call].add(total.label)
    for family in (*LEDGER, JUDGED):
        zeros = sums[family.name]
        for call in calls:
            for values in _own_labels(family, call, currencies, causes):
                zeros[(*call, *values)] = 0.0
    zeros = sums[_PREFIX + RATIO_SUM]
    for call in calls:
        zeros[(*call, str(counted.BOUNDS[0]))] = 0.0


def _own_labels(
    family: Family,
    call: Key,
    currencies: Mapping[Key, set[str]],
    causes: Mapping[tuple[str, Key], set[Key]],
) -> Iterable[Key]:
    own_labels = family.labels[len(CALL) :]
    if "cause" in own_labels:
        pairs = causes.get((family.name, call[1:]), ())
        if own_labels[0] == "currency":
            return [pair for pair in pairs if pair[0] in currencies.get(call, ())]
        return [(direction, cause) for _, cause in pairs for direction in _KNOWN["direction"]]
    if own_labels == ("currency",):
        return [(currency,) for currency in currencies.get(call, ())]
    return [(value,) for value in _KNOWN[own_labels[0]]]


_LE = {str(bound): floatToGoString(bound) for bound in counted.BOUNDS}  # type: ignore[no-untyped-call]


def _ratio(shown: _Shown) -> Metric:
    """Buckets are stored each on its own; here they add up, as histograms of Prometheus do."""
    metric = RATIO.histogram()
    counts, amounts = shown.sums[_PREFIX + RATIO_BUCKET], shown.sums[_PREFIX + RATIO_SUM]
    for call in dict.fromkeys(key[: len(CALL)] for key in amounts):
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        reached = 0.0
        for bound, le in _LE.items():
            here = counts.get((*call, bound), 0.0)
            reached += here
            exemplar = shown.exemplars.get((*call, bound)) if here else None
            buckets.append((le, reached) if exemplar is None else (le, reached, exemplar))
        metric.add_metric(call, buckets, sum(amounts.get((*call, bound), 0.0) for bound in _LE))
    return metric
