"""Price books and moments for the tests of prices."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from exporter.clock import micros
from exporter.config import PriceSettings
from exporter.model import Tokens
from exporter.prices.book import PriceBook, price_book
from exporter.prices.entries import Priced, Unknown

MILLION = 1_000_000


def when(text: str) -> int:
    """A moment from ISO 8601 with an offset."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return micros(moment)


NOW = when("2026-11-20T12:00:00Z")


def entry(model: str = "*", currency: str = "USD", **rest: Any) -> dict[str, Any]:
    return {"model": model, "currency": currency, **rest}


def own_book(*entries: dict[str, Any], list_prices: bool = False, **rest: Any) -> PriceBook:
    """A book of the operator's entries, as the settings give them."""
    return price_book(PriceSettings(entries=list(entries), list_prices=list_prices, **rest))


LIST = own_book(list_prices=True)


def cost(
    book: PriceBook, model: str, tokens: Tokens, *, provider: str | None = None, at: int = NOW, **rest: Any
) -> tuple[Decimal, str]:
    """Amount and currency of what must have a price."""
    found = book.price(((provider, model),), at, tokens, **rest)
    assert isinstance(found, Priced), found
    return found.money.amount, found.money.currency


def reason(
    book: PriceBook, model: str, tokens: Tokens, *, provider: str | None = None, at: int = NOW, **rest: Any
) -> str:
    """Why there is no price."""
    found = book.price(((provider, model),), at, tokens, **rest)
    assert isinstance(found, Unknown), found
    return found.reason
