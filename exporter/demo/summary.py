"""What the demo says at its end, in three small tables: by app and model, by cause, and what Dify records nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from exporter.model import Verdict
from exporter.state.standings import HIDDEN, Group

Document = dict[str, Any]
_SOURCES = ("dify", "local", "vendor")


@dataclass(slots=True)
class Line:
    """Sums over calls: total tokens per reading, how many calls had them, and calls by verdict."""

    calls: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)

    def add(self, call: Document) -> None:
        """One more call document."""
        self.calls += 1
        self.verdicts[call["verdict"]] += 1
        for source in _SOURCES:
            total = _total(call["readings"][source])
            if total is not None:
                self.totals[source] += total
                self.known[source] += 1

    @property
    def difference(self) -> int:
        """How far dify and vendor are apart, in tokens."""
        return abs(self.totals["vendor"] - self.totals["dify"])

    def cells(self) -> Iterator[str]:
        """Calls, the three totals (a dash: no call has it, a star: some calls lack it), verdicts."""
        yield str(self.calls)
        for source in _SOURCES:
            star = "" if self.known[source] == self.calls else "*"
            yield f"{self.totals[source]:,}{star}" if self.known[source] else "–"
        yield ", ".join(
            f"{self.verdicts[verdict.value]} {verdict.value}"
            for verdict in Verdict
            if self.verdicts[verdict.value]
        )


def _total(reading: Document | None) -> int | None:
    """Input and output together; a relayed vendor reading is Dify's number again and does not count."""
    if reading is None or not reading.get("independent", True):
        return None
    if reading["input"] is None or reading["output"] is None:
        return None
    return int(reading["input"]) + int(reading["output"])


def by_app_and_model(traces: Iterable[Document]) -> Table:
    """Calls, tokens by reading and verdicts per app and model, the largest difference first, the sum last."""
    lines: dict[tuple[str, str], Line] = {}
    total = Line()
    for call in (call for trace in traces for call in trace["calls"]):
        lines.setdefault((call["app_name"], call["model"] or "unknown"), Line()).add(call)
        total.add(call)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("app", no_wrap=True, min_width=17, ratio=3)
    table.add_column("model", no_wrap=True, min_width=11, ratio=2)
    for name in ("calls", *_SOURCES):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", max_width=22)
    for (app, model), line in sorted(lines.items(), key=lambda item: (-item[1].difference, item[0])):
        table.add_row(app, model, *line.cells())
    table.add_row("all", "", *total.cells(), style="bold")
    return table


def by_cause(traces: Iterable[Document]) -> Table:
    """Findings of calls and of whole traces: how often, and the tokens the vendor counted more (+) or less (−)."""
    counts: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str, str]] = Counter()
    for trace in traces:
        places = [("call", call["findings"]) for call in trace["calls"]] + [("trace", trace["findings"])]
        for place, finding in ((place, finding) for place, findings in places for finding in findings):
            key = (place, finding["code"])
            counts[key] += 1
            amounts[*key, "input"] += finding["input"]
            amounts[*key, "output"] += finding["output"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("why vendor and dify differ")
    table.add_column("of a")
    for name in ("found", "input", "output"):
        table.add_column(name, justify="right")
    for key in sorted(
        counts, key=lambda key: (key[0], -abs(amounts[*key, "input"] + amounts[*key, "output"]), key[1])
    ):
        table.add_row(
            key[1], key[0], str(counts[key]), *(f"{amounts[*key, part]:+,}" for part in ("input", "output"))
        )
    return table


def by_purpose(groups: Iterable[Group]) -> Table:
    """Requests that Dify makes on its own and adds to no message or run, with what the vendor billed for them."""
    counts: Counter[str] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        if group.standing != HIDDEN or group.purpose is None:
            continue
        counts[group.purpose] += group.requests
        amounts[group.purpose, "input"] += group.input
        amounts[group.purpose, "output"] += group.output
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("billed, but in none of Dify's records")
    for name in ("requests", "input", "output"):
        table.add_column(name, justify="right")
    for purpose, count in counts.most_common():
        shown = (f"{amounts[purpose, part]:,}" for part in ("input", "output"))
        table.add_row(purpose.replace("_", " "), str(count), *shown)
    return table
