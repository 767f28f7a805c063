"""Rows of a report: sums of lines that share the asked-for dimensions, as documents; and the way from Dify's number to the
vendor's, cause by cause."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from exporter.compare.catalog import FINDINGS
from exporter.model import Verdict
from exporter.report.gather import Foreign, Line
from exporter.state.measures import finding_codes
from exporter.state.sums import Measures, amount_text, costs_of

Document = dict[str, Any]

DIMENSIONS: dict[str, Callable[[Line], str]] = {
    "day": lambda line: line.day,
    "workspace": lambda line: line.group.workspace_id,
    "app": lambda line: line.app,
    "provider": lambda line: line.group.provider,
    "model": lambda line: line.group.model,
    "key": lambda line: line.group.key,
    "kind": lambda line: line.group.kind,
}
_PARTS = ("input", "output")
_ALL_PARTS = (*_PARTS, "cache_read", "cache_write", "reasoning")


def rows(lines: Iterable[Line], by: Sequence[str], tolerance_percent: float) -> list[Document]:
    """One document for each combination of the dimensions, largest difference first; by day in order of time. A row by app has
    its `app_id`, empty where it is not known."""
    found: dict[tuple[str, ...], Measures] = defaultdict(Counter)
    ids: dict[str, str] = {}
    for line in lines:
        found[tuple(DIMENSIONS[name](line) for name in by)].update(line.measures)
        ids[line.app] = line.group.app_id
    documents = [
        {**_named(dict(zip(by, key, strict=True)), ids), **row(measures, tolerance_percent)}
        for key, measures in found.items()
    ]
    return sorted(documents, key=lambda item: _place(item, by))


def _named(dimensions: dict[str, str], ids: dict[str, str]) -> dict[str, str]:
    return {**dimensions, "app_id": ids[dimensions["app"]]} if "app" in dimensions else dimensions


def _place(document: Document, by: Sequence[str]) -> tuple[Any, ...]:
    difference = document["difference"]
    size = sum(abs(difference[part]) for part in _PARTS) if difference else -1
    return document.get("day", ""), -size, *(document[name] for name in by)


def row(measures: Measures, tolerance_percent: float) -> Document:
    """The numbers of a row. `difference` is vendor − dify over the `verified` calls, those whose difference could be judged:
    the findings and the unexplained rest add up to it. Calls without a vendor's number are in `dify` and `local` only."""
    verified = measures["verified.calls"]
    return {
        "calls": measures["calls"],
        "requests": measures["requests"],
        "verified_calls": verified,
        "verdicts": {verdict.value: measures[f"verdict.{verdict.value}"] for verdict in Verdict},
        **{name: reading(measures, name) for name in ("dify", "local", "vendor")},
        "verified": {name: reading(measures, f"verified.{name}") for name in ("dify", "local", "vendor")},
        "difference": _difference(measures) if verified else None,
        "findings": findings(measures),
        "unexplained": unexplained(measures) if verified else None,
        "money": _money(measures),
        "verdict": verdict_of(measures, tolerance_percent),
    }


def reading(measures: Measures, name: str) -> Document:
    """One reading's sums. `unsplit`: tokens of which only the total is known; `unknown_calls`: calls whose tokens it does not
    tell; `unpriced_calls`: calls whose cost it does not tell."""
    return {
        **{part: measures[f"{name}.{part}"] for part in _ALL_PARTS},
        "unsplit": measures[f"{name}.unsplit"],
        "unknown_calls": measures[f"{name}.unknown"] + measures[f"{name}.absent"],
        "cost": costs_of(measures, f"{name}.cost."),
        "unpriced_calls": measures[f"{name}.unpriced"],
    }


def is_known(row: Document, name: str) -> bool:
    """Whether a reading tells the tokens of any call of the row: sums of nothing known are not 0."""
    numbers = row[name]
    return numbers["unknown_calls"] < row["calls"] or any(numbers[part] for part in _PARTS)


def _difference(measures: Measures) -> Document:
    return {part: measures[f"verified.vendor.{part}"] - measures[f"verified.dify.{part}"] for part in _PARTS}


def findings(measures: Measures) -> list[Document]:
    """The causes that take a part of the difference, largest first; those that only inform come last."""
    codes = finding_codes(measures)
    found = [
        {
            "code": code,
            "title": title(code),
            "calls": measures[f"finding.{code}.calls"],
            **{part: measures[f"finding.{code}.{part}"] for part in _PARTS},
            "cost": costs_of(measures, f"finding.{code}.cost."),
        }
        for code in codes
    ]
    return sorted(found, key=lambda item: (-abs(item["input"]) - abs(item["output"]), item["code"]))


