"""What an address asks for: filter, order, page and time, each checked. Raises NotUnderstood with words for the reader."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from starlette.datastructures import QueryParams

from exporter.clock import micros
from exporter.model import Micros, Verdict
from exporter.state import browse
from exporter.state.browse import Order, Place, Wanted

MOST_ROWS = 500
_DAY: Micros = 86_400 * 1_000_000


class NotUnderstood(ValueError):
    """The address asks for something that cannot be meant; `key` and `values` are words that say what is expected."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key, self.values = key, values


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days in UTC, the last included; None where the reader left it open."""

    first: date | None
    last: date | None

    @property
    def since(self) -> Micros | None:
        """Where the first day begins."""
        return None if self.first is None else begin_of(self.first)

    @property
    def until(self) -> Micros | None:
        """Where the last day ends."""
        return None if self.last is None else begin_of(self.last) + _DAY


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter as the reader gave it; empty means no restriction."""

    app: str
    model: str
    verdict: str
    order: Order
    days: Days

    def values(self) -> dict[str, str]:
        """As parts of an address."""
        return {
            "app": self.app,
            "model": self.model,
            "verdict": self.verdict,
            "since": str(self.days.first or ""),
            "until": str(self.days.last or ""),
            "sort": "" if self.order is Order.NEWEST else self.order.value,
        }

    @property
    def is_narrow(self) -> bool:
        """True when anything is left out."""
        return any(self.values().values())


def filter_of(asked: QueryParams) -> Filter:
    """The filter of a list of traces."""
    verdict = asked.get("verdict", "")
    if verdict and verdict not in list(Verdict):
        raise NotUnderstood("error.verdict", names=", ".join(Verdict))
    order = asked.get("sort") or Order.NEWEST
    if order not in list(Order):
        raise NotUnderstood("error.order", names=", ".join(Order))
    return Filter(asked.get("app", ""), asked.get("model", ""), verdict, Order(order), days_of(asked))


def days_of(asked: QueryParams) -> Days:
    """`since` and `until`, both days."""
    first, last = (_day(asked.get(name, "")) for name in ("since", "until"))
    if first is not None and last is not None and first > last:
        raise NotUnderstood("error.day")
    return Days(first, last)


def wanted(connection: sqlite3.Connection, asked: QueryParams, chosen: Filter, rows: int) -> Wanted:
    """The page of the ledger that is asked for. An app is an id or a name; a name may be that of several apps."""
    try:
        limit = int(asked.get("limit", rows))
        after = Place.parse(asked["before"]) if asked.get("before") else None
    except ValueError:
        raise NotUnderstood("error.limit", most=MOST_ROWS) from None
    if not 1 <= limit <= MOST_ROWS:
        raise NotUnderstood("error.limit", most=MOST_ROWS)
    return Wanted(
        limit,
        apps=app_ids(connection, chosen.app),
        model=chosen.model or None,
        verdict=chosen.verdict or None,
        since=chosen.days.since,
        until=chosen.days.until,
        order=chosen.order,
        after=after,
    )


def app_ids(connection: sqlite3.Connection, app: str) -> tuple[str, ...]:
    """The apps of this id or name; what is no known name is taken for an id."""
    if not app:
        return ()
    named = tuple(app_id for app_id, name in browse.apps(connection).items() if name == app)
    return named or (app,)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotUnderstood("error.day") from None


def begin_of(day: date) -> Micros:
    """Midnight, UTC."""
    return micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def day_at(moment: Micros) -> date:
    """The day in UTC on which this moment lies."""
    return date(1970, 1, 1) + timedelta(days=moment // _DAY)
