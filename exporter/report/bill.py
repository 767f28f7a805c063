"""The vendor's own sums over stretches of time beside what the ledger accounts for in the same time and scope.

A bill says nothing of a single call, so it is only ever compared in sums. What the ledger accounts for is the vendor's count
of a call where we have it, else Dify's, else our own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from exporter.clock import rfc3339
from exporter.compare.currencies import one_name
from exporter.report.gather import Foreign, Line
from exporter.report.modelnames import same_model_key
from exporter.report.scopes import Scope, scope_of
from exporter.report.table import percent
from exporter.report.window import Window
from exporter.state.sums import Group, Measures, costs_of
from exporter.vendor.pullers.base import Bucket

Document = dict[str, Any]
_PARTS = ("input", "output")
UNTOLD = ""
"""The model of usage whose model nobody told."""
_DETAILS = ("cache_read", "cache_write", "reasoning")


@dataclass(slots=True)
class _Billed:
    """What a source's stretches add up to for one scope and model. `unknown` names what at least one of them did not tell,
    of those that tell counts at all: rows of money alone stand beside them."""

    sums: Counter[str] = field(default_factory=Counter)
    money: dict[str, Decimal] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    cut: Counter[str] = field(default_factory=Counter)
    cut_money: dict[str, Decimal] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    def add(self, bucket: Bucket) -> None:
        self.keys.add(bucket.key or "")
        _add_cost(self.money, bucket)
        counts = _counts(bucket)
        if all(value is None for value in counts.values()):
            return
        for name, value in counts.items():
            self.sums[name] += value or 0
            (self.unknown if value is None else self.known).add(name)

    def cut_off(self, bucket: Bucket) -> None:
        """A stretch that lies only partly in the window."""
        _add_cost(self.cut_money, bucket)
        self.cut.update({part: getattr(bucket.tokens, part) or 0 for part in _PARTS})


def _counts(bucket: Bucket) -> dict[str, int | None]:
    tokens = {name: getattr(bucket.tokens, name) for name in (*_PARTS, *_DETAILS)}
    return {**tokens, "requests": bucket.requests}


def _add_cost(money: dict[str, Decimal], bucket: Bucket) -> None:
    if bucket.cost is not None:
        currency = one_name(bucket.currency or "")
        money[currency] = money.get(currency, Decimal(0)) + bucket.cost


def bills(
    buckets: Iterable[Bucket],
    lines: Sequence[Line],
    other: Sequence[Foreign],
    window: Window,
    known: Sequence[Scope],
    tolerance_percent: float,
) -> list[Document]:
    """One document per source and scope, with its models. Only stretches that lie wholly in the window count; what stands in
    those that its border cuts is told as `cut_by_border`."""
    found: dict[tuple[str, str], dict[str, _Billed]] = defaultdict(lambda: defaultdict(_Billed))
    scopes: dict[str, Scope | None] = {}
    for bucket in buckets:
        scope = scope_of(known, bucket.source, bucket.key or "", bucket.model or "")
        name = scope.name if scope else ""
        scopes[name] = scope
        billed = found[(bucket.source, name)][same_model_key(bucket.model or "")]
        if bucket.starts_at >= window.since and bucket.ends_at <= window.until:
            billed.add(bucket)
        else:
            billed.cut_off(bucket)
    counting = {
        source for (source, _), models in found.items() if any(item.known for item in models.values())
    }
    compared = []
    for (source, name), models in sorted(found.items()):
        bill = _bill(source, name, scopes[name], models, lines, other, known)
        bill["verdict"] = _verdict(bill, tells_counts=source in counting, tolerance_percent=tolerance_percent)
        compared.append(bill)
    return compared


def _bill(
    source: str,
    name: str,
    scope: Scope | None,
    models: dict[str, _Billed],
    lines: Sequence[Line],
    other: Sequence[Foreign],
    known: Sequence[Scope],
) -> Document:
    is_foreign = scope is not None and scope.is_foreign
    accounted = {} if is_foreign else _accounted(source, scope, set(models), lines, known)
    elsewhere = _elsewhere(source, scope, set(models), other, known)
    names = sorted(set(models) | set(accounted), key=lambda model: (-_size(models.get(model)), model))
    rows = [
        _compared(
            model,
            models.get(model, _Billed()),
            accounted.get(model, Counter()),
            elsewhere.get(model, Counter()),
        )
        for model in names
    ]
    everything, all_accounted, all_elsewhere = _Billed(), Counter[str](), Counter[str]()
    for billed in models.values():
        _merge(everything, billed)
    for measures in accounted.values():
        all_accounted.update(measures)
    for sums in elsewhere.values():
        all_elsewhere.update(sums)
    summed = _compared("", everything, all_accounted, all_elsewhere)
    del summed["model"]
    return {
        "source": source,
        "scope": name or None,
        "mapped": scope is not None,
        "foreign": is_foreign,
        "keys": sorted(filter(None, everything.keys)),
        **summed,
        "verdict": None,
        "models": rows,
    }


def _size(billed: _Billed | None) -> int:
    return 0 if billed is None else billed.sums["input"] + billed.sums["output"]


def _merge(into: _Billed, billed: _Billed) -> None:
    into.sums.update(billed.sums)
    into.cut.update(billed.cut)
    into.known |= billed.known
    into.unknown |= billed.unknown
    into.keys |= billed.keys
    for whole, part in ((into.money, billed.money), (into.cut_money, billed.cut_money)):
        for currency, amount in part.items():
            whole[currency] = whole.get(currency, Decimal(0)) + amount


def _accounted(
    source: str, scope: Scope | None, billed_models: set[str], lines: Sequence[Line], known: Sequence[Scope]
) -> dict[str, Measures]:
    """The ledger's side by model. Of a scope: its apps' calls of the models that the source sells, or all of them where it
    tells no model. Without one: all calls of those models whose key no scope claims."""
    found: dict[str, Measures] = defaultdict(Counter)
    tells_no_model = billed_models == {UNTOLD}
    for line in lines:
        group = line.group
        model = UNTOLD if tells_no_model and scope is not None else same_model_key(group.model)
        if model in billed_models and _is_paid_from(source, scope, group, known):
            found[model].update(line.measures)
    return dict(found)


def _is_paid_from(source: str, scope: Scope | None, group: Group, known: Sequence[Scope]) -> bool:
    """A call's own key decides where it is known and a scope is about it; else the scope's apps do."""
    if group.key:
        by_key = next(
            (item for item in known if item.key != "*" and item.takes(source, group.key, group.model)), None
        )
        if by_key is not None:
            return by_key is scope
    if scope is not None:
        return not scope.is_foreign and scope.holds(group)
    return not any(item.holds(group) for item in known if not item.is_foreign)


def _elsewhere(
    source: str,
    scope: Scope | None,
    billed_models: set[str],
    other: Sequence[Foreign],
    known: Sequence[Scope],
) -> dict[str, Counter[str]]:
    """What the gateways saw of others under the same keys: a part of the bill that is not Dify's."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for item in other:
        model = same_model_key(item.model)
        if not item.is_shared or model not in billed_models:
            continue
        if scope_of(known, source, item.key, item.model) is scope:
            found[model].update({"requests": item.requests, "input": item.input, "output": item.output})
    return dict(found)


