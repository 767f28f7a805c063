"""How health, evidence, models, audits and settings look on a terminal. Text only; `--json` prints the documents themselves."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporter.terminal import say, whole

Document = dict[str, Any]


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
            Text(item["provider"] or "–"), Text(item["model"]), f"{item['calls']:,}", item["family"], item["tokenizer"] or "–",
            item["template"] or "–", item["accuracy"], _error(item), _observed(item["observed"]["input"]),
            _observed(item["observed"]["output"]), ", ".join(item["dify_kinds"]) or "–",
        )  # fmt: skip
    whole(console, table)
    say(
        console,
        "observed: local ÷ vendor, the median and what nine of ten calls lie between; never applied",
        "dim",
    )
    for note in dict.fromkeys(f"{item['family']}: {item['note']}" for item in documents if item["note"]):
        say(console, note, "dim")


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
        say(
            console,
            "no vendor requests are known of that time; docs/evidence.md says how to connect a source",
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
        sources.add_row(Text(item["source"]), *(f"{item[name]:,}" for name in columns), clock)
    whole(console, sources)
    for title, name in (
        ("Hidden: Dify asked on its own, in no message or run", "hidden"),
        ("Unrecorded: of Dify's users or apps, but no row is left of it", "unrecorded"),
        ("Foreign: not Dify's", "foreign"),
        ("Told by the vendor only per stretch of time", "buckets"),
    ):
        if document[name]:
            console.print()
            whole(console, _traffic(title, document[name]))
    for change in document["bucket_changes"]:
        say(
            console,
            f"{change['source']} {change['report']}: {change['stretches']:,} stretches were told otherwise before; since then"
            f" {change['input']:+,} input, {change['output']:+,} output tokens (last {change['last_changed_at']})",
            "dim",
        )


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
            Text(group["source"]), Text(group.get("purpose") or group.get("report") or "–"),
            Text(group["model"] or "–"), Text(group["key"] or "–"), *("–" if number is None else f"{number:,}" for number in numbers),
            *([cost] if has_cost else []),
        )  # fmt: skip
    return table


def audit(console: Console, documents: list[Document]) -> None:
    """One line a destination and day, then the ids of what is not as it should be."""
    if not documents:
        say(console, "nothing that was exported began in that time")
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
            Text(item["destination"]),
            f"{item['exported']:,}",
            *found,
            waits or "0",
            Text(_audit_note(item)),
        )
    whole(console, table)
    for item in documents:
        for line in _audit_ids(item):
            say(console, line)


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
    """`config show`: a line a setting with its value and where that came from, and what it is for below."""
    for path, value, origin, meaning in rows:
        say(
            console,
            Text.assemble(
                (path, "bold"), f" = {'–' if value in ('', None) else value}  ", (f"({origin})", "dim")
            ),
        )
        if meaning:
            say(console, meaning, "dim", indent=4)


def status(console: Console, document: Document) -> None:
    """`status` for a person at 3 a.m.: problems first."""
    for problem in document["problems"]:
        say(console, f"! {problem}", "red")
    running = "running" if document["daemon"] else "not running"
    say(console, f"daemon {running}, state {document['state']}")
    for name, words in document["source"].items():
        say(console, f"source {name}: {words}")
    records = (
        ", ".join(f"{count:,} {name}" for name, count in sorted(document["records"].items())) or "none yet"
    )
    say(console, f"records: {records}; lag {_long(document['lag_seconds'])}")
    if document["destinations"]:
        whole(console, _destinations(document["destinations"]))
    for item in document["evidence"]:
        say(
            console,
            f"evidence {item['source']}: {item['requests']:,} requests, {item['matched']:,} matched, {item['refused']:,} refused",
        )
    for job in document["jobs"]:
        say(console, f"job {job['name']}: last success {job['last_success'] or 'never'}", "dim")
    for letter in document["dead_letters"]:
        say(console, f"dead letter {letter['destination']} {letter['trace_id']}: {letter['reason']}")
    for item in document["set_aside"]:
        say(console, f"set aside {item['kind']} {item['id']}: {item['reason']}")


def _long(seconds: float) -> str:
    """`12 s`, `3 h 33 min`: the two largest units."""
    whole_seconds = int(seconds)
    if whole_seconds < 60:
        return f"{seconds:g} s"
    days, hours, minutes = whole_seconds // 86_400, whole_seconds // 3_600 % 24, whole_seconds // 60 % 60
    told = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(told[:2])


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
            Text(item["name"]), f"{item['delivered_traces']:,}", f"{item['confirmed']:,}", f"{item['waiting']:,}",
            f"{item['in_doubt']:,}", f"{item['unconfirmed']:,}", f"{item['dead_letters']:,}",
            (item["last_success"] or "never")[:19], Text(item["hold"] or item["failure"] or ""),
        )  # fmt: skip
    return table
