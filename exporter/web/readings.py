"""One call of the ledger as a person reads it: three readings side by side, what they differ by, and why.

Pure: a call document in, a view out. Wording and comparison live here; the template only places them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.web.words import ACCURACIES, DIFY_KINDS, UNKNOWN, compared, number, plural, signed, title

Document = dict[str, Any]
SOURCES = ("dify", "local", "vendor")
_PARTS = (
    ("cache_read", "read from cache"),
    ("cache_write", "written to cache"),
    ("reasoning", "of reasoning"),
)


@dataclass(frozen=True, slots=True)
class ReadingView:
    """One source's statement. `tag` qualifies it in one word; `*_mark` is `same`, `near` or `differs` (or empty)."""

    source: str
    input: str
    output: str
    total: str | None
    is_known: bool
    tag: str | None = None
    input_mark: str = ""
    output_mark: str = ""
    lines: tuple[str, ...] = ()
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One vendor request of a call."""

    id: str
    source: str
    status: str
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One named cause, in words."""

    title: str
    code: str
    amount: str | None
    confidence: str
    evidence: str
    advice: str


@dataclass(frozen=True, slots=True)
class CallView:
    """A call with its readings. `difference` is vendor − dify in words; `rest` is what no finding explains."""

    call_id: str
    kind: str
    model: str
    provider: str
    verdict: str
    readings: tuple[ReadingView, ...]
    difference: str | None
    rest: str | None
    findings: tuple[FindingView, ...]
    attempts: tuple[AttemptView, ...]

    @property
    def needs_attention(self) -> bool:
        """True when there is something to read: a difference or a finding."""
        return self.verdict in ("explained", "unexplained") or bool(self.findings)


def call_view(document: Document) -> CallView:
    """The view of one call document."""
    readings = document["readings"]
    return CallView(
        call_id=document["call_id"],
        kind=document["kind"],
        model=document["model"] or "unknown model",
        provider=document["provider"] or "unknown provider",
        verdict=document["verdict"],
        readings=(_dify(readings), _local(readings), _vendor(readings["vendor"])),
        difference=_difference(readings["dify"], independent(document)),
        rest=_rest(document["unexplained"]),
        findings=tuple(finding_view(finding) for finding in document["findings"]),
        attempts=_attempts(readings["vendor"]),
    )


def finding_view(finding: Document) -> FindingView:
    """The view of one finding; amounts are vendor − dify."""
    amount = f"{signed(finding['input'])} input, {signed(finding['output'])} output"
    return FindingView(
        title(finding["code"]),
        finding["code"],
        amount if finding["input"] or finding["output"] else None,
        finding["confidence"],
        finding["evidence"],
        finding["advice"],
    )


def independent(document: Document) -> Document | None:
    """The vendor reading of a call document when it is the vendor's own; a relayed one is Dify's number again."""
    vendor: Document | None = document["readings"]["vendor"]
    return vendor if vendor is not None and vendor["independent"] else None


def _absent(source: str, why: str) -> ReadingView:
    return ReadingView(source, UNKNOWN, UNKNOWN, None, is_known=False, origin=why)


def _dify(readings: Document) -> ReadingView:
    reading, vendor = readings["dify"], readings["vendor"]
    if reading is None:
        return _absent("dify", "Dify recorded no tokens for this call")
    reference = vendor if vendor is not None and vendor["independent"] else None
    only_total = reading["total"] if reading["input"] is None or reading["output"] is None else None
    return ReadingView(
        "dify",
        number(reading["input"]),
        number(reading["output"]),
        None if only_total is None else number(only_total),
        is_known=True,
        tag=None if reading["kind"] == "vendor_passed" else reading["kind"].replace("_", " "),
        input_mark=_mark(reading, reference, "input"),
        output_mark=_mark(reading, reference, "output"),
        lines=(
            DIFY_KINDS.get(reading["kind"], reading["kind"]),
            *_compared(reading, reference, "the vendor"),
            *_parts(reading),
        ),
        origin=reading["provenance"],
    )


