"""Calls with vendor requests and prices by hand, judged as the pipeline judges them, for the tests of money."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from exporter.compare.money import unexplained_money
from exporter.compare.verdict import assess
from exporter.model import Assessment, Call, DifyReading, Money, Tokens
from exporter.prices.book import PriceBook
from exporter.prices.costs import costs
from exporter.vendor.matching.match import Match
from exporter.vendor.reading import Owned, charged, vendor_reading
from exporter.vendor.record import VendorCall
from tests.prices.books import NOW


def usd(amount: str, currency: str = "USD") -> Money:
    return Money(Decimal(amount), currency)


def request(given: int | None, written: int | None, model: str = "gpt-4o-mini", **rest: Any) -> VendorCall:
    """One vendor request; `read`, `wrote` and `reasoning` are parts of its tokens."""
    parts = {name: rest.pop(name, None) for name in ("read", "wrote", "reasoning")}
    known: dict[str, Any] = {
        "source": "gw", "id": "r", "started_at": NOW, "ended_at": NOW + 1, "operation": "chat", "model": model,
        "status": "ok", "tokens": Tokens(given, written, *parts.values()),
    }  # fmt: skip
    return VendorCall(**{**known, **rest})


def judged_with(
    book: PriceBook, about: Call, recorded: DifyReading | None, *requests: VendorCall
) -> Assessment:
    """The call with these requests as its own; without any it has no vendor reading."""
    owned, charges = Owned(Match(requests, "response_text", 0.99)), ()
    if requests:
        charges = charged(owned, book, about)
    return assess(
        about,
        recorded,
        None,
        vendor_reading(owned, None, charges) if requests else None,
        tolerance_percent=5.0,
        evidence_expected=False,
        costs=costs(book, about, requests, charges),
    )


def money(found: Assessment) -> dict[str, Decimal | None]:
    """The findings' costs by their code."""
    return {item.code: None if item.cost is None else item.cost.amount for item in found.findings}


def millionths(amounts: dict[str, Decimal | None]) -> dict[str, Decimal | None]:
    return {
        code: None if amount is None else amount.scaleb(6).normalize() for code, amount in amounts.items()
    }


def rest(found: Assessment) -> Decimal | None:
    """What no finding holds, in millionths."""
    left = unexplained_money(found)
    return None if left is None else left.amount.scaleb(6)


def words(found: Assessment, code: str) -> str:
    [item] = [item for item in found.findings if item.code == code]
    return item.evidence


def total(amounts: Sequence[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), start=Decimal(0))
