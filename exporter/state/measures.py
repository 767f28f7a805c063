"""What one call adds to the sums of the ledger, by the names of its measures. Pure, and on the way of every stored call.

Amounts are additive: of any set of calls they are the sums over them, and a call that is replaced takes back what it said. So
when a measure changes its meaning in a new version, a step of the state has to make the sums anew (`sums.fill`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

from exporter.compare.currencies import one_name

Document = dict[str, Any]
Measures = Counter[str]
"""Additive amounts by name: `calls`, `requests`, `verdict.<verdict>`, `<reading>.<tokens>`, `<reading>.cost.<currency>`,
`finding.<code>.<tokens>`, `verified.…`, `chosen.…`, `both.…` (see `measures`). `unsplit` are tokens known as a total alone. Money is in units of 10⁻¹⁰."""
Amounts = list[tuple[str, int]]
"""Measures in parts; a name may come more than once, and an amount may be 0."""

MONEY_SCALE = 10
"""Digits behind the point that are kept of each call's money: a tenth of a cached token's price, whatever the model."""

_READINGS = ("dify", "local", "vendor")
_PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")
_DIRECTIONS = ("input", "output")
_TOKENS = {
    name: tuple((part, f"{name}.{part}") for part in _PARTS)
    for reading in _READINGS
    for name in (reading, f"verified.{reading}")
}


def measures(document: Document) -> Measures:
    """What one call adds. `verified.*` are the numbers of the calls whose difference was judged: vendor − dify of these is
    their findings and their unexplained rest, to the token."""
    found: Measures = Counter()
    for name, amount in amounts(document):
        found[name] += amount
    return Counter({name: amount for name, amount in found.items() if amount})


def amounts(document: Document) -> Amounts:
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
    return {currency: amount_text(units) for currency, units in units_of(measures, prefix).items()}


def units_of(measures: Measures, prefix: str) -> dict[str, int]:
    """The same in the units that sums are kept in."""
    return {
        name.removeprefix(prefix): value
        for name, value in sorted(measures.items())
        if name.startswith(prefix)
    }


def finding_codes(measures: Measures) -> set[str]:
    """The findings that something was counted of."""
    return {name.split(".")[1] for name in measures if name.startswith("finding.")}


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
