"""Sums of the ledger per quarter of an hour: what a report over ten million calls adds up in a second.

Moved in the transaction that stores the calls, and unlike the counters of `totals` they follow every correction, down
too. They stay when old calls are pruned. A stretch of time that cuts a quarter is completed from the calls themselves.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import orjson

from exporter.compare.currencies import one_name
from exporter.model import Micros

Document = dict[str, Any]
Measures = Counter[str]
"""Additive amounts by name: `calls`, `requests`, `verdict.<verdict>`, `<reading>.<tokens>`, `<reading>.cost.<currency>`,
`finding.<code>.<tokens>`, `verified.…`, `chosen.…`, `both.…` (see `measures`). `unsplit` are tokens known as a total alone. Money is in units of 10⁻¹⁰."""

QUARTER: Micros = 15 * 60 * 1_000_000
MONEY_SCALE = 10
"""Digits behind the point that are kept of each call's money: a tenth of a cached token's price, whatever the model."""

_PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")
_DIRECTIONS = ("input", "output")


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
    """What a page of traces changes; stored with two statements."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], tuple[str, str]] = {}
        self._values: dict[tuple[Micros, tuple[str, ...]], Measures] = defaultdict(Counter)

    def add(self, calls: Iterable[tuple[Micros, Document]], workspace_id: str) -> None:
        """These calls (start, document) are in the ledger now."""
        for started_at, document in calls:
            identity = _identity(document)
            self._names[identity] = (document["app_name"], workspace_id)
            self._values[(_quarter(started_at), identity)].update(measures(document))

    def remove(self, calls: Iterable[tuple[Micros, Document]]) -> None:
        """These were there before, and are replaced."""
        for started_at, document in calls:
            self._values[(_quarter(started_at), _identity(document))].subtract(measures(document))

    def store(self, connection: sqlite3.Connection) -> None:
        """Belongs into the transaction that stores the calls."""
        connection.executemany(
            "INSERT INTO sum_groups (app_id, provider, model, key, kind, app_name, workspace_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET app_name = excluded.app_name,"
            " workspace_id = excluded.workspace_id"
            " WHERE app_name != excluded.app_name OR workspace_id != excluded.workspace_id",
            [(*identity, *names) for identity, names in self._names.items()],
        )
        connection.executemany(
            "INSERT INTO sums SELECT ?, id, ?, ? FROM sum_groups"
            " WHERE app_id = ? AND provider = ? AND model = ? AND key = ? AND kind = ?"
            " ON CONFLICT DO UPDATE SET value = value + excluded.value",
            [
                (quarter, measure, value, *identity)
                for (quarter, identity), values in self._values.items()
                for measure, value in values.items()
                if value
            ],
        )


def _quarter(moment: Micros) -> Micros:
    return moment - moment % QUARTER


def _identity(document: Document) -> tuple[str, str, str, str, str]:
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


def measures(document: Document) -> Measures:
    """What one call adds. `verified.*` are the numbers of the calls whose difference was judged: vendor − dify of these is
    their findings and their unexplained rest, to the token."""
    readings = document["readings"]
    vendor = independent(document)
    found: Measures = Counter(
        {"calls": 1, f"verdict.{document['verdict']}": 1, f"status.{document['status']}": 1}
    )
    for name, reading in (("dify", readings["dify"]), ("local", readings["local"]), ("vendor", vendor)):
        found.update(_reading(name, reading))
    if vendor is not None:
        found["requests"] += len(vendor["attempts"])
        found["requests.retried"] += max(0, len(vendor["attempts"]) - 1)
    if document["unexplained"] is not None:
        found["verified.calls"] += 1
        for name in ("dify", "local", "vendor"):
            found.update({f"verified.{key}": n for key, n in _reading(name, readings[name]).items()})
    found.update(_findings(document["findings"]))
    found.update(_rest(document["unexplained"]))
    found.update(_chosen(readings["dify"], readings["local"], vendor))
    found.update(_both_costs(readings["dify"], vendor))
    return Counter({name: value for name, value in found.items() if value})


def independent(document: Document) -> Document | None:
    """The vendor's own reading of a call document; None where it is absent or only relayed by Dify."""
    vendor: Document | None = document["readings"]["vendor"]
    return vendor if vendor is not None and vendor["independent"] else None


def _reading(name: str, reading: Document | None) -> Measures:
    found: Measures = Counter()
    if reading is None:
        found[f"{name}.absent"] += 1
        return found
    for part in _PARTS:
        found[f"{name}.{part}"] += reading[part] or 0
    split = (reading["input"] or 0) + (reading["output"] or 0)
    total = reading.get("total")
    found[f"{name}.unsplit"] += max(0, total - split) if total is not None else 0
    found[f"{name}.unknown"] += total is None and (reading["input"] is None or reading["output"] is None)
    if reading["cost"] is None:
        found[f"{name}.unpriced"] += 1
    else:
        found[f"{name}.cost.{one_name(reading['currency'])}"] += scaled(Decimal(reading["cost"]))
    return found


def _findings(findings: Iterable[Document]) -> Measures:
    found: Measures = Counter()
    for finding in findings:
        name = f"finding.{finding['code']}"
        found[f"{name}.calls"] += 1
        for direction in _DIRECTIONS:
            found[f"{name}.{direction}"] += finding[direction]
        if finding.get("cost") is not None:
            found[f"{name}.cost.{one_name(finding['currency'])}"] += scaled(Decimal(finding["cost"]))
    return found


