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
from functools import lru_cache
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

Amounts = list[tuple[str, int]]
"""Measures in parts; a name may come more than once, and an amount may be 0."""

_Identity = tuple[str, str, str, str, str]
_GROUP = "app_id, provider, model, key, kind, app_name, workspace_id"
_READINGS = ("dify", "local", "vendor")
_PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")
_DIRECTIONS = ("input", "output")
_TOKENS = {
    name: tuple((part, f"{name}.{part}") for part in _PARTS)
    for reading in _READINGS
    for name in (reading, f"verified.{reading}")
}


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
            for name, amount in _amounts(document):
                values[name] += amount

    def remove(self, calls: Iterable[tuple[Micros, Document]]) -> None:
        """These were there before, and are replaced."""
        for started_at, document in calls:
            values = self._of(started_at, _identity(document))
            for name, amount in _amounts(document):
                values[name] -= amount

    def store(self, connection: sqlite3.Connection) -> None:
        """Belongs into the transaction that stores the calls."""
        connection.executemany(
            f"INSERT INTO sum_groups ({_GROUP}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " app_name = excluded.app_name, workspace_id = excluded.workspace_id"
            " WHERE app_name != excluded.app_name OR workspace_id != excluded.workspace_id",
            [(*identity, *names) for identity, names in self._names.items()],
        )
        ids = {identity: _id(connection, identity) for _, identity in self._values}
        connection.executemany(
            "INSERT INTO sums VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            [
                (quarter, ids[identity], measure, value)
                for (quarter, identity), values in self._values.items()
                for measure, value in values.items()
                if value and ids[identity] is not None
            ],
        )

    def _of(self, started_at: Micros, identity: _Identity) -> dict[str, int]:
        return self._values.setdefault((_quarter(started_at), identity), defaultdict(int))


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


def measures(document: Document) -> Measures:
    """What one call adds. `verified.*` are the numbers of the calls whose difference was judged: vendor − dify of these is
    their findings and their unexplained rest, to the token."""
    found: Measures = Counter()
    for name, amount in _amounts(document):
        found[name] += amount
    return Counter({name: amount for name, amount in found.items() if amount})


def _amounts(document: Document) -> Amounts:
    """The same in parts: a measure may come more than once."""
    readings, vendor = document["readings"], independent(document)
    found = [("calls", 1), (f"verdict.{document['verdict']}", 1), (f"status.{document['status']}", 1)]
    found += _reading("dify", readings["dify"])
    found += _reading("local", readings["local"])
    found += _reading("vendor", vendor)
    if vendor is not None:
        attempts = len(vendor["attempts"])
        found += [("requests", attempts), ("requests.retried", max(0, attempts - 1))]
    if document["unexplained"] is not None:
        found.append(("verified.calls", 1))
        for name in _READINGS:
            found += _reading(f"verified.{name}", readings[name])
        found += _rest(document["unexplained"])
    found += _findings(document["findings"])
    found += _chosen(readings["dify"], readings["local"], vendor)
    found += _both_costs(document, vendor)
    return found


def independent(document: Document) -> Document | None:
    """The vendor's own reading of a call document; None where it is absent or only relayed by Dify."""
    vendor: Document | None = document["readings"]["vendor"]
    return vendor if vendor is not None and vendor["independent"] else None


def _reading(name: str, reading: Document | None) -> Amounts:
    if reading is None:
        return [(f"{name}.absent", 1)]
    found = [(measure, amount) for part, measure in _TOKENS[name] if (amount := reading[part])]
    total = reading.get("total")
    if total is not None:
        if (rest := total - (reading["input"] or 0) - (reading["output"] or 0)) > 0:
            found.append((f"{name}.unsplit", rest))
    elif reading["input"] is None or reading["output"] is None:
        found.append((f"{name}.unknown", 1))
    if reading["cost"] is None:
        found.append((f"{name}.unpriced", 1))
    else:
        found.append((f"{name}.cost.{one_name(reading['currency'])}", _units(reading["cost"])))
    return found


def _findings(findings: Iterable[Document]) -> Amounts:
    found: Amounts = []
    for finding in findings:
        name = f"finding.{finding['code']}"
        found.append((f"{name}.calls", 1))
        found += [(f"{name}.{direction}", finding[direction]) for direction in _DIRECTIONS]
        if finding.get("cost") is not None:
            found.append((f"{name}.cost.{one_name(finding['currency'])}", _units(finding["cost"])))
    return found


def _rest(unexplained: Document) -> Amounts:
    rest, answer_rest = unexplained["input"] or 0, unexplained["output"] or 0
    if not rest and not answer_rest:
        return []
    return [
        ("unexplained.input", rest),
        ("unexplained.output", answer_rest),
        ("unexplained.size", abs(rest) + abs(answer_rest)),
        ("unexplained.calls", 1),
    ]


def _chosen(dify: Document | None, local: Document | None, vendor: Document | None) -> Amounts:
    """What a bill should say of the call, as far as anybody knows: the vendor's count, else Dify's, else our own."""
    known = [item for item in (vendor, dify, local) if item is not None]
    counted = next((item for item in known if None not in (item["input"], item["output"])), None)
    priced = next((item for item in known if item["cost"] is not None), None)
    found = [("chosen.requests", len(vendor["attempts"]) if vendor else 1)]
    if counted is not None:
        found += [("chosen.input", counted["input"]), ("chosen.output", counted["output"])]
    if priced is not None:
        found.append((f"chosen.cost.{one_name(priced['currency'])}", _units(priced["cost"])))
    return found


def _both_costs(document: Document, vendor: Document | None) -> Amounts:
    """Money of the judged calls whose cost both sides state in one currency, and what of it findings hold: only these can be
    compared. Where Dify recorded no tokens it asks for nothing."""
    if vendor is None or vendor["cost"] is None or document["unexplained"] is None:
        return []
    currency, dify = one_name(vendor["currency"]), document["readings"]["dify"]
    recorded = _recorded_units(dify, currency)
    if recorded is None:
        return []
    held = [
        _units(finding["cost"])
        for finding in document["findings"]
        if finding.get("cost") is not None and one_name(finding["currency"]) == currency
    ]
    return [
        (f"both.dify.cost.{currency}", recorded),
        (f"both.vendor.cost.{currency}", _units(vendor["cost"])),
        (f"both.findings.cost.{currency}", sum(held)),
        (f"both.calls.{currency}", 1),
    ]


def _recorded_units(dify: Document | None, currency: str) -> int | None:
    if dify is None or (dify["cost"] is None and not dify["input"] and not dify["output"]):
        return 0
    if dify["cost"] is None or one_name(dify["currency"]) != currency:
        return None
    return _units(dify["cost"])


@lru_cache(maxsize=1024)
def _units(amount: str) -> int:
    """As `scaled`, of decimal text; a call states the same amount in several measures."""
    return scaled(Decimal(amount))


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
