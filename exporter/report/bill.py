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
_DETAILS = ("cache_read", "cache_write", "reasoning")


@dataclass(slots=True)
class _Billed:
    """What a source's stretches add up to for one scope and model. `unknown` names what at least one of them did not tell."""

    sums: Counter[str] = field(default_factory=Counter)
    money: dict[str, Decimal] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    cut: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)

    def add(self, bucket: Bucket) -> None:
        self.keys.add(bucket.key or "")
        if bucket.cost is not None:
            currency = one_name(bucket.currency or "")
            self.money[currency] = self.money.get(currency, Decimal(0)) + bucket.cost
        if bucket.tokens.input is None and bucket.tokens.output is None:
            return
        for name in (*_PARTS, *_DETAILS):
            value = getattr(bucket.tokens, name)
            self.sums[name] += value or 0
            if value is None:
                self.unknown.add(name)
        self.sums["requests"] += bucket.requests or 0
        if bucket.requests is None:
            self.unknown.add("requests")


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
            billed.cut.update({part: getattr(bucket.tokens, part) or 0 for part in _PARTS})
    return [
        _bill(source, name, scopes[name], models, lines, other, known, tolerance_percent)
        for (source, name), models in sorted(found.items())
    ]


def _bill(
    source: str,
    name: str,
    scope: Scope | None,
    models: dict[str, _Billed],
    lines: Sequence[Line],
    other: Sequence[Foreign],
    known: Sequence[Scope],
    tolerance_percent: float,
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
        "verdict": "foreign" if is_foreign else _verdict(summed, tolerance_percent),
        "models": rows,
    }


def _size(billed: _Billed | None) -> int:
    return 0 if billed is None else billed.sums["input"] + billed.sums["output"]


def _merge(into: _Billed, billed: _Billed) -> None:
    into.sums.update(billed.sums)
    into.cut.update(billed.cut)
    into.unknown |= billed.unknown
    into.keys |= billed.keys
    for currency, amount in billed.money.items():
        into.money[currency] = into.money.get(currency, Decimal(0)) + amount


def _accounted(
    source: str, scope: Scope | None, billed_models: set[str], lines: Sequence[Line], known: Sequence[Scope]
) -> dict[str, Measures]:
    """The ledger's side by model. Of a scope: its apps' calls of the models that the source sells. Without one: all calls of
    those models whose key no scope claims."""
    found: dict[str, Measures] = defaultdict(Counter)
    for line in lines:
        group = line.group
        model = same_model_key(group.model)
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
        name: None if name in billed.unknown and not billed.sums[name] else billed.sums[name]
        for name in ("requests", *_PARTS, *_DETAILS)
    }
    ledger = {name: accounted[f"chosen.{name}"] for name in ("requests", *_PARTS)}
    rest = {
        name: None if bill[name] is None else bill[name] - ledger[name] - elsewhere[name]
        for name in ("requests", *_PARTS)
    }
    return {
        "model": model,
        "bill": {**bill, "cost": {c: format(a.normalize(), "f") for c, a in sorted(billed.money.items())}},
        "ledger": {**ledger, "calls": accounted["calls"], "verified_calls": accounted["verified.calls"],
                   "dify": {part: accounted[f"dify.{part}"] for part in _PARTS},
                   "cost": costs_of(accounted, "chosen.cost.")},
        "seen_elsewhere": {name: elsewhere[name] for name in ("requests", *_PARTS)},
        "rest": rest,
        "rest_percent": percent(
            sum(abs(rest[part] or 0) for part in _PARTS), sum(bill[part] or 0 for part in _PARTS)
        ),
        "cut_by_border": {part: billed.cut[part] for part in _PARTS},
    }  # fmt: skip


def _verdict(compared: Document, tolerance_percent: float) -> str:
    if all(compared["bill"][part] is None for part in _PARTS):
        return "unverified"
    share = compared["rest_percent"]
    return "within" if share is not None and share <= tolerance_percent else "above"


def stretches(buckets: Sequence[Bucket]) -> list[Document]:
    """How each source cuts time, and how far it reaches: so that a gap in it can be seen."""
    found: dict[str, list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        found[bucket.source].append(bucket)
    return [
        {
            "source": source,
            "first": rfc3339(min(item.starts_at for item in items)),
            "last": rfc3339(max(item.ends_at for item in items)),
            "shortest_seconds": min(item.ends_at - item.starts_at for item in items) // 1_000_000,
            "longest_seconds": max(item.ends_at - item.starts_at for item in items) // 1_000_000,
        }
        for source, items in sorted(found.items())
    ]
