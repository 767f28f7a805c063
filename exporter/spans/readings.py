"""What the dialects ask of an assessed call or trace before they name it: readings, totals, money, codes.

Money is only passed on in US dollars, the one currency Langfuse and LangSmith know, and only the money of the very
reading whose tokens are shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from exporter.model import (
    AssessedTrace,
    Assessment,
    DifyReading,
    Finding,
    LocalReading,
    Money,
    VendorReading,
    Verdict,
    chosen,
)

_TAG_CHARS = 200

SOURCES = ("dify", "local", "vendor")
Reading = DifyReading | LocalReading | VendorReading


def readings(assessment: Assessment) -> list[tuple[str, Reading]]:
    """The readings that exist, with their source names."""
    found: list[tuple[str, Reading]] = []
    if assessment.dify is not None:
        found.append(("dify", assessment.dify))
    if assessment.local is not None:
        found.append(("local", assessment.local))
    if assessment.vendor is not None:
        found.append(("vendor", assessment.vendor))
    return found


def own_readings(assessment: Assessment) -> list[tuple[str, Reading]]:
    """The readings that stand on their own: without a relayed vendor reading, which is Dify's record once more."""
    return [(source, reading) for source, reading in readings(assessment) if not is_relayed(reading)]


def is_relayed(reading: Reading) -> bool:
    """True for a vendor reading that came through Dify's own record."""
    return isinstance(reading, VendorReading) and not reading.independent


def total_of(reading: Reading) -> int | None:
    """Input + output; Dify's lone total where it knows nothing else."""
    total = reading.tokens.total
    return reading.total if total is None and isinstance(reading, DifyReading) else total


def usd(cost: Money | None) -> float | None:
    """The amount when it is in US dollars, None otherwise."""
    return float(cost.amount) if cost is not None and cost.currency.upper() == "USD" else None


def chosen_cost(assessment: Assessment) -> float | None:
    """US dollars of the chosen reading, None when nobody priced its tokens in dollars.

    Where the vendor's evidence has no price and Dify recorded the very same tokens, Dify's price is theirs too.
    """
    choice = chosen(assessment)
    if choice is None:
        return None
    source, tokens = choice
    cost = usd(dict(readings(assessment))[source].cost)
    dify = assessment.dify
    if (
        cost is None
        and dify is not None
        and (dify.tokens.input, dify.tokens.output) == (tokens.input, tokens.output)
    ):
        return usd(dify.cost)
    return cost


def unique_codes(findings: Iterable[Finding]) -> list[str]:
    """The findings' codes, each once, in their order."""
    return list(dict.fromkeys(finding.code for finding in findings))


def all_codes(assessed: AssessedTrace) -> list[str]:
    """All codes of a trace and its calls, each once: what a filter on root spans looks for."""
    found = [*assessed.findings, *(finding for each in assessed.assessments for finding in each.findings)]
    return unique_codes(found)


def tags(assessed: AssessedTrace) -> list[str]:
    """App, mode, verdict, debug. A pending verdict is no tag: Langfuse's v3 store unites the tags of all sends and
    LangSmith keeps the first, so it would stay for ever."""
    trace = assessed.trace
    found = [trace.app.name, trace.app.mode]
    if assessed.verdict is not Verdict.PENDING:
        found.append(f"verdict:{assessed.verdict}")
    if trace.is_debug:
        found.append("debug")
    return [tag[:_TAG_CHARS] for tag in found]