def _rest(unexplained: Document | None) -> Measures:
    found: Measures = Counter()
    if unexplained is not None:
        for direction in _DIRECTIONS:
            found[f"unexplained.{direction}"] += unexplained[direction] or 0
        size = sum(abs(unexplained[direction] or 0) for direction in _DIRECTIONS)
        found["unexplained.size"] += size
        found["unexplained.calls"] += size > 0
    return found


def _chosen(*readings: Document | None) -> Measures:
    """What a bill should say of the call, as far as anybody knows: the vendor's count, else Dify's, else our own."""
    dify, local, vendor = readings
    known = [item for item in (vendor, dify, local) if item is not None]
    counted = next((item for item in known if None not in (item["input"], item["output"])), None)
    priced = next((item for item in known if item["cost"] is not None), None)
    found: Measures = Counter({"chosen.requests": len(vendor["attempts"]) if vendor else 1})
    if counted is not None:
        found.update({f"chosen.{direction}": counted[direction] for direction in _DIRECTIONS})
    if priced is not None:
        found[f"chosen.cost.{one_name(priced['currency'])}"] += scaled(Decimal(priced["cost"]))
    return found


def _both_costs(dify: Document | None, vendor: Document | None) -> Measures:
    """Money of the calls whose cost both sides state in one currency: only these can be compared."""
    if dify is None or vendor is None or dify["cost"] is None or vendor["cost"] is None:
        return Counter()
    currency = one_name(vendor["currency"])
    if one_name(dify["currency"]) != currency:
        return Counter()
    return Counter(
        {
            f"both.dify.cost.{currency}": scaled(Decimal(dify["cost"])),
            f"both.vendor.cost.{currency}": scaled(Decimal(vendor["cost"])),
            f"both.calls.{currency}": 1,
        }
    )


def scaled(amount: Decimal) -> int:
    """Money in the units that sums are kept in."""
    return int(amount.scaleb(MONEY_SCALE).to_integral_value(ROUND_HALF_EVEN))


def money(units: int) -> Decimal:
    """The amount of so many units."""
    return Decimal(units).scaleb(-MONEY_SCALE)


def amount_text(units: int) -> str:
    """The same as decimal text."""
    return format(money(units).normalize(), "f")


def costs_of(measures: Measures, prefix: str) -> dict[str, str]:
    """The amounts whose names begin so, by currency, as decimal text."""
    return {
        name.removeprefix(prefix): amount_text(value)
        for name, value in sorted(measures.items())
        if name.startswith(prefix)
    }


def between(connection: sqlite3.Connection, since: Micros, until: Micros) -> dict[Group, Measures]:
    """The sums over all calls that began in [since, until), exactly, as far as calls at a cut quarter are still kept."""
    first, last = _quarter(since + QUARTER - 1), _quarter(until)
    found: dict[Group, Measures] = defaultdict(Counter)
    if first >= last:
        _add_calls(connection, found, since, until)
    else:
        _add_calls(connection, found, since, first)
        _add_sums(connection, found, first, last)
        _add_calls(connection, found, last, until)
    return dict(found)


def _add_sums(
    connection: sqlite3.Connection, found: dict[Group, Measures], since: Micros, until: Micros
) -> None:
    groups = {row[0]: Group(*row[1:]) for row in connection.execute(f"SELECT id, {_GROUP} FROM sum_groups")}
    rows = connection.execute(
        "SELECT group_id, measure, sum(value) FROM sums WHERE starts_at >= ? AND starts_at < ?"
        " GROUP BY group_id, measure HAVING sum(value) != 0",
        (since, until),
    )
    for group_id, measure, value in rows:
        found[groups[group_id]][measure] += value


_GROUP = "app_id, provider, model, key, kind, app_name, workspace_id"


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
    row = connection.execute("SELECT min(starts_at), max(starts_at) FROM sums").fetchone()
    return None if row[0] is None else (row[0], row[1] + QUARTER)


def prune(connection: sqlite3.Connection, before: Micros) -> None:
    """Forget the sums of quarters that ended before that time."""
    connection.execute("DELETE FROM sums WHERE starts_at <= ?", (before - QUARTER,))


def fill(connection: sqlite3.Connection) -> None:
    """Make the sums, and the gaps of traces, of a ledger that was written before there were any."""
    for page in _pages(connection):
        change = Change()
        gaps: dict[str, int] = {}
        for trace_id, started_at, text, workspace_id in page:
            document = orjson.loads(text)
            change.add([(started_at, document)], workspace_id or "")
            if (found := gap([document])) is not None:
                gaps[trace_id] = gaps.get(trace_id, 0) + found
        change.store(connection)
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


def gap(documents: Iterable[Mapping[str, Any]]) -> int | None:
    """Vendor − dify tokens over those of these calls that have an independent reading; None when none has."""
    gaps = [_gap(document) for document in documents if independent(dict(document)) is not None]
    known = [value for value in gaps if value is not None]
    return sum(known) if known else None


def _gap(document: Mapping[str, Any]) -> int | None:
    vendor, dify = document["readings"]["vendor"], document["readings"]["dify"]
    if vendor["input"] is None or vendor["output"] is None:
        return None
    recorded = (dify.get("total") or 0) if dify is not None else 0
    return int(vendor["input"] + vendor["output"] - recorded)
