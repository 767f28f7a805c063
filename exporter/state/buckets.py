"""Usage that a vendor tells only per stretch of time: what each source says now, and everything it said before.

A source's latest word is what is added up. What it said earlier stays as a revision, with the time from which and until
which it stood; what a second reading of a stretch does not tell any more leaves the sums the same way.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from exporter.clock import rfc3339
from exporter.model import Micros, Tokens
from exporter.vendor.pullers.base import Bucket, Told

Document = dict[str, object]
_IDENTITY = "source, report, starts_at, ends_at, model, key, part"
_NUMBERS = "requests, input, output, cache_read, cache_write, reasoning, cost, currency"
_SAME = " AND ".join(f"{name} = ?" for name in _IDENTITY.split(", "))
_LONGEST: Micros = 32 * 86_400 * 1_000_000
"""No stretch is longer than a month."""


def put(
    connection: sqlite3.Connection, buckets: Iterable[Bucket], now: Micros, told: Iterable[Told] = ()
) -> None:
    """Store what a source says now. `told` are stretches that it told whole: rows of the same report that touch them and
    are not among `buckets` are not true any more."""
    kept = set()
    for item in buckets:
        identity = _identity(item)
        kept.add(identity)
        numbers = _numbers(item)
        known = connection.execute(f"SELECT {_NUMBERS} FROM usage_buckets WHERE {_SAME}", identity).fetchone()
        if known == numbers:
            continue
        if known is not None:
            _retire(connection, identity, now)
        connection.execute(
            f"INSERT INTO usage_buckets ({_IDENTITY}, {_NUMBERS}, seen_at) VALUES ({', '.join('?' * 16)})",
            (*identity, *numbers, now),
        )
    for stretch in told:
        rows = connection.execute(
            f"SELECT {_IDENTITY} FROM usage_buckets WHERE source = ? AND report = ? AND starts_at < ? AND ends_at > ?",
            (stretch.source, stretch.report, stretch.until, stretch.since),
        ).fetchall()
        for identity in rows:
            if identity not in kept:
                _retire(connection, identity, now)


def _retire(connection: sqlite3.Connection, identity: tuple[object, ...], now: Micros) -> None:
    """What stands there becomes a revision."""
    connection.execute(
        f"INSERT OR REPLACE INTO usage_revisions ({_IDENTITY}, {_NUMBERS}, seen_at, replaced_at)"
        f" SELECT {_IDENTITY}, {_NUMBERS}, seen_at, ? FROM usage_buckets WHERE {_SAME}",
        (now, *identity),
    )
    connection.execute(f"DELETE FROM usage_buckets WHERE {_SAME}", identity)


def _identity(item: Bucket) -> tuple[object, ...]:
    return (
        item.source,
        item.report,
        item.starts_at,
        item.ends_at,
        item.model or "",
        item.key or "",
        item.group,
    )


def _numbers(item: Bucket) -> tuple[object, ...]:
    tokens = item.tokens
    return (
        item.requests, tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.reasoning,
        None if item.cost is None else _amount_text(item.cost), item.currency,
    )  # fmt: skip


def _amount_text(amount: Decimal) -> str:
    """The same text for the same amount, however many zeros the source wrote."""
    return format(amount.normalize(), "f") if amount else "0"


def between(connection: sqlite3.Connection, since: Micros, until: Micros) -> Iterator[Bucket]:
    """The stretches that touch this time, those that its borders cut too."""
    rows = connection.execute(
        f"SELECT {_IDENTITY}, {_NUMBERS} FROM usage_buckets WHERE starts_at > ? AND ends_at > ? AND starts_at < ?"
        " ORDER BY source, starts_at, report, model, key, part",
        (since - _LONGEST, since, until),
    )
    for source, report, starts_at, ends_at, model, key, part, requests, *tokens, cost, currency in rows:
        yield Bucket(
            source, starts_at, ends_at, model or None, key or None, Tokens(*tokens), requests,
            None if cost is None else Decimal(cost), currency, part, report,
        )  # fmt: skip


def sums(connection: sqlite3.Connection, since: Micros | None, until: Micros | None) -> list[Document]:
    """The usage of the stretches that lie in this time, summed per source, report, model and key. `cost` is decimal text."""
    names = ("source", "report", "model", "key", "currency", "requests", "input", "output", "since", "until")
    bounds = (since if since is not None else -(2**62), until if until is not None else 2**62)
    costs = _costs(connection, bounds)
    rows = connection.execute(
        "SELECT source, report, model, key, coalesce(currency, ''), sum(requests), sum(input), sum(output), min(starts_at),"
        " max(ends_at) FROM usage_buckets WHERE starts_at >= ? AND ends_at <= ? GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 3, 4, 2, 5",
        bounds,
    )
    found = []
    for row in rows:
        cost = costs.get(row[:5])
        item: Document = dict(zip(names, row, strict=True))
        found.append(item | {
            "model": row[2] or None, "key": row[3] or None, "currency": row[4] or None,
            "cost": None if cost is None else _amount_text(cost),
            "since": rfc3339(row[8]), "until": rfc3339(row[9]),
        })  # fmt: skip
    return found


def _costs(connection: sqlite3.Connection, bounds: tuple[Micros, Micros]) -> dict[tuple[str, ...], Decimal]:
    """Money is added up as decimals, not as the database's floats."""
    found: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    rows = connection.execute(
        "SELECT source, report, model, key, coalesce(currency, ''), cost FROM usage_buckets"
        " WHERE starts_at >= ? AND ends_at <= ? AND cost IS NOT NULL",
        bounds,
    )
    for *group, cost in rows:
        found[tuple(group)] += Decimal(cost)
    return found


