"""Sums of the ledger per quarter of an hour and per four hours: what a report over ten million calls adds up in a second.

Moved in the transaction that stores the calls, and unlike the counters of `totals` they follow every correction, down
too. They stay when old calls are pruned. A stretch of time that cuts a quarter is completed from the calls themselves.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from exporter.model import Micros
from exporter.state.measures import (
    Document,
    Measures,
    amount_text,
    amounts,
    costs_of,
    gap,
    measures,
    money,
)

__all__ = [
    "BLOCK", "QUARTER", "Change", "Document", "Group", "Measures", "amount_text", "between", "costs_of", "fill",
    "first_and_last", "gap", "group_of", "measures", "money", "prune",
]  # fmt: skip

QUARTER: Micros = 15 * 60 * 1_000_000
BLOCK: Micros = 16 * QUARTER
"""Six to a day, so that days of UTC and of UTC+8, by which vendors bill, are made of whole ones."""

_Identity = tuple[str, str, str, str, str]
_GROUP = "app_id, provider, model, key, kind, app_name, workspace_id"


@dataclass(frozen=True, slots=True)
class Group:
    """What sums are kept apart by. `key` is the alias of the vendor's key that paid, empty where it is not known."""

    app_id: str
    provider: str
    model: str
    key: str
    kind: str
    app_name: str
    workspace_id: str


class Change:
    """What a page of traces changes."""

    def __init__(self) -> None:
        self._names: dict[_Identity, tuple[str, str]] = {}
        self._values: dict[tuple[Micros, _Identity], dict[str, int]] = {}

    def add(self, calls: Iterable[tuple[Micros, Document]], workspace_id: str) -> None:
        """These calls (start, document) are in the ledger now."""
        for started_at, document in calls:
            identity = _identity(document)
            self._names[identity] = (document["app_name"], workspace_id)
            values = self._of(started_at, identity)
            for name, amount in amounts(document):
                values[name] += amount

    def remove(self, calls: Iterable[tuple[Micros, Document]]) -> None:
        """These were there before, and are replaced."""
        for started_at, document in calls:
            values = self._of(started_at, _identity(document))
            for name, amount in amounts(document):
                values[name] -= amount

    def store(self, connection: sqlite3.Connection) -> None:
        """Belongs into the transaction that stores the calls."""
        self.store_quarters(connection)
        blocks: dict[tuple[Micros, _Identity], dict[str, int]] = {}
        for (quarter, identity), values in self._values.items():
            block = blocks.setdefault((quarter - quarter % BLOCK, identity), defaultdict(int))
            for measure, value in values.items():
                block[measure] += value
        _add_up(connection, "sum_blocks", blocks)

    def store_quarters(self, connection: sqlite3.Connection) -> None:
        """As `store`, into a file that has no blocks yet."""
        connection.executemany(
            f"INSERT INTO sum_groups ({_GROUP}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " app_name = excluded.app_name, workspace_id = excluded.workspace_id"
            " WHERE app_name != excluded.app_name OR workspace_id != excluded.workspace_id",
            [(*identity, *names) for identity, names in self._names.items()],
        )
        _add_up(connection, "sums", self._values)

    def _of(self, started_at: Micros, identity: _Identity) -> dict[str, int]:
        return self._values.setdefault((_quarter(started_at), identity), defaultdict(int))


def _add_up(
    connection: sqlite3.Connection, table: str, changes: Mapping[tuple[Micros, _Identity], Mapping[str, int]]
) -> None:
    ids = {identity: _id(connection, identity) for _, identity in changes}
    connection.executemany(
        f"INSERT INTO {table} VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [
            (starts_at, ids[identity], measure, value)
            for (starts_at, identity), values in changes.items()
            for measure, value in values.items()
            if value and ids[identity] is not None
        ],
    )


def _id(connection: sqlite3.Connection, identity: _Identity) -> int | None:
    """The number of a group; None for one that nothing was ever counted of, from which nothing can be taken back."""
    row = connection.execute(
        "SELECT id FROM sum_groups WHERE app_id = ? AND provider = ? AND model = ? AND key = ? AND kind = ?",
        identity,
    ).fetchone()
    return None if row is None else int(row[0])


def _quarter(moment: Micros) -> Micros:
    return moment - moment % QUARTER


def _identity(document: Document) -> _Identity:
    vendor = document["readings"]["vendor"]
    keys = [attempt.get("key") for attempt in vendor["attempts"]] if vendor else []
    key = next(filter(None, keys), "")
    return (
        document["app_id"] or "",
        document["provider"] or "",
        document["model"] or "",
        key,
        document["kind"],
    )