def _compared(model: str, billed: _Billed, accounted: Measures, elsewhere: Counter[str]) -> Document:
    bill: Document = {
        name: billed.sums[name] if name in billed.known else None for name in ("requests", *_PARTS, *_DETAILS)
    }
    ledger = {name: accounted[f"chosen.{name}"] for name in ("requests", *_PARTS)}
    rest = {
        name: None if bill[name] is None else bill[name] - ledger[name] - elsewhere[name]
        for name in ("requests", *_PARTS)
    }
    return {
        "model": model,
        "bill": {**bill, "cost": _amounts(billed.money)},
        "not_told": sorted(billed.unknown),
        "ledger": {**ledger, "calls": accounted["calls"], "verified_calls": accounted["verified.calls"],
                   "dify": {part: accounted[f"dify.{part}"] for part in _PARTS},
                   "cost": costs_of(accounted, "chosen.cost.")},
        "seen_elsewhere": {name: elsewhere[name] for name in ("requests", *_PARTS)},
        "rest": rest,
        "rest_cost": _rest_cost(billed.money, costs_of(accounted, "chosen.cost.")),
        "rest_percent": percent(
            sum(abs(rest[part] or 0) for part in _PARTS), sum(bill[part] or 0 for part in _PARTS)
        ),
        "cut_by_border": {part: billed.cut[part] for part in _PARTS},
        "cut_cost_by_border": _amounts(billed.cut_money),
    }  # fmt: skip


def _amounts(money: dict[str, Decimal]) -> dict[str, str]:
    return {currency: format(amount.normalize(), "f") for currency, amount in sorted(money.items())}


def _rest_cost(billed: dict[str, Decimal], ledger: dict[str, str]) -> dict[str, str]:
    """In each currency that both sides know; an amount that one of them does not know leaves no rest."""
    return _amounts(
        {
            currency: amount - Decimal(ledger[currency])
            for currency, amount in billed.items()
            if currency in ledger
        }
    )


def _verdict(bill: Document, *, tells_counts: bool, tolerance_percent: float) -> str:
    """By tokens; by money where the source tells nothing else and every amount has its other side. Usage of no model and
    no scope cannot be compared with anything."""
    if bill["foreign"]:
        return "foreign"
    tells_models = any(row["model"] != UNTOLD for row in bill["models"])
    if not tells_models and not bill["mapped"]:
        return "unverified"
    if all(bill["bill"][part] is None for part in _PARTS):
        return "unverified" if tells_counts else _verdict_by_money(bill, tolerance_percent)
    share = bill["rest_percent"]
    return "within" if share is not None and share <= tolerance_percent else "above"


def _verdict_by_money(compared: Document, tolerance_percent: float) -> str:
    billed, rest = compared["bill"]["cost"], compared["rest_cost"]
    if not billed or set(billed) != set(rest) or any(compared["seen_elsewhere"].values()):
        return "unverified"
    is_within = all(
        abs(Decimal(rest[currency])) * 100 <= abs(Decimal(amount)) * Decimal(str(tolerance_percent))
        for currency, amount in billed.items()
    )
    return "within" if is_within else "above"


def stretches(buckets: Sequence[Bucket]) -> list[Document]:
    """How each report of a source cuts time, and how far it reaches: so that a gap in it can be seen."""
    found: dict[tuple[str, str], list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        found[(bucket.source, bucket.report)].append(bucket)
    return [
        {
            "source": source,
            "report": report,
            "first": rfc3339(min(item.starts_at for item in items)),
            "last": rfc3339(max(item.ends_at for item in items)),
            "shortest_seconds": min(item.ends_at - item.starts_at for item in items) // 1_000_000,
            "longest_seconds": max(item.ends_at - item.starts_at for item in items) // 1_000_000,
        }
        for (source, report), items in sorted(found.items())
    ]