def title(code: str) -> str:
    """A finding's name in words; one that this version no longer knows is named by its code."""
    return FINDINGS[code].title if code in FINDINGS else code


def unexplained(measures: Measures) -> Document:
    """The rest that nobody can explain. `size` adds up the rests of single calls whatever their sign, so that they cannot
    hide each other; `percent` is that of the vendor's tokens."""
    vendor = sum(measures[f"verified.vendor.{part}"] for part in _PARTS)
    size = measures["unexplained.size"]
    return {
        "calls": measures["unexplained.calls"],
        **{part: measures[f"unexplained.{part}"] for part in _PARTS},
        "size": size,
        "percent": percent(size, vendor),
    }


def percent(part: int, whole: int) -> float | None:
    """A share in percent with two digits; None where there is nothing to be a share of, though there is a part."""
    if whole <= 0:
        return None if part else 0.0
    return round(100 * part / whole, 2)


def verdict_of(measures: Measures, tolerance_percent: float) -> str:
    """within | above | unverified (no vendor's number for any call)."""
    if not measures["verified.calls"]:
        return "unverified"
    share = unexplained(measures)["percent"]
    return "within" if share is not None and share <= tolerance_percent else "above"


def _money(measures: Measures) -> Document:
    """By currency, over the judged calls whose cost both sides tell in it: what Dify recorded, what the vendor took, what of the
    difference findings hold, and the rest."""
    currencies = sorted(
        name.removeprefix("both.calls.") for name in measures if name.startswith("both.calls.")
    )
    found: Document = {}
    for currency in currencies:
        dify, vendor, held = (
            measures[f"both.{name}.cost.{currency}"] for name in ("dify", "vendor", "findings")
        )
        found[currency] = {
            "calls": measures[f"both.calls.{currency}"],
            "dify": amount_text(dify),
            "vendor": amount_text(vendor),
            "difference": amount_text(vendor - dify),
            "findings": amount_text(held),
            "rest": amount_text(vendor - dify - held),
        }
    return found


def total(lines: Iterable[Line]) -> Measures:
    """The sum of all lines."""
    found: Measures = Counter()
    for line in lines:
        found.update(line.measures)
    return found


def waterfall(measures: Measures, other: Sequence[Foreign]) -> list[Document]:
    """Steps from Dify's number of the verified calls to the vendor's, and on to everything the vendor was asked for under the
    same keys. Each step has `step`, `input`, `output`; the amounts between `dify` and `vendor` add up to their difference."""
    steps = [_step("dify", measures, "verified.dify")]
    steps += [
        {
            "step": "finding",
            "code": item["code"],
            "title": item["title"],
            **{p: item[p] for p in _PARTS},
            "cost": item["cost"],
        }
        for item in findings(measures)
        if item["cost"] or any(item[part] for part in _PARTS)
    ]
    steps.append(_step("unexplained", measures, "unexplained"))
    steps.append(_step("vendor", measures, "verified.vendor"))
    shared = [item for item in other if item.is_shared]
    return steps + _beyond(measures, shared) if shared else steps


def _beyond(measures: Measures, shared: Sequence[Foreign]) -> list[Document]:
    """From the vendor's number of the judged calls to everything under the same keys."""
    rest = {part: measures[f"vendor.{part}"] - measures[f"verified.vendor.{part}"] for part in _PARTS}
    extra = {part: sum(getattr(item, part) for item in shared) for part in _PARTS}
    unjudged = [{"step": "unjudged", **rest}] if any(rest.values()) else []
    return [
        *unjudged,
        {"step": "foreign", "requests": sum(item.requests for item in shared), **extra},
        {"step": "billed", **{part: measures[f"vendor.{part}"] + extra[part] for part in _PARTS}},
    ]


def _step(name: str, measures: Measures, prefix: str) -> Document:
    return {"step": name, **{part: measures[f"{prefix}.{part}"] for part in _PARTS}}


def foreign_rows(other: Iterable[Foreign]) -> list[Document]:
    """Traffic that is not Dify's, per source, key and model, largest first."""
    found: dict[tuple[str, str, str, bool], Counter[str]] = defaultdict(Counter)
    for item in other:
        sums = found[(item.source, item.key, item.model, item.is_shared)]
        for name in ("requests", "input", "output", "uncounted"):
            sums[name] += getattr(item, name)
    documents = [
        {
            "source": source, "key": key, "model": model, "under_difys_keys": is_shared,
            **{name: sums[name] for name in ("requests", "input", "output", "uncounted")},
        }
        for (source, key, model, is_shared), sums in found.items()
    ]  # fmt: skip
    return sorted(documents, key=lambda item: (-item["input"] - item["output"], item["source"], item["key"]))
