"""How calls and traces of the ledger look on a terminal: one line a call, one screen a trace."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from exporter import printed_money
from exporter.terminal import say, whole

Document = dict[str, Any]

_COLOURS = {
    "agree": "green",
    "explained": "cyan",
    "unexplained": "red",
    "unverified": "yellow",
    "pending": "dim",
}


def verdict(name: str) -> Text:
    """The verdict in its colour."""
    return Text(name, style=_COLOURS.get(name, ""))


def pair(reading: Document | None) -> str:
    """`input → output` of a reading; a dash for what is not known."""
    if reading is None:
        return "–"
    if reading["input"] is None and reading["output"] is None and reading.get("total") is not None:
        return f"Σ {reading['total']:,}"
    return " → ".join("–" if reading[part] is None else f"{reading[part]:,}" for part in ("input", "output"))


def calls_table(documents: list[Document]) -> Table:
    """One line a call."""
    note = printed_money.FOOTNOTE if printed_money.is_by_book(documents) else None
    table = Table(box=None, pad_edge=False, header_style="bold", caption=note, caption_justify="left")
    for name, right in (
        ("started", False),
        ("app", False),
        ("model", False),
        ("dify", True),
        ("local", True),
        ("vendor", True),
        ("cost", True),
    ):
        table.add_column(name, justify="right" if right else "left")
    table.add_column("verdict")
    table.add_column("why")
    for document in documents:
        readings = document["readings"]
        table.add_row(
            document["started_at"][:19].replace("T", " "),
            Text(document["app_name"] or "–"),
            Text(document["model"] or "–"),
            pair(readings["dify"]),
            pair(readings["local"]),
            _vendor_pair(readings["vendor"]),
            printed_money.costs(readings),
            verdict(document["verdict"]),
            ", ".join(finding["code"] for finding in document["findings"]),
        )
    return table


def _vendor_pair(reading: Document | None) -> str:
    if reading is not None and not reading["independent"]:
        return "(relayed)"
    return pair(reading)


def explain(console: Console, document: Document, links: list[tuple[str, str]]) -> None:
    """One screen: the trace as a tree, its calls with three readings each, findings, money."""
    heading = Text.assemble((document["name"], "bold"), f"  {document['app_mode']}  {document['status']}")
    say(console, heading)
    say(console, f"trace {document['trace_id']}  {document['started_at']} – {document['ended_at']}", "dim")
    for name, link in links:
        console.print(
            Text(f"{name}: {link}"), style="dim", highlight=False, soft_wrap=True
        )  # one word to click on
    console.print(_tree(document))
    for call in document["calls"]:
        _explain_call(console, call)
    _explain_trace(console, document)


def _tree(document: Document) -> Tree:
    calls = {call["call_id"]: call for call in document["calls"]}
    root: Tree | None = None
    branches: dict[str, Tree] = {}
    for step in document["steps"]:
        label = Text(f"{step['kind']}  {step['name']}")
        call = calls.get(step["call_id"] or "")
        if call is not None:
            label.append(f"  {pair(call['readings']['dify'])}  ", style="bold")
            label.append_text(verdict(call["verdict"]))
        parent = branches.get(step["parent_id"] or "")
        branches[step["span_id"]] = parent.add(label) if parent is not None else Tree(label)
        root = root or branches[step["span_id"]]
    return root or Tree("(no steps)")


def _explain_call(console: Console, call: Document) -> None:
    console.print()
    title = call["node_title"] or call["kind"]
    model = f"{call['provider'] or '–'} / {call['model'] or '–'}  "
    say(console, Text.assemble((f"{title}  ", "bold"), model, verdict(call["verdict"])))
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for name in ("reading", "input", "output", "cost", "where from"):
        table.add_column(name, justify="right" if name in ("input", "output", "cost") else "left")
    for source in ("dify", "local", "vendor"):
        reading = call["readings"][source]
        if reading is None:
            table.add_row(source, "–", "–", "–", "no reading")
            continue
        numbers = ["–" if reading[part] is None else f"{reading[part]:,}" for part in ("input", "output")]
        table.add_row(source, *numbers, printed_money.amount(reading), Text(_origin(source, reading)))
    whole(console, table)
    for line in printed_money.origins(call["readings"]):
        say(console, line, "dim", indent=2)
    for finding in call["findings"]:
        _finding(console, finding)
    _rest(console, call["unexplained"])


def _rest(console: Console, rest: Document | None) -> None:
    """What nothing explains: tokens in red; money alone, mostly what was rounded, in plain."""
    if not rest:
        return
    money = printed_money.amount(rest, signed=True)
    if rest["input"] or rest["output"]:
        word = "within tolerance" if rest["within_tolerance"] else "above tolerance"
        cost = "" if money == "–" else f", {money}"
        say(
            console,
            f"unexplained rest: {rest['input']:+,} input, {rest['output']:+,} output{cost} ({word})",
            "red",
            indent=2,
        )
    elif float(rest.get("cost") or 0):
        say(console, f"unexplained rest: {money}", indent=2)


def _origin(source: str, reading: Document) -> str:
    if source == "dify":
        return f"{reading['provenance']}, {reading['kind']}"
    if source == "local":
        error = f" ±{reading['error_pct']:g} %" if reading["error_pct"] else ""
        return f"{reading['tokenizer']}, {reading['accuracy']}{error}" + (
            f" ({reading['note']})" if reading["note"] else ""
        )
    if not reading["independent"]:
        return "relayed through Dify's record: shown, proves nothing"
    attempts = len(reading["attempts"])
    return f"{reading['provenance']}, matched by {reading['match']} ({reading['confidence']:.2f}), {attempts} request{'s' * (attempts != 1)}"


def _finding(console: Console, finding: Document) -> None:
    amounts = f"{finding['input']:+,} input, {finding['output']:+,} output"
    if finding.get("cost") is not None:
        amounts += f", {printed_money.amount(finding, signed=True)}"
    say(console, f"{finding['code']}  {amounts}  ({finding['confidence']})", "cyan", indent=2)
    say(console, finding["evidence"], indent=4)
    say(console, f"→ {finding['advice']}", indent=4)


def _explain_trace(console: Console, document: Document) -> None:
    sums = document["sums"]
    console.print()
    parts = [f"calls {pair(sums['leaves'])}"]
    if sums["message"]:
        parts.append(f"message {pair(sums['message'])}")
    if sums["run_total"] is not None:
        parts.append(f"run Σ {sums['run_total']:,}")
    say(console, "Dify's own sums: " + "; ".join(parts))
    for finding in document["findings"]:
        _finding(console, finding)
    for note in document["notes"]:
        say(console, f"note: {note}", "yellow")
    say(console, Text.assemble("verdict: ", verdict(document["verdict"])))
