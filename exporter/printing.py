"""How ledger documents and health look on a terminal. Text only; `--json` prints the documents themselves."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from exporter import printed_money

Document = dict[str, Any]

_WIDEST = 2_000
_COLOURS = {
    "agree": "green",
    "explained": "cyan",
    "unexplained": "red",
    "unverified": "yellow",
    "pending": "dim",
}


def whole(console: Console, table: Table) -> None:
    """Prints every column whole: a table that is wider than the terminal runs over its edge instead of losing digits."""
    options = console.options.update(max_width=_WIDEST)
    needed = Measurement.get(console, options, table).maximum
    if needed > console.width:
        console.width = needed
    console.print(table, crop=False)


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


def models(console: Console, documents: list[Document]) -> None:
    """One line a model; notes below the table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (
        ("provider", False), ("model", False), ("calls", True), ("family", False), ("tokenizer", False),
        ("template", False), ("class", False), ("error", True), ("observed input", True), ("output", True),
        ("dify's number is", False),
    ):  # fmt: skip
        table.add_column(name, justify="right" if right else "left")
    for item in documents:
        table.add_row(
            item["provider"] or "–", Text(item["model"]), f"{item['calls']:,}", item["family"], item["tokenizer"] or "–",
            item["template"] or "–", item["accuracy"], _error(item), _observed(item["observed"]["input"]),
            _observed(item["observed"]["output"]), ", ".join(item["dify_kinds"]) or "–",
        )  # fmt: skip
    whole(console, table)
    console.print(
        "observed: local ÷ vendor, the median and what nine of ten calls lie between; never applied",
        style="dim",
    )
    for note in dict.fromkeys(f"{item['family']}: {item['note']}" for item in documents if item["note"]):
        console.print(note, style="dim", highlight=False, markup=False)


def _error(item: Document) -> str:
    if item["error_pct"] is None:
        return "–"
    tokens = f" + {item['error_tokens']}" if item["error_tokens"] else ""
    return f"{item['error_pct']:g} %{tokens}"


def _observed(found: Document | None) -> str:
    if found is None:
        return "–"
    if found["equal"] == found["calls"]:
        return f"equal ({found['calls']:,})"
    spread = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"{found['ratio']:.3f}{spread} ({found['calls']:,})"


def evidence(console: Console, document: Document) -> None:
    """Sources with what became of their requests, then the traffic that Dify does not show."""
    if not document["sources"] and not document["buckets"]:
        console.print(
            "no vendor requests are known of that time; docs/evidence.md says how to connect a source"
        )
        return
    sources = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("requests", "matched", "hidden", "unrecorded", "foreign", "copy", "new", "refused")
    sources.add_column("source")
    for name in columns:
        sources.add_column(name, justify="right")
    sources.add_column("clock", justify="right")
    for item in document["sources"]:
        behind = item["clock_behind_seconds"]
        clock = f"{behind:+g} s" if behind else "same"
        sources.add_row(item["source"], *(f"{item[name]:,}" for name in columns), clock)
    console.print(sources)
    for title, name in (
        ("Hidden: Dify asked on its own, in no message or run", "hidden"),
        ("Unrecorded: of Dify's users or apps, but no row is left of it", "unrecorded"),
        ("Foreign: not Dify's", "foreign"),
        ("Told by the vendor only per stretch of time", "buckets"),
    ):
        if document[name]:
            console.print()
            console.print(_traffic(title, document[name]))
    for change in document["bucket_changes"]:
        console.print(
            f"{change['source']} {change['report']}: {change['stretches']:,} stretches were told otherwise before; since then"
            f" {change['input']:+,} input, {change['output']:+,} output tokens (last {change['last_changed_at']})",
            style="dim", highlight=False, markup=False,
        )  # fmt: skip


