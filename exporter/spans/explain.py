"""One assessed call in words and nested numbers, for platforms that show metadata as a tree.

What a person reads next to the call: each reading with where it came from, each finding as a sentence, and the rest
that nothing explains.
"""

from __future__ import annotations

from typing import Any

from exporter.compare.money import unexplained_money
from exporter.compare.price_causes import signed
from exporter.model import (
    AssessedTrace,
    Assessment,
    Attempt,
    DifyReading,
    Finding,
    LocalReading,
    Money,
    VendorReading,
)
from exporter.prices import in_force
from exporter.spans.readings import Reading, readings, total_of
from exporter.spans.text import clean


def explained(assessment: Assessment) -> dict[str, Any]:
    """Readings by source, findings as sentences, verdict and unexplained rest; unknown values are left out.

    Findings and a rest of 0 are said too: a v3 Langfuse merges metadata, so what a correction leaves out stays.
    """
    found: dict[str, Any] = {"verdict": str(assessment.verdict)}
    for source, reading in readings(assessment):
        found[source] = _reading(reading)
    found["findings"] = sentences(assessment)
    rest = _known(input=assessment.unexplained_input, output=assessment.unexplained_output)
    if rest:
        left = unexplained_money(assessment, in_force().exchange)
        cost = None if left is None else clean(signed(left))
        found["unexplained"] = {**rest, **_known(cost=cost), "within_tolerance": assessment.within_tolerance}
    return found


def sentences(assessment: Assessment) -> list[str]:
    """The findings of a call, one sentence each."""
    return [sentence(finding) for finding in assessment.findings]


def explained_trace(assessed: AssessedTrace) -> dict[str, Any]:
    """What is said of the trace as a whole: findings about it, and what could not be read. Empty when nothing is."""
    found: dict[str, Any] = {}
    if assessed.findings:
        found["trace_findings"] = [sentence(finding) for finding in assessed.findings]
    if assessed.trace.notes:
        found["notes"] = [clean(note) for note in assessed.trace.notes]
    return found


def sentence(finding: Finding) -> str:
    """A finding as one line: code, signed tokens and money (vendor − dify), how sure, why, and what to do."""
    cost = f", {signed(finding.cost)}" if finding.cost is not None else ""
    return clean(
        f"{finding.code}: {finding.input:+d} input, {finding.output:+d} output tokens{cost} ({finding.confidence}). "
        f"{finding.evidence} {finding.advice}".rstrip()
    )


def _reading(reading: Reading) -> dict[str, Any]:
    tokens = reading.tokens
    return {
        **_known(
            input=tokens.input,
            output=tokens.output,
            total=total_of(reading),
            cache_read=tokens.cache_read,
            cache_write=tokens.cache_write,
            reasoning=tokens.reasoning,
            cost=_money(reading.cost),
            cost_from=clean(reading.cost.origin) if reading.cost and reading.cost.origin else None,
        ),
        **_origin(reading),
    }


def _origin(reading: Reading) -> dict[str, Any]:
    match reading:
        case DifyReading():
            return {"kind": str(reading.kind), "provenance": clean(reading.provenance)}
        case LocalReading():
            return _known(
                tokenizer=clean(reading.tokenizer),
                accuracy=str(reading.accuracy),
                error_pct=reading.error_pct,
                note=clean(reading.note) if reading.note else None,
            )
        case VendorReading():
            return _known(
                provenance=clean(reading.provenance),
                independent=reading.independent,
                match=clean(reading.match),
                confidence=reading.confidence,
                attempts=[_attempt(attempt) for attempt in reading.attempts] or None,
            )


def _money(cost: Money | None) -> str | None:
    return None if cost is None else f"{cost.amount:f} {clean(cost.currency)}"


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return _known(
        id=clean(attempt.id),
        status=clean(attempt.status),
        input=attempt.tokens.input,
        output=attempt.tokens.output,
    )


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
