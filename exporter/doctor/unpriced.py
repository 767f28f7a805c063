"""Which models have no price, and why: asked of the price book, because the ledger keeps amounts and no reasons."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

from exporter.clock import micros
from exporter.doctor.facts import Facts
from exporter.model import Tokens
from exporter.prices.book import price_book
from exporter.prices.entries import Unknown

_ONE_REQUEST = Tokens(1_000, 0)
_NAMED = 3
"""How many models are named of one reason."""


def unpriced_words(facts: Facts) -> list[str]:
    """`12 calls have no price`, then the models with the reason; empty where all have one. By the vendor's reading, by our own
    count where there is none."""
    found = _unpriced(facts)
    if not found:
        return []
    book = price_book(facts.settings.prices)
    at = micros(datetime.fromisoformat(facts.report["window"]["until"])) - 1
    by_reason: dict[str, list[str]] = defaultdict(list)
    for (provider, model), _ in found.most_common():
        price = (
            book.price(((provider or None, model),), at, _ONE_REQUEST)
            if model
            else Unknown("the model is not known")
        )
        reason = (
            price.reason
            if isinstance(price, Unknown)
            else "the tokens are not known, or in several currencies"
        )
        by_reason[reason].append("/".join(filter(None, (provider, model))) or "–")
    words = [f"{_some(models)}: {reason}" for reason, models in by_reason.items()]
    return [f"{found.total():,} calls have no price", *words]


def _unpriced(facts: Facts) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row in facts.report["rows"]:
        reading = row["vendor"] if row["verified_calls"] else row["local"]
        if reading["unpriced_calls"]:
            found[row["provider"], row["model"]] += reading["unpriced_calls"]
    return found


def _some(models: list[str]) -> str:
    more = len(models) - _NAMED
    return ", ".join(models[:_NAMED]) + (f" and {more} more" if more > 0 else "")
