"""One call of the ledger as a person reads it: three readings side by side, what they differ by, and why.

Pure: a call document in, a view out. Wording and comparison live here; the template only places them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.web.language import ENGLISH, Language
from exporter.web.words import UNKNOWN, number, signed

Document = dict[str, Any]
SOURCES = ("dify", "local", "vendor")
_PARTS = ("cache_read", "cache_write", "reasoning")


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
    """One named cause, in words. `evidence` is as it stands in the ledger, in English; where the page is not in English,
    `means` says in its language what the cause is."""

    title: str
    code: str
    amount: str | None
    confidence: str
    means: str | None
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


def call_view(document: Document, say: Language) -> CallView:
    """The view of one call document."""
    readings = document["readings"]
    return CallView(
        call_id=document["call_id"],
        kind=document["kind"],
        model=document["model"] or say("unknown.model"),
        provider=document["provider"] or say("unknown.provider"),
        verdict=document["verdict"],
        readings=(_dify(readings, say), _local(readings, say), _vendor(readings["vendor"], say)),
        difference=_difference(readings["dify"], independent(document), say),
        rest=_rest(document["unexplained"], say),
        findings=tuple(finding_view(finding, say) for finding in document["findings"]),
        attempts=_attempts(readings["vendor"], say),
    )


def finding_view(finding: Document, say: Language) -> FindingView:
    """The view of one finding; amounts are vendor − dify."""
    amount = say("amounts", input=signed(finding["input"]), output=signed(finding["output"]))
    known = None if say is ENGLISH else say.findings.get(finding["code"])
    return FindingView(
        say.title(finding["code"]),
        finding["code"],
        amount if finding["input"] or finding["output"] else None,
        say.maybe(f"confidence.{finding['confidence']}", finding["confidence"]),
        known.means if known else None,
        finding["evidence"],
        known.advice if known else finding["advice"],
    )


def independent(document: Document) -> Document | None:
    """The vendor reading of a call document when it is the vendor's own; a relayed one is Dify's number again."""
    vendor: Document | None = document["readings"]["vendor"]
    return vendor if vendor is not None and vendor["independent"] else None


def _absent(source: str, why: str) -> ReadingView:
    return ReadingView(source, UNKNOWN, UNKNOWN, None, is_known=False, origin=why)


def _dify(readings: Document, say: Language) -> ReadingView:
    reading, vendor = readings["dify"], readings["vendor"]
    if reading is None:
        return _absent("dify", say("dify.absent"))
    reference = vendor if vendor is not None and vendor["independent"] else None
    only_total = reading["total"] if reading["input"] is None or reading["output"] is None else None
    kind = reading["kind"]
    return ReadingView(
        "dify",
        number(reading["input"]),
        number(reading["output"]),
        None if only_total is None else number(only_total),
        is_known=True,
        tag=None if kind == "vendor_passed" else say.maybe(f"kind.{kind}.tag", kind),
        input_mark=_mark(reading, reference, "input"),
        output_mark=_mark(reading, reference, "output"),
        lines=(
            say.maybe(f"kind.{kind}", kind),
            *_compared(reading, reference, say("whose.vendor"), say),
            *_parts(reading, say),
        ),
        origin=say("from", origin=reading["provenance"]),
    )


def _local(readings: Document, say: Language) -> ReadingView:
    reading, vendor = readings["local"], readings["vendor"]
    if reading is None:
        return _absent("local", say("local.absent"))
    is_own = vendor is not None and vendor["independent"]
    reference, whose = (vendor, say("whose.vendor")) if is_own else (readings["dify"], say("whose.dify"))
    accuracy, error = reading["accuracy"], reading["error_pct"]
    stated = say("stated.error", percent=f"{error:g}") if error else ""
    return ReadingView(
        "local",
        number(reading["input"]),
        number(reading["output"]),
        None,
        is_known=True,
        tag=None if accuracy == "exact" else say.maybe(f"accuracy.{accuracy}.tag", accuracy),
        input_mark=_mark(reading, reference, "input", error),
        output_mark=_mark(reading, reference, "output", error),
        lines=(
            say.maybe(f"accuracy.{accuracy}", accuracy) + stated,
            *_compared(reading, reference, whose, say),
            *_parts(reading, say),
            *([reading["note"]] if reading["note"] else []),
        ),
        origin=say("from", origin=say("tokenizer", name=reading["tokenizer"])),
    )


def _vendor(reading: Document | None, say: Language) -> ReadingView:
    if reading is None:
        return _absent("vendor", say("vendor.absent"))
    attempts = len(reading["attempts"])
    return ReadingView(
        "vendor",
        number(reading["input"]),
        number(reading["output"]),
        None,
        is_known=True,
        tag=None if reading["independent"] else say("relayed"),
        lines=(
            _matched(reading, say),
            *([say("sum.attempts", attempts=say.count("attempt", attempts))] if attempts > 1 else []),
            *_parts(reading, say),
        ),
        origin=say("from", origin=reading["provenance"]),
    )


def _matched(reading: Document, say: Language) -> str:
    if not reading["independent"]:
        return say("relayed.means")
    signs = [say.maybe(f"match.{sign}", sign.replace("_", " ")) for sign in reading["match"].split("+")]
    return say("matched", by=say("and").join(signs), percent=f"{reading['confidence']:.0%}")


def _parts(reading: Document, say: Language) -> list[str]:
    parts = [say(f"part.{part}", n=number(reading[part])) for part in _PARTS if reading[part]]
    if reading["cost"] is not None:
        parts.append(say("costs", amount=reading["cost"], currency=reading["currency"]))
    return parts


def _compared(reading: Document, reference: Document | None, whose: str, say: Language) -> list[str]:
    if reference is None:
        return []
    known = [
        part for part in ("input", "output") if reading[part] is not None and reference[part] is not None
    ]
    if len(known) == 2 and all(reading[part] == reference[part] for part in known):
        return [say("equal.to", whose=whose)]
    return [_against(reading[part], reference[part], part, whose, say) for part in known]


def _against(value: int, reference: int, part: str, whose: str, say: Language) -> str:
    """`12 fewer input than the vendor`, or `input equal to the vendor's`."""
    if value == reference:
        return say("part.equal", part=say(part), whose=whose)
    more = "part.more" if value > reference else "part.fewer"
    return say(more, n=number(abs(value - reference)), part=say(part), whose=whose)


def _mark(reading: Document, reference: Document | None, part: str, error_pct: float | None = None) -> str:
    """How a number stands to its reference; `near` is within the stated error."""
    if reference is None or reading[part] is None or reference[part] is None:
        return ""
    apart = abs(reading[part] - reference[part])
    if not apart:
        return "same"
    return "near" if error_pct and apart <= reference[part] * error_pct / 100 else "differs"


def _difference(dify: Document | None, vendor: Document | None, say: Language) -> str | None:
    if dify is None or vendor is None:
        return None
    parts = [
        f"{signed(vendor[part] - dify[part])} {say(part)}"
        for part in ("input", "output")
        if vendor[part] is not None and dify[part] is not None
    ]
    return ", ".join(parts) or None


def _rest(unexplained: Document | None, say: Language) -> str | None:
    if unexplained is None:
        return None
    if not unexplained["input"] and not unexplained["output"]:
        return say("rest.none")
    return say(
        "rest",
        input=signed(unexplained["input"]),
        output=signed(unexplained["output"]),
        within=say("within" if unexplained["within_tolerance"] else "beyond"),
    )


def _attempts(vendor: Document | None, say: Language) -> tuple[AttemptView, ...]:
    return tuple(
        AttemptView(
            attempt["id"],
            attempt["source"],
            say.maybe(f"status.{attempt['status']}", attempt["status"]),
            number(attempt["input"]),
            number(attempt["output"]),
        )
        for attempt in (vendor["attempts"] if vendor else ())
    )
