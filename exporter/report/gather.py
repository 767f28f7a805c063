"""What a report adds up: the ledger's sums per day, Dify's requests that belong to no trace, and the traffic under its keys
that is not Dify's."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from exporter.calls import lone_document
from exporter.config import CompareSettings
from exporter.model import Micros
from exporter.report.appnames import told_apart
from exporter.report.window import Window
from exporter.state import names, standings, sums
from exporter.state.sums import Group, Measures


@dataclass(frozen=True, slots=True)
class Line:
    """What one group of calls adds up to on one day of the window's zone. `app` is its app's name as rows show it: apps of
    one name are told apart."""

    day: str
    group: Group
    measures: Measures
    app: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """Requests on one day that are not Dify's. `is_shared`: under a key that Dify's requests were paid with too, or whose
    key nobody told; their usage then stands in the same bill."""

    day: str
    source: str
    model: str
    key: str
    requests: int
    input: int
    output: int
    uncounted: int
    is_shared: bool


def lines(connection: sqlite3.Connection, window: Window, settings: CompareSettings) -> Iterator[Line]:
    """Everything that is Dify's, day by day."""
    shown = told_apart(names.apps(connection).values())
    for day, since, until in window.days():
        for found in (
            sums.between(connection, since, until),
            _unattached(connection, since, until, settings),
        ):
            for group, measures in found.items():
                app = shown.get(group.app_id) or group.app_name or group.app_id
                yield Line(day, group, measures, app)


def _unattached(
    connection: sqlite3.Connection, since: Micros, until: Micros, settings: CompareSettings
) -> dict[Group, Measures]:
    """The sums over Dify's requests of the stretch that belong to no trace."""
    found: dict[Group, Measures] = defaultdict(Counter)
    for item in standings.unattached(connection, since, until):
        document = lone_document(item, settings)
        found[sums.group_of(document)].update(sums.measures(document))
    return found


def foreign(connection: sqlite3.Connection, window: Window) -> Iterator[Foreign]:
    """Everything that is not, day by day."""
    keys = standings.dify_keys(connection)
    for day, since, until in window.days():
        for group in standings.lone_groups(connection, since, until):
            if group.standing == standings.FOREIGN:
                key = group.key or ""
                yield Foreign(
                    day, group.source, group.model, key, group.requests, group.input, group.output, group.uncounted,
                    is_shared=not key or key in keys,
                )  # fmt: skip
