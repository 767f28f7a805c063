"""What the causes that move money and no tokens make in a month: the window's amounts taken for 30 days. An extrapolation,
said as one; of less than a day of data nothing is extrapolated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

Document = dict[str, Any]

MONTH_DAYS = 30
MONEY_ALONE = frozenset(
    {
        "price_differs", "price_tier", "price_hours", "price_missing", "charge_differs", "batch_charged",
        "service_tier_charged", "special_rates", "cached_at_full_price", "model_substituted",
    }
)  # fmt: skip
"""Causes that go on for as long as prices and settings stay as they are. That of `price_missing` has no amount."""

_DAY_SECONDS = Decimal(86_400)
_PLACES = Decimal("0.000001")


def with_pace(document: Document) -> Document:
    """The report with `pace`, the days of data it was extrapolated from (null: too few), and `per_month`, amounts by currency, in
    every finding of its rows; null where nothing is extrapolated: causes of tokens, and rows of single days."""
    days = _days(document)
    of_rows = None if "day" in document["by"] else days
    return {
        **document,
        "pace": None if days is None else {"days": float(round(days, 2)), "month_days": MONTH_DAYS},
        "total": _row(document["total"], days),
        "rows": [_row(row, of_rows) for row in document["rows"]],
        "days": [_row(row, None) for row in document["days"]],
    }


def monthly(document: Document) -> list[Document]:
    """The total's findings with an amount per month, the dearest first."""
    found = [item for item in document["total"]["findings"] if item.get("per_month")]
    return sorted(found, key=lambda item: -max(abs(Decimal(amount)) for amount in item["per_month"].values()))


def _days(document: Document) -> Decimal | None:
    """Of the window's time, that in which something could be recorded: from the ledger's first call, until the report was
    made."""
    window, first = document["window"], document["completeness"]["ledger_first"]
    since = max(map(_moment, filter(None, (window["since"], first))))
    until = min(_moment(window["until"]), _moment(document["made_at"]))
    days = Decimal((until - since).total_seconds()) / _DAY_SECONDS
    return days if days >= 1 else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _row(row: Document, days: Decimal | None) -> Document:
    return {**row, "findings": [_finding(item, days) for item in row["findings"]]}


def _finding(finding: Document, days: Decimal | None) -> Document:
    if days is None or finding["code"] not in MONEY_ALONE:
        return {**finding, "per_month": None}
    return {**finding, "per_month": _amounts(finding["cost"].items(), days)}


def _amounts(costs: Iterable[tuple[str, str]], days: Decimal) -> dict[str, str]:
    found = {}
    for currency, amount in costs:
        month = (Decimal(amount) * MONTH_DAYS / days).quantize(_PLACES)
        found[currency] = format(month.normalize(), "f")
    return found
