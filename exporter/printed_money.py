"""How money of ledger documents looks on a terminal: amounts of the three readings, who made them, what findings cost.

What is not known is a dash, never 0. Documents of before there were prices lack `cost_from` and the findings' cost.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Document = dict[str, Any]

SOURCES = ("dify", "local", "vendor")
BOOK_MARK = "*"
FOOTNOTE = f"{BOOK_MARK} made by the price book; `explain` names its entry"


def costs(readings: Document) -> str:
    """`0.0014 / 0.0009* / 0.0009* USD`: dify, local and vendor; a dash for what has no price. A relayed vendor reading has
    none of its own."""
    known = {source: _own(readings[source]) for source in SOURCES}
    currencies = {reading["currency"] for reading in known.values() if reading is not None}
    if not currencies:
        return "–"
    is_one = len(currencies) == 1
    words = " / ".join(_marked(reading, is_alone=not is_one) for reading in known.values())
    return f"{words} {currencies.pop()}" if is_one else words


def is_by_book(documents: list[Document]) -> bool:
    """Whether any amount that `costs` shows was made by the price book."""
    return any(BOOK_MARK in costs(document["readings"]) for document in documents)


def amount(document: Document, *, signed: bool = False) -> str:
    """`0.0014 USD` of a reading, finding or rest; with its sign where asked; a dash without."""
    cost = document.get("cost")
    if cost is None:
        return "–"
    sign = "+" if signed and not cost.startswith("-") and float(cost) else ""
    return f"{sign}{cost} {document['currency']}"


def short(amount: str | Decimal, *, signed: bool = False) -> str:
    """`12.3457`: four digits behind the point, and of an amount too small for these the first two that are not 0."""
    exact = Decimal(amount)
    places = max(4, 1 - exact.adjusted()) if exact else 4
    return format(exact, f"{'+' if signed else ''}z,.{places}f")


def origins(readings: Document) -> list[str]:
    """Who made the amounts of a call, a line each: the source itself, or an entry of the price book; and what has none."""
    made: dict[str, list[str]] = {}
    missing = []
    for source in SOURCES:
        reading = readings[source]
        if reading is None or (source == "vendor" and not reading["independent"]):
            continue
        if reading["cost"] is None:
            missing.append(source)
        else:
            made.setdefault(reading.get("cost_from") or _itself(source, reading), []).append(source)
    lines = [f"cost of {' and '.join(sources)}: {origin}" for origin, sources in made.items()]
    if missing:
        lines.append(f"no price for {' and '.join(missing)}; `dify-exporter doctor` says why")
    return lines


def _own(reading: Document | None) -> Document | None:
    if reading is None or reading["cost"] is None or not reading.get("independent", True):
        return None
    return reading


def _marked(reading: Document | None, *, is_alone: bool) -> str:
    if reading is None:
        return "–"
    mark = BOOK_MARK if reading.get("cost_from") else ""
    return f"{reading['cost']}{mark}" + (f" {reading['currency']}" if is_alone else "")


def _itself(source: str, reading: Document) -> str:
    if source != "dify":
        return "as charged"
    rates = reading.get("unit_prices")
    if rates is None or rates["input"] == rates["output"] == "0":
        return "as recorded"
    per = f"{rates['per']:,}"
    return f"as recorded, at {rates['input']} for input and {rates['output']} for output, {rates['currency']} per {per} tokens"