def _local(readings: Document) -> ReadingView:
    reading, vendor = readings["local"], readings["vendor"]
    if reading is None:
        return _absent("local", "no tokenizer could count this call")
    is_own = vendor is not None and vendor["independent"]
    reference, whose = (vendor, "the vendor") if is_own else (readings["dify"], "Dify")
    error = reading["error_pct"]
    return ReadingView(
        "local",
        number(reading["input"]),
        number(reading["output"]),
        None,
        is_known=True,
        tag=None if reading["accuracy"] == "exact" else reading["accuracy"].replace("_", " "),
        input_mark=_mark(reading, reference, "input", error),
        output_mark=_mark(reading, reference, "output", error),
        lines=(
            ACCURACIES.get(reading["accuracy"], reading["accuracy"])
            + (f"; stated error of the input ±{error:g}%" if error else ""),
            *_compared(reading, reference, whose),
            *_parts(reading),
            *([reading["note"]] if reading["note"] else []),
        ),
        origin=f"tokenizer {reading['tokenizer']}",
    )


def _vendor(reading: Document | None) -> ReadingView:
    if reading is None:
        return _absent("vendor", "no vendor number is known for this call")
    origin = reading["provenance"]
    if not reading["independent"]:
        matched = "Dify's own record again, because the plugin passes the vendor's number on; no second proof"
    else:
        matched = f"matched by {reading['match'].replace('_', ' ').replace('+', ' and ')}, confidence {reading['confidence']:.0%}"
    attempts = len(reading["attempts"])
    return ReadingView(
        "vendor",
        number(reading["input"]),
        number(reading["output"]),
        None,
        is_known=True,
        tag=None if reading["independent"] else "relayed",
        lines=(
            matched,
            *([f"sum of {plural(attempts, 'attempt')}"] if attempts > 1 else []),
            *_parts(reading),
        ),
        origin=origin,
    )


def _parts(reading: Document) -> list[str]:
    parts = [f"includes {number(reading[part])} {words}" for part, words in _PARTS if reading[part]]
    return [*parts, f"cost {reading['cost']} {reading['currency']}"] if reading["cost"] is not None else parts


def _compared(reading: Document, reference: Document | None, whose: str) -> list[str]:
    if reference is None:
        return []
    known = [
        part for part in ("input", "output") if reading[part] is not None and reference[part] is not None
    ]
    if len(known) == 2 and all(reading[part] == reference[part] for part in known):
        return [f"equal to {whose}'s"]
    return [compared(reading[part], reference[part], part, whose) for part in known]


def _mark(reading: Document, reference: Document | None, part: str, error_pct: float | None = None) -> str:
    """How a number stands to its reference; `near` is within the stated error."""
    if reference is None or reading[part] is None or reference[part] is None:
        return ""
    apart = abs(reading[part] - reference[part])
    if not apart:
        return "same"
    return "near" if error_pct and apart <= reference[part] * error_pct / 100 else "differs"


def _difference(dify: Document | None, vendor: Document | None) -> str | None:
    if dify is None or vendor is None:
        return None
    parts = [
        f"{signed(vendor[part] - dify[part])} {part}"
        for part in ("input", "output")
        if vendor[part] is not None and dify[part] is not None
    ]
    return ", ".join(parts) or None


def _rest(unexplained: Document | None) -> str | None:
    if unexplained is None:
        return None
    if not unexplained["input"] and not unexplained["output"]:
        return "nothing remains unexplained"
    within = "within tolerance" if unexplained["within_tolerance"] else "beyond tolerance"
    return f"{signed(unexplained['input'])} input, {signed(unexplained['output'])} output remain unexplained, {within}"


def _attempts(vendor: Document | None) -> tuple[AttemptView, ...]:
    return tuple(
        AttemptView(
            attempt["id"],
            attempt["source"],
            attempt["status"],
            number(attempt["input"]),
            number(attempt["output"]),
        )
        for attempt in (vendor["attempts"] if vendor else ())
    )