def _traffic(title: str, groups: list[Document]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    has_cost = any(group.get("cost") for group in groups)
    for name, right in (
        ("source", False), ("for", False), ("model", False), ("key", False),
        ("requests", True), ("input", True), ("output", True), *([("cost", True)] if has_cost else []),
    ):  # fmt: skip
        table.add_column(name, justify="right" if right else "left")
    for group in groups:
        numbers = (group["requests"], group["input"], group["output"])
        cost = f"{group['cost']} {group['currency']}" if group.get("cost") else "–"
        table.add_row(
            group["source"], group.get("purpose") or group.get("report") or "–",
            Text(group["model"] or "–"), Text(group["key"] or "–"), *("–" if number is None else f"{number:,}" for number in numbers),
            *([cost] if has_cost else []),
        )  # fmt: skip
    return table


def explain(console: Console, document: Document, links: list[tuple[str, str]]) -> None:
    """One screen: the trace as a tree, its calls with three readings each, findings, money."""
    console.print(
        f"[bold]{document['name']}[/bold]  {document['app_mode']}  {document['status']}", highlight=False
    )
    console.print(
        f"trace {document['trace_id']}  {document['started_at']} – {document['ended_at']}", style="dim"
    )
    for name, link in links:
        console.print(f"{name}: {link}", style="dim", highlight=False)
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
    console.print(
        Text.assemble(
            (f"{title}  ", "bold"),
            f"{call['provider'] or '–'} / {call['model'] or '–'}  ",
            verdict(call["verdict"]),
        )
    )
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for name in ("reading", "input", "output", "cost", "where from"):
        table.add_column(name, justify="right" if name in ("input", "output", "cost") else "left")
    for source in ("dify", "local", "vendor"):
        reading = call["readings"][source]
        if reading is None:
            table.add_row(source, "–", "–", "–", "no reading")
            continue
        numbers = ["–" if reading[part] is None else f"{reading[part]:,}" for part in ("input", "output")]
        table.add_row(source, *numbers, printed_money.amount(reading), _origin(source, reading))
    console.print(table)
    for line in printed_money.origins(call["readings"]):
        console.print(f"  {line}", style="dim", highlight=False, markup=False)
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
        console.print(
            f"  unexplained rest: {rest['input']:+} input, {rest['output']:+} output{cost} ({word})",
            style="red",
        )
    elif float(rest.get("cost") or 0):
        console.print(f"  unexplained rest: {money}", highlight=False)


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
    console.print(f"  {finding['code']}  {amounts}  ({finding['confidence']})", style="cyan", highlight=False)
    console.print(f"    {finding['evidence']}", highlight=False)
    console.print(f"    → {finding['advice']}", highlight=False)


def _explain_trace(console: Console, document: Document) -> None:
    sums = document["sums"]
    console.print()
    parts = [f"calls {pair(sums['leaves'])}"]
    if sums["message"]:
        parts.append(f"message {pair(sums['message'])}")
    if sums["run_total"] is not None:
        parts.append(f"run Σ {sums['run_total']:,}")
    console.print("Dify's own sums: " + "; ".join(parts), highlight=False)
    for finding in document["findings"]:
        _finding(console, finding)
    for note in document["notes"]:
        console.print(f"note: {note}", style="yellow", highlight=False)
    console.print(Text.assemble("verdict: ", verdict(document["verdict"])))


def audit(console: Console, documents: list[Document]) -> None:
    """One line a destination and day, then the ids of what is not as it should be."""
    if not documents:
        console.print("nothing that was exported began in that time")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("day", "destination", "exported", "there", "missing", "doubled", "waiting", "note"):
        table.add_column(name, justify="left" if name in ("day", "destination", "note") else "right")
    for item in documents:
        found = (
            [f"{item['there']:,}", f"{len(item['missing']):,}", f"{len(item['doubled']):,}"]
            if item["asked"]
            else ["–"] * 3
        )
        waits = ", ".join(f"{count:,} {name}" for name, count in item["waiting"].items() if count)
        table.add_row(
            item["day"],
            item["destination"],
            f"{item['exported']:,}",
            *found,
            waits or "0",
            Text(_audit_note(item)),
        )
    console.print(table)
    for item in documents:
        for line in _audit_ids(item):
            console.print(line, highlight=False, markup=False)


_IDS_SHOWN = 10


def _audit_note(item: Document) -> str:
    if not item["asked"]:
        return str(item["reason"])
    notes = []
    if item["without_spans"]:
        notes.append(f"{item['without_spans']:,} left to Dify's own tracing, not audited")
    if item["compared_by_span"] < item["exported"] - item["without_spans"] - sum(item["waiting"].values()):
        notes.append(f"{item['compared_by_span']:,} compared span by span, the others by their root")
    if item["queued_again"]:
        notes.append(f"{item['queued_again']:,} queued again")
    return "; ".join(notes)


def _audit_ids(item: Document) -> list[str]:
    where = f"{item['day']} {item['destination']}"
    lines = [
        f"missing  {where}  {found['trace_id']}  {found['spans_missing']} of {found['spans']} spans"
        for found in item["missing"][:_IDS_SHOWN]
    ]
    lines += [
        f"doubled  {where}  {found['trace_id']}  {found['rows_too_many']} rows too many"
        for found in item["doubled"][:_IDS_SHOWN]
    ]
    more = sum(max(0, len(item[name]) - _IDS_SHOWN) for name in ("missing", "doubled"))
    return [*lines, f"         {where}  and {more:,} more (all with --json)"] if more else lines


def settings(console: Console, rows: list[tuple[str, Any, str, str]]) -> None:
    """`config show` as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("setting", "value", "from", "meaning"):
        table.add_column(name, overflow="fold")
    for path, value, origin, meaning in rows:
        table.add_row(path, Text(str(value)), origin, Text(meaning, style="dim"))
    console.print(table)


def status(console: Console, document: Document) -> None:
    """`status` for a person at 3 a.m.: problems first."""
    for problem in document["problems"]:
        console.print(f"! {problem}", style="red", highlight=False, markup=False)
    running = "running" if document["daemon"] else "not running"
    console.print(f"daemon {running}, state {document['state']}", highlight=False)
    for name, words in document["source"].items():
        console.print(f"source {name}: {words}", highlight=False, markup=False)
    records = (
        ", ".join(f"{count:,} {name}" for name, count in sorted(document["records"].items())) or "none yet"
    )
    console.print(f"records: {records}; lag {document['lag_seconds']:g} s", highlight=False)
    if document["destinations"]:
        console.print(_destinations(document["destinations"]))
    for item in document["evidence"]:
        console.print(
            f"evidence {item['source']}: {item['requests']:,} requests, {item['matched']:,} matched, {item['refused']} refused",
            highlight=False,
        )
    for job in document["jobs"]:
        console.print(
            f"job {job['name']}: last success {job['last_success'] or 'never'}", style="dim", highlight=False
        )
    for letter in document["dead_letters"]:
        console.print(
            f"dead letter {letter['destination']} {letter['trace_id']}: {letter['reason']}",
            highlight=False,
            markup=False,
        )
    for item in document["set_aside"]:
        console.print(
            f"set aside {item['kind']} {item['id']}: {item['reason']}", highlight=False, markup=False
        )


def _destinations(items: list[Document]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (
        "destination",
        "delivered",
        "confirmed",
        "waiting",
        "in doubt",
        "unconfirmed",
        "dead",
        "last success",
        "problem",
    ):
        table.add_column(
            name, justify="left" if name in ("destination", "last success", "problem") else "right"
        )
    for item in items:
        table.add_row(
            item["name"], f"{item['delivered_traces']:,}", f"{item['confirmed']:,}", f"{item['waiting']:,}",
            f"{item['in_doubt']:,}", f"{item['unconfirmed']:,}", f"{item['dead_letters']:,}",
            (item["last_success"] or "never")[:19], item["hold"] or item["failure"] or "",
        )  # fmt: skip
    return table
