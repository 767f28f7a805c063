"""What became of the vendor's requests, as gauges: evidence may be forgotten when it is old, and its standing may change.

Who pushes evidence names its source, so sources and foreign models beyond the largest are folded into `other`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from exporter.model import SECOND, Micros
from exporter.state import evidence, records, sightings, standings
from exporter.state.evidence import SourceCounts
from exporter.state.standings import Group
from exporter.state.store import Store
from exporter.web import labels
from exporter.web.metrics_catalog import EVIDENCE_REQUESTS, EVIDENCE_TOKENS, FOREIGN_TOKENS, own

STANDINGS = (
    standings.MATCHED, standings.COPY, standings.HIDDEN, standings.UNRECORDED, standings.FOREIGN, standings.NEW,
)  # fmt: skip


Sums = dict[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Counts:
    """What has to be counted over all evidence and all records: slow on a large state."""

    groups: Sequence[Group]
    sources: Mapping[str, SourceCounts]
    records: Mapping[str, int]


def count(store: Store) -> Counts:
    """Count it now."""
    with store.read() as connection:
        return Counts(standings.groups(connection), evidence.counts(connection), records.counts(connection))


def last_seen(store: Store) -> Mapping[str, Micros]:
    """When each source was last heard of."""
    with store.read() as connection:
        return sightings.last_seen(connection)


def families(counts: Counts, seen: Mapping[str, Micros], top_models: int) -> Iterator[Metric]:
    """All families of evidence. A source has every standing from the start."""
    sizes = {name: float(item.requests) for name, item in counts.sources.items()} | dict.fromkeys(
        seen.keys() - counts.sources.keys(), 0.0
    )
    sources = labels.own_or_other(labels.largest(sizes, labels.TOP_SOURCES))
    yield from _sources(counts.sources, sources)
    yield own(
        "evidence_last_seen_timestamp_seconds",
        {(name,): moment / SECOND for name, moment in seen.items() if name in sources},
    )
    yield from _standings(counts.groups, sources)
    yield _foreign(counts.groups, sources, top_models)


def folded(counts: Counts, top_models: int) -> Mapping[tuple[str, ...], float]:
    """How many sources and foreign models are counted under `other`."""
    models = {group.model for group in counts.groups if group.standing == standings.FOREIGN}
    return {
        ("source",): max(0, len(counts.sources) - labels.TOP_SOURCES),
        ("foreign_model",): max(0, len(models) - top_models),
    }


def _sources(counts: Mapping[str, SourceCounts], sources: Mapping[str, str]) -> Iterator[Metric]:
    for name, field in (
        ("evidence_records", "requests"),
        ("evidence_matched", "matched"),
        ("evidence_refused", "refused"),
    ):
        values: Sums = defaultdict(float)
        for source, item in counts.items():
            values[(sources.get(source, labels.OTHER),)] += getattr(item, field)
        yield own(name, values)


def _standings(groups: Sequence[Group], sources: Mapping[str, str]) -> Iterator[Metric]:
    known = {sources.get(group.source, labels.OTHER) for group in groups}
    requests: Sums = {(source, standing): 0.0 for source in known for standing in STANDINGS}
    tokens: Sums = {(*key, direction): 0.0 for key in requests for direction in ("input", "output")}
    for group in groups:
        key = (sources.get(group.source, labels.OTHER), group.standing)
        requests[key] = requests.get(key, 0.0) + group.requests
        for direction, amount in (("input", group.input), ("output", group.output)):
            tokens[(*key, direction)] = tokens.get((*key, direction), 0.0) + amount
    yield EVIDENCE_REQUESTS.of(requests)
    yield EVIDENCE_TOKENS.of(tokens)


def _foreign(groups: Sequence[Group], sources: Mapping[str, str], top_models: int) -> Metric:
    foreign = [group for group in groups if group.standing == standings.FOREIGN]
    sizes: defaultdict[str, float] = defaultdict(float)
    for group in foreign:
        sizes[group.model] += group.input + group.output
    models = labels.own_or_other(labels.largest(sizes, top_models))
    values: Sums = defaultdict(float)
    for group in foreign:
        names = (sources.get(group.source, labels.OTHER), models.get(group.model, labels.OTHER))
        values[(*names, "input")] += group.input
        values[(*names, "output")] += group.output
    return FOREIGN_TOKENS.of(values)
