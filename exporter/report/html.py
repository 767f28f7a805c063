"""A report as one HTML file that needs nothing else: for a screen, a phone and paper, in English or Chinese."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import __version__
from exporter.printed_money import short
from exporter.report.definitions import BY_LANGUAGE as DEFINITIONS
from exporter.report.pace import monthly
from exporter.report.table import is_known
from exporter.report.words import BY_LANGUAGE as WORDS
from exporter.web.charts import Span, waterfall
from exporter.web.language import LANGUAGES

Document = dict[str, Any]
_ENDS = ("dify", "vendor", "billed")


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of the waterfall with its numbers; `kind` is dify, vendor, billed, more, less or rest."""

    kind: str
    name: str
    means: str
    input: int
    output: int
    cost: dict[str, str]
    bar: Span

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


def html_text(document: Document, language: str) -> str:
    """The page of a report document in `en` or `zh`."""
    words = WORDS[language]

    def say(key: str, **values: object) -> str:
        return words[key].format(**values)

    steps, axis = _steps(document, language, say)
    return _environment().get_template("report.html").render(
        report=document, say=say, language=LANGUAGES[language], version=__version__, steps=steps, axis=axis,
        verdict=_verdict(document, say), only=_only(document, say), by="、".join(map(say, document["by"])) if language == "zh" else ", ".join(map(say, document["by"])),
        monthly=list(_monthly(document, language)), remarks=list(_remarks(document, say)), definitions=DEFINITIONS[language],
    )  # fmt: skip


@lru_cache(maxsize=1)
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("exporter.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(number=_number, signed=_signed, costs=_costs)
    found.tests.update(known=is_known)
    return found


def _steps(document: Document, language: str, say: Callable[..., str]) -> tuple[list[Step], int]:
    """The bars up to the vendor's number; what others used comes after it, in the table only."""
    told = document["waterfall"]
    if not document["total"]["verified_calls"]:
        return [], 0
    changes = [step for step in told if step["step"] in ("finding", "unexplained")]
    spans, axis = waterfall(_total(told[0]), [_total(step) for step in changes])
    shown = [told[0], *changes, next(step for step in told if step["step"] == "vendor")]
    return [_step(step, span, language, say) for step, span in zip(shown, spans, strict=True)], axis


def _step(step: Document, span: Span, language: str, say: Callable[..., str]) -> Step:
    known = LANGUAGES[language].findings.get(step.get("code", ""))
    if step["step"] == "finding":
        name = known.title if known else step["title"]
        kind = "more" if _total(step) >= 0 else "less"
    else:
        name, kind = say(f"step.{step['step']}"), step["step"] if step["step"] in _ENDS else "rest"
    return Step(
        kind, name, known.means if known else "", step["input"], step["output"], step.get("cost", {}), span
    )


def _total(step: Document) -> int:
    return int(step["input"] + step["output"])


def _monthly(document: Document, language: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Causes of money alone with what they make in a month, by currency."""
    for item in monthly(document):
        known = LANGUAGES[language].findings.get(item["code"])
        yield known.title if known else item["title"], item["per_month"]


def _only(document: Document, say: Callable[..., str]) -> str:
    """What the report is restricted to; empty for one of everything."""
    words = [f"{say(name)} {chosen}" for name, chosen in document["only"].items() if chosen is not None]
    return say("only", what=", ".join(words)) if words else ""


def _verdict(document: Document, say: Callable[..., str]) -> str:
    rest, tolerance = document["total"]["unexplained"], f"{document['tolerance_percent']:g}"
    if document["verdict"] == "unverified":
        return say("unverified")
    if document["verdict"] == "above" and document["total"]["verdict"] != "above":
        return say("above.bill", tolerance=tolerance)
    if document["verdict"] == "within" and document["total"]["verdict"] == "unverified":
        return say("within.bill", tolerance=tolerance)
    percent = "–" if rest is None or rest["percent"] is None else f"{rest['percent']:g}"
    return say(document["verdict"], percent=percent, tolerance=tolerance)


def _remarks(document: Document, say: Callable[..., str]) -> Iterator[str]:
    missing, total = document["completeness"], document["total"]
    told = False
    for key, count in (
        ("remark.waiting", missing["waiting_records"]),
        ("remark.aside", missing["set_aside_records"]),
    ):
        if count:
            told = True
            yield say(key, n=_number(count))
    for border in ("since", "until"):
        cut = document["borders"][border]
        if cut["calls"]:
            told = True
            yield say(f"remark.{border}", n=_number(cut["calls"]), tokens=_number(_total(cut)))
    for bill in document["bills"]:
        if any(bill["cut_by_border"].values()):
            told = True
            yield say("remark.cut", source=bill["source"], tokens=_number(_total(bill["cut_by_border"])))
        if bill["cut_cost_by_border"]:
            told = True
            yield say("remark.cut_cost", source=bill["source"], cost=_costs(bill["cut_cost_by_border"]))
    for stretch in document["bill_stretches"]:
        if stretch["last"] < document["window"]["until"]:
            told = True
            yield say(
                "remark.reach", source=stretch["source"], report=stretch["report"], last=stretch["last"]
            )
    for change in document["bill_changes"]:
        told = True
        yield say("remark.changed", source=change["source"], n=_number(change["stretches"]))
    if total["dify"]["unknown_calls"] or total["vendor"]["unknown_calls"]:
        told = True
        yield say(
            "remark.unknown",
            n=_number(total["dify"]["unknown_calls"]),
            vendor=_number(total["vendor"]["unknown_calls"]),
        )
    if not told:
        yield say("remark.none")


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _signed(value: int | None) -> str:
    return "–" if value is None else f"{value:+,}".replace("-", "−")


def _costs(costs: dict[str, str]) -> str:
    return " + ".join(f"{short(amount)} {currency}" for currency, amount in costs.items()) or "–"