def changes(connection: sqlite3.Connection, since: Micros | None, until: Micros | None) -> list[Document]:
    """Per source and report, the stretches of this time of which something else was told before: how many rows changed,
    how many are gone, and what that did to the sums (now − first told). Amounts by currency as decimal text."""
    bounds = (since if since is not None else -(2**62), until if until is not None else 2**62)
    rows = connection.execute(
        f"SELECT {', '.join('r.' + name for name in _IDENTITY.split(', '))}, r.replaced_at, r.input, r.output, r.cost,"
        " r.currency, b.seen_at IS NULL, b.input, b.output, b.cost, b.currency"
        f" FROM usage_revisions r LEFT JOIN usage_buckets b USING ({_IDENTITY})"
        " WHERE r.starts_at >= ? AND r.ends_at <= ? ORDER BY r.seen_at, r.replaced_at",
        bounds,
    )
    found: dict[tuple[str, str], _Change] = defaultdict(_Change)
    for row in rows:
        change = found[row[:2]]
        change.last = max(change.last, row[7])
        if row[:7] not in change.rows:
            change.rows.add(row[:7])
            change.add(row[2], _Word(*row[8:12]), None if row[12] else _Word(*row[13:]))
    return [
        {"source": source, "report": report, **item.document()}
        for (source, report), item in sorted(found.items())
    ]


@dataclass(frozen=True, slots=True)
class _Word:
    """What a source said of one row."""

    input: int | None
    output: int | None
    cost: str | None
    currency: str | None


@dataclass(slots=True)
class _Change:
    """What later words did to one report's sums."""

    rows: set[tuple[object, ...]] = field(default_factory=set)
    stretches: set[Micros] = field(default_factory=set)
    gone: int = 0
    input: int = 0
    output: int = 0
    money: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    last: Micros = 0

    def add(self, starts_at: Micros, first: _Word, now: _Word | None) -> None:
        """One row: what was said first and what is said now; None: nothing any more."""
        self.stretches.add(starts_at)
        self.gone += now is None
        for sign, word in ((-1, first), (1, now)):
            if word is None:
                continue
            self.input += sign * (word.input or 0)
            self.output += sign * (word.output or 0)
            if word.cost is not None:
                self.money[word.currency or ""] += sign * Decimal(word.cost)

    def document(self) -> Document:
        """In words of JSON."""
        return {
            "stretches": len(self.stretches),
            "rows": len(self.rows),
            "gone": self.gone,
            "input": self.input,
            "output": self.output,
            "cost": {name: _amount_text(amount) for name, amount in sorted(self.money.items()) if amount},
            "last_changed_at": rfc3339(self.last),
        }


def prune(connection: sqlite3.Connection, before: Micros) -> None:
    """Forget stretches that ended before that time, and what was said of them."""
    connection.execute("DELETE FROM usage_buckets WHERE ends_at < ?", (before,))
    connection.execute("DELETE FROM usage_revisions WHERE ends_at < ?", (before,))
