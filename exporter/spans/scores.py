"""What a platform's score columns and charts show of a trace: a few numbers and a verdict, each with its reason.

Sums over all calls of the trace, hidden ones included, the way the trace's own page adds them up: findings and
unexplained rest together are vendor − dify. A score that cannot be known does not exist. Pure; never any prompt text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from exporter.model import AssessedTrace, Assessment, Verdict
from exporter.spans.readings import all_codes

_NAMESPACE = UUID("7d1f4c0a-9b1e-5b0c-8d53-2f6f0c9d4e11")
_DECIMALS = 6

DIFY = "tokens_dify_vs_vendor"
LOCAL = "tokens_local_vs_vendor"
UNEXPLAINED = "tokens_unexplained"
VERDICT = "token_verdict"
COST = "cost_dify_vs_vendor"
NAMES = (DIFY, LOCAL, UNEXPLAINED, VERDICT, COST)

_WORDS = {
    Verdict.AGREE: "Vendor and Dify are equal to the token",
    Verdict.EXPLAINED: "They differ, and the findings account for all of it",
    Verdict.UNEXPLAINED: "They differ, and a rest remains that no finding accounts for",
    Verdict.UNVERIFIED: "A call has no vendor evidence of its own",
    Verdict.PENDING: "Vendor evidence may still come",
}


class ScoreType(StrEnum):
    """How a platform shows a value."""

    NUMERIC = "NUMERIC"
    CATEGORICAL = "CATEGORICAL"


@dataclass(frozen=True, slots=True)
class Score:
    """One score of one trace. `exact` spells an amount of money that a rounding platform would lose."""

    id: str
    name: str
    type: ScoreType
    value: float | str
    comment: str
    exact: str | None = None


def score_id(trace_id: str, name: str) -> str:
    """The UUID of a trace's score: the same for every revision, so that a correction replaces it."""
    return str(uuid5(_NAMESPACE, f"{trace_id}/{name}"))


def scores(assessed: AssessedTrace) -> tuple[Score, ...]:
    """The scores that exist, in the order of `NAMES`; none for a trace without model calls.

    Ratios are dify ÷ vendor and local ÷ vendor (1 = equal), over the calls that an independent vendor reading speaks of.
    Money is vendor − dify in US dollars, over those of them that both sides priced so.
    """
    if not assessed.assessments:
        return ()
    judged = [each for each in assessed.assessments if each.unexplained_input is not None]
    found = [*_tokens(assessed, judged), _verdict(assessed), *_cost(assessed, judged)]
    return tuple(sorted(found, key=lambda score: NAMES.index(score.name)))


def _tokens(assessed: AssessedTrace, judged: Sequence[Assessment]) -> Iterator[Score]:
    if not judged:
        return
    vendor = sum(_vendor_total(each) for each in judged)
    rest_in = sum(each.unexplained_input or 0 for each in judged)
    rest_out = sum(each.unexplained_output or 0 for each in judged)
    difference = rest_in + rest_out + sum(f.input + f.output for each in judged for f in each.findings)
    over = _over(judged, assessed)
    if vendor:
        dify = vendor - difference
        why = f"Dify recorded {dify} tokens where the vendor counted {vendor}{_causes(judged)}, over {over}."
        yield _numeric(assessed, DIFY, dify / vendor, why)
    yield from _local(assessed, judged)
    findings = sum(len(each.findings) for each in judged)
    why = (
        f"{rest_in:+d} input and {rest_out:+d} output tokens of vendor − dify ({difference:+d}) remain after"
        f" {findings} findings, over {over}."
    )
    yield _numeric(assessed, UNEXPLAINED, rest_in + rest_out, why)


def _local(assessed: AssessedTrace, judged: Sequence[Assessment]) -> Iterator[Score]:
    counted = [
        (each, each.local, each.local.tokens.total)
        for each in judged
        if each.local is not None and each.local.tokens.total is not None
    ]
    vendor = sum(_vendor_total(each) for each, _, _ in counted)
    if not vendor:
        return
    local = sum(total or 0 for _, _, total in counted)
    accuracy = ", ".join(sorted({str(reading.accuracy) for _, reading, _ in counted}))
    over = _over([each for each, _, _ in counted], assessed)
    why = f"Our own count is {local} tokens ({accuracy}) where the vendor counted {vendor}, over {over}."
    yield _numeric(assessed, LOCAL, local / vendor, why)


def _verdict(assessed: AssessedTrace) -> Score:
    codes = all_codes(assessed)
    why = _WORDS[assessed.verdict] + (f" ({', '.join(codes)})." if codes else ".")
    trace_id = assessed.trace.trace_id
    return Score(score_id(trace_id, VERDICT), VERDICT, ScoreType.CATEGORICAL, str(assessed.verdict), why)


def _cost(assessed: AssessedTrace, judged: Sequence[Assessment]) -> Iterator[Score]:
    prices = [(each, prices) for each in judged if (prices := _prices(each)) is not None]
    if not prices:
        return
    vendor = sum((pair[0] for _, pair in prices), Decimal(0))
    dify = sum((pair[1] for _, pair in prices), Decimal(0))
    over = _over([each for each, _ in prices], assessed)
    why = f"The vendor asked for {_plain(vendor)} USD where Dify recorded {_plain(dify)} USD, over {over}."
    yield Score(
        score_id(assessed.trace.trace_id, COST),
        COST,
        ScoreType.NUMERIC,
        float(vendor - dify),
        why,
        f"{_plain(vendor - dify)} USD",
    )


def _prices(of: Assessment) -> tuple[Decimal, Decimal] | None:
    """What vendor and Dify said in US dollars. A call that Dify never recorded was recorded with nothing."""
    vendor = of.vendor.cost if of.vendor is not None else None
    if vendor is None or vendor.currency.upper() != "USD":
        return None
    if of.dify is None:
        return vendor.amount, Decimal(0)
    dify = of.dify.cost
    if dify is None or dify.currency.upper() != "USD":
        return None
    return vendor.amount, dify.amount


def _numeric(assessed: AssessedTrace, name: str, value: float, comment: str) -> Score:
    rounded = round(float(value), _DECIMALS)
    return Score(score_id(assessed.trace.trace_id, name), name, ScoreType.NUMERIC, rounded, comment)


def _vendor_total(of: Assessment) -> int:
    total = of.vendor.tokens.total if of.vendor is not None else None
    return total or 0


def _causes(judged: Sequence[Assessment]) -> str:
    """The findings' codes with their signed tokens, in their order."""
    sums: dict[str, int] = {}
    for each in judged:
        for found in each.findings:
            sums[found.code] = sums.get(found.code, 0) + found.input + found.output
    return f" ({', '.join(f'{code} {amount:+d}' for code, amount in sums.items())})" if sums else ""


def _over(some: Sequence[Assessment], assessed: AssessedTrace) -> str:
    return f"{len(some)} of {len(assessed.assessments)} model calls"


def _plain(amount: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    return f"{amount:f}".rstrip("0").rstrip(".") if "." in f"{amount:f}" else f"{amount:f}"
