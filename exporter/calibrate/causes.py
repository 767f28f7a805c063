"""Which one cause fits the differences of a small sample best, from the plainest to the least sure.

Where findings of the calls explain them, the largest finding is the cause. Else the shape decides: prompts of different length
tell a multiplier (the difference grows with the text) from an addition (it does not), and kinds of text tell a tokenizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.calibrate.statistics import Fit, line
from exporter.compare.catalog import FINDINGS

Pair = tuple[int, int]
_PARTS = ("input", "output")
_MOSTLY = 0.8
_EQUAL_FACTOR = 0.02
_EQUAL_TOKENS = 2.0
_SMALL_OFFSET = 8.0
"""A chat format's few tokens per message, multiplied with the rest."""
_STRAIGHT = 0.03
"""A point further from the line than this share of the largest count does not lie on it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: what each source counted (input, output) over all calls that answered it, and the findings' amounts."""

    prompt: str
    kind: str
    record_id: str
    verdict: str
    dify: Pair | None = None
    local: Pair | None = None
    vendor: Pair | None = None
    findings: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """What fits, in words, what was seen, and what to do. `code` is a finding's or one of this module's."""

    code: str
    words: str
    evidence: str
    advice: str


def likely_cause(samples: Sequence[Sample]) -> Cause:
    """The cause that fits these runs best; `agree` when there is nothing to explain."""
    if not samples:
        return Cause("no_records", "The ledger has none of the runs.", "", _NO_RECORDS)
    judged = [item for item in samples if item.vendor is not None]
    if not judged:
        return _without_vendor(samples)
    found = _by_findings(judged)
    if found is not None:
        return found
    return (
        _shape(judged, "Dify", lambda item: item.dify)
        or _shape(judged, "our own count", lambda item: item.local)
        or (Cause("agree", "All three agree.", f"{len(judged)} runs", "Nothing to do."))
    )


_NO_RECORDS = "Check that the exporter reads the Dify that was asked (dify.database.url) and that `dify-exporter run` works."
_NO_EVIDENCE = (
    "Configure a vendor source (docs/evidence.md), or pull the vendor's usage and compare with `report`."
)


def _without_vendor(samples: Sequence[Sample]) -> Cause:
    shape = _shape(
        samples, "our own count", lambda item: item.local, of=lambda item: item.dify, name="Dify's number"
    )
    seen = f"{len(samples)} runs, none with the vendor's own number"
    if shape is None:
        return Cause(
            "no_vendor_evidence",
            "Dify and our own count agree; the vendor was not heard.",
            seen,
            _NO_EVIDENCE,
        )
    return Cause(
        shape.code, f"{shape.words} The vendor was not heard.", f"{seen}; {shape.evidence}", _NO_EVIDENCE
    )


def _by_findings(samples: Sequence[Sample]) -> Cause | None:
    """The largest finding, when findings explain most of a difference that is there."""
    size = sum(
        abs(vendor - dify)
        for item in samples
        for vendor, dify in zip(item.vendor or (0, 0), item.dify or (0, 0), strict=True)
    )
    amounts: Counter[str] = Counter()
    for item in samples:
        for code, given, answered in item.findings:
            amounts[code] += abs(given) + abs(answered)
    if not size or sum(amounts.values()) < _MOSTLY * size:
        return None
    code, amount = amounts.most_common(1)[0]
    words = FINDINGS[code]
    runs = sum(any(found == code for found, *_ in item.findings) for item in samples)
    return Cause(
        code, words.means, f"{amount:,} of {size:,} tokens, in {runs} of {len(samples)} runs", words.advice
    )


def _shape(
    samples: Sequence[Sample],
    against: str,
    base: Callable[[Sample], Pair | None],
    of: Callable[[Sample], Pair | None] = lambda item: item.vendor,
    name: str = "the vendor's number",
) -> Cause | None:
    """How `of` follows `base` over the prompts, of the input first; None where they are equal."""
    for place, part in enumerate(_PARTS):
        known = [(item, base(item), of(item)) for item in samples]
        pairs = [(item, left[place], right[place]) for item, left, right in known if left and right]
        if pairs and not _is_equal(pairs):
            return _named(pairs, part, against, name)
    return None


def _is_equal(pairs: Sequence[tuple[Sample, int, int]]) -> bool:
    return all(abs(right - left) <= max(_EQUAL_TOKENS, _EQUAL_FACTOR * left) for _, left, right in pairs)


def _named(pairs: Sequence[tuple[Sample, int, int]], part: str, against: str, name: str) -> Cause:
    fit = line([(left, right) for _, left, right in pairs])
    if fit is not None and fit.largest_rest <= max(
        _EQUAL_TOKENS, _STRAIGHT * max(right for *_, right in pairs)
    ):
        return _straight(fit, part, against, name)
    ratios = ", ".join(f"{kind} ×{ratio:.2f}" for kind, ratio in _by_kind(pairs))
    if part == "output":
        return Cause(
            "output_differs", f"The output of {name} differs from {against} without a pattern.", ratios,
            "Look for reasoning tokens, stopped answers and retries: `dify-exporter explain` on the runs named below.",
        )  # fmt: skip
    return Cause(
        "by_kind_of_text", f"How far {name} is from {against} depends on the kind of text: another tokenizer.", ratios,
        "Name the model's family in `models`, and ask the vendor which tokenizer counts.",
    )  # fmt: skip


def _straight(fit: Fit, part: str, against: str, name: str) -> Cause:
    seen = f"{part}: {name} = {fit.factor:.3f} × {against} {fit.offset:+.1f} tokens"
    if abs(fit.factor - 1) <= _EQUAL_FACTOR:
        return Cause(
            "constant_addition", f"The same number of tokens stands between {against} and {name} in every request.", seen,
            "Something adds to each request: a system prompt or a tool list of the gateway, or the vendor's chat format.",
        )  # fmt: skip
    if abs(fit.offset) <= _SMALL_OFFSET:
        return Cause(
            "constant_ratio", f"{name.capitalize()} is a constant multiple of {against}.", seen,
            "Look for a billing ratio at the gateway (group or model ratio), or a wrong family in `models`.",
        )  # fmt: skip
    return Cause(
        "ratio_and_addition", f"{name.capitalize()} grows with {against} and adds a constant.", seen,
        "Look for a billing ratio and for something that adds to each request.",
    )  # fmt: skip


def _by_kind(pairs: Sequence[tuple[Sample, int, int]]) -> list[tuple[str, float]]:
    left_of, right_of = Counter[str](), Counter[str]()
    for item, left, right in pairs:
        left_of[item.kind] += left
        right_of[item.kind] += right
    return [(kind, right_of[kind] / left_of[kind]) for kind in sorted(left_of) if left_of[kind]]