def group_of(document: Document, workspace_id: str = "") -> Group:
    """The group that a call belongs to."""
    return Group(*_identity(document), document["app_name"] or "", workspace_id)


def between(connection: sqlite3.Connection, since: Micros, until: Micros) -> dict[Group, Measures]:
    """The sums over all calls that began in [since, until), exactly, as far as calls at a cut quarter are still kept."""
    first, last = _quarter(since + QUARTER - 1), _quarter(until)
    found: dict[Group, Measures] = defaultdict(Counter)
    if first >= last:
        _add_calls(connection, found, since, until)
        return dict(found)
    block, end = first + -first % BLOCK, last - last % BLOCK
    if block >= end:
        block = end = last
    _add_calls(connection, found, since, first)
    _add_sums(connection, found, "sums", first, block)
    _add_sums(connection, found, "sum_blocks", block, end)
    _add_sums(connection, found, "sums", end, last)
    _add_calls(connection, found, last, until)
    return dict(found)


def _add_sums(
    connection: sqlite3.Connection, found: dict[Group, Measures], table: str, since: Micros, until: Micros
) -> None:
    if since >= until:
        return
    groups = {row[0]: Group(*row[1:]) for row in connection.execute(f"SELECT id, {_GROUP} FROM sum_groups")}
    rows = connection.execute(
        f"SELECT group_id, measure, sum(value) FROM {table} WHERE starts_at >= ? AND starts_at < ?"
        " GROUP BY group_id, measure HAVING sum(value) != 0",
        (since, until),
    )
    for group_id, measure, value in rows:
        found[groups[group_id]][measure] += value


def _add_calls(
    connection: sqlite3.Connection, found: dict[Group, Measures], since: Micros, until: Micros
) -> None:
    if since >= until:
        return
    names = {tuple(row[:5]): row[5:] for row in connection.execute(f"SELECT {_GROUP} FROM sum_groups")}
    rows = connection.execute(
        "SELECT document FROM calls WHERE started_at >= ? AND started_at < ?", (since, until)
    )
    for (text,) in rows:
        document = orjson.loads(text)
        identity = _identity(document)
        found[Group(*identity, *names[identity])].update(measures(document))


def first_and_last(connection: sqlite3.Connection) -> tuple[Micros, Micros] | None:
    """The stretch that sums are kept of, in whole quarters; None without any."""
    row = connection.execute(  # two lookups; min and max in one query would read all sums
        "SELECT (SELECT min(starts_at) FROM sums), (SELECT max(starts_at) FROM sums)"
    ).fetchone()
    return None if row[0] is None else (row[0], row[1] + QUARTER)


def prune(connection: sqlite3.Connection, before: Micros) -> None:
    """Forget the sums of quarters that ended before that time."""
    connection.execute("DELETE FROM sums WHERE starts_at <= ?", (before - QUARTER,))
    cut = before - before % BLOCK
    connection.execute("DELETE FROM sum_blocks WHERE starts_at <= ?", (cut,))
    connection.execute(
        "INSERT INTO sum_blocks SELECT ?1, group_id, measure, sum(value) FROM sums"
        " WHERE starts_at >= ?1 AND starts_at < ?1 + ?2 GROUP BY group_id, measure",
        (cut, BLOCK),
    )


def fill(connection: sqlite3.Connection) -> None:
    """Make the sums per quarter, and the gaps of traces, of a ledger that was written before there were any."""
    for page in _pages(connection):
        change = Change()
        gaps: dict[str, int] = {}
        for trace_id, started_at, text, workspace_id in page:
            document = orjson.loads(text)
            change.add([(started_at, document)], workspace_id or "")
            if (found := gap([document])) is not None:
                gaps[trace_id] = gaps.get(trace_id, 0) + found
        change.store_quarters(connection)
        connection.executemany(
            "UPDATE traces SET gap = coalesce(gap, 0) + ? WHERE trace_id = ?",
            [(value, trace_id) for trace_id, value in gaps.items()],
        )


def _pages(connection: sqlite3.Connection) -> Iterator[list[tuple[str, Micros, str, str | None]]]:
    rows = connection.execute(
        "SELECT c.trace_id, c.started_at, c.document, t.document ->> '$.workspace_id'"
        " FROM calls c LEFT JOIN traces t USING (trace_id)"
    )
    while page := rows.fetchmany(1000):
        yield page
