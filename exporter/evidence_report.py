"""`evidence`: what became of every vendor request, per source, and what of the keys' traffic is not Dify's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from exporter.clock import rfc3339
from exporter.compare.foreign import foreign_traffic
from exporter.config import Settings
from exporter.model import SECOND, Micros
from exporter.state import buckets, evidence, standings
from exporter.state.standings import Group
from exporter.state.store import Store

Document = dict[str, Any]
_STANDINGS = ("matched", "hidden", "unrecorded", "foreign", "copy", "new")


def document(
    store: Store, settings: Settings, now: Micros, since: Micros | None = None, until: Micros | None = None
) -> Document:
    """`sources`: requests per standing, records refused, clock difference. `hidden`, `unrecorded`, `foreign`: requests
    and tokens per source, purpose, model and key. `buckets`: usage that a source tells only per stretch of time;
    `bucket_changes`: what it told otherwise before."""
    with store.read() as connection:
        groups = standings.groups(connection, since, until)
        counts = evidence.counts(connection)
        clocks = standings.clock_differences(connection)
        told = buckets.sums(connection, since, until)
        changed = buckets.changes(connection, since, until)
    names = sorted({*counts, *(group.source for group in groups), *(item.name for item in settings.vendor)})
    return {
        "at": rfc3339(now),
        "sources": [
            {
                "source": name,
                **_by_standing([group for group in groups if group.source == name]),
                "refused": counts[name].refused if name in counts else 0,
                "clock_behind_seconds": round(clocks.get(name, 0) / SECOND, 1),
            }
            for name in names
        ],
        "hidden": [_group(group) for group in groups if group.standing == standings.HIDDEN],
        "unrecorded": [_group(group) for group in groups if group.standing == standings.UNRECORDED],
        "foreign": [_foreign(group) for group in groups if group.standing == standings.FOREIGN],
        "buckets": told,
        "bucket_changes": changed,
    }


def _by_standing(groups: Sequence[Group]) -> Document:
    found: Counter[str] = Counter()
    for group in groups:
        found[group.standing] += group.requests
    return {"requests": found.total(), **{name: found[name] for name in _STANDINGS}}


def _foreign(group: Group) -> Document:
    told = foreign_traffic(group.requests, group.input, group.output)
    return {**_group(group), "evidence": told.evidence, "advice": told.advice}


def _group(group: Group) -> Document:
    return {
        "source": group.source,
        "purpose": group.purpose,
        "model": group.model,
        "key": group.key,
        "requests": group.requests,
        "input": group.input,
        "output": group.output,
        "uncounted": group.uncounted,
    }
