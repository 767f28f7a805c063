"""What the tests of bills share: requests spread over days, and an intake into a real state file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from exporter.clock import micros
from exporter.config import BillSettings
from exporter.intake import Intake, Taken
from exporter.state import buckets
from exporter.state.store import Store
from exporter.vendor.bills.registry import build
from exporter.vendor.pullers.base import Bucket
from tests.contract.spending import Spent

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = 1_000_000


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def spending(count: int = 300, *, every_minutes: int = 37, until: datetime = NOON) -> list[Spent]:
    """Requests of several models and keys, one of which has no name, some cached, some in batches."""
    models = ("gpt-5-mini-2025-08-07", "claude-sonnet-5", "qwen-plus")
    return [
        Spent(
            at=seconds(until - timedelta(minutes=every_minutes * (number + 1))),
            model=models[number % 3],
            input=1_000 + 7 * number,
            output=100 + number,
            cached=(400 + number) * (number % 2),
            written=(50 + number) * (number % 5 == 0),
            key=("key_dify", "key_batch", None)[number % 3 if number % 7 else 2],
            place="proj_dify" if number % 4 else None,
            is_batch=number % 11 == 0,
            cents=Decimal(number * 3 + 1) / 1000,
        )
        for number in range(count)
    ]


class Account:
    """One entry of `bills` with a state file; `now` moves by hand. A new puller each time, as after a restart."""

    def __init__(self, store: Store, settings: BillSettings) -> None:
        self.store, self.settings, self.now = store, settings, NOON

    def take(self) -> Taken:
        """Pull until nothing is left. A failure is in `failed`."""
        intake = Intake(self.store, build([self.settings]), lambda: micros(self.now))
        return intake.take(at_once=True)

    def rows(self, report: str | None = None) -> list[Bucket]:
        """What is believed now."""
        with self.store.read() as connection:
            found = list(buckets.between(connection, 0, 2**60))
        return [item for item in found if report in (None, item.report)]

    def changes(self) -> list[dict[str, Any]]:
        """What was told otherwise before."""
        with self.store.read() as connection:
            return buckets.changes(connection, None, None)

    def refused(self) -> list[tuple[str, str]]:
        """Rows that were set aside."""
        with self.store.read() as connection:
            return connection.execute("SELECT place, reason FROM refused_evidence ORDER BY place").fetchall()


@contextmanager
def account(folder: Path, **settings: Any) -> Iterator[Account]:
    """An account with an empty state file."""
    store = Store(folder / "state.db")
    try:
        yield Account(store, BillSettings(**settings))
    finally:
        store.close()


def total(items: Iterable[Any], of: Callable[[Any], Any]) -> Any:
    """The sum of what is known."""
    return sum(value for item in items if (value := of(item)) is not None)
