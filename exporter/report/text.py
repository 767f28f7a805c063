"""A report on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exporter.printed_money import short
from exporter.report.pace import monthly
from exporter.report.table import is_known
from exporter.terminal import say, whole

Document = dict[str, Any]

_WORDS = {
    "within": "within tolerance",
    "above": "ABOVE TOLERANCE",
    "unverified": "no vendor's number to hold it against",
    "foreign": "not Dify's",
}
_STEPS = {
    "dify": "Dify recorded",
    "unexplained": "nobody can explain",
    "vendor": "the vendor counted for these calls",
    "unjudged": "of calls that are not judged yet",
    "foreign": "others under the same keys",
    "billed": "the vendor counted in all",
}


def print_report(console: Console, document: Document) -> None:
    """Heading, the way from Dify's number to the vendor's, rows, the bill, and what to know about the window."""
    window, total = document["window"], document["total"]
    say(
        console,
        f"{document['instance']}: {window['local_since']} to {window['local_until']} ({window['time_zone']})",
        "bold",
    )
    _only(console, document["only"])
    say(
        console,
        f"{total['calls']:,} calls, {total['verified_calls']:,} of them with the vendor's own number;"
        f" {_standing(document)}",
    )
    console.print()
    if total["verified_calls"]:
        whole(console, _waterfall(document["waterfall"]))
    elif total["calls"]:
        say(
            console, "No call could be held against the vendor's number, so no difference can be taken apart."
        )
    else:
        say(console, "The ledger has no such call in this window.")
    if total["money"]:
        console.print()
        whole(console, _money(total["money"]))
    _monthly(console, document)
    if document["rows"]:
        console.print()
        whole(console, _rows(document))
    for bill in document["bills"]:
        console.print()
        _bill(console, bill)
    _remarks(console, document)


def _standing(document: Document) -> str:
    words = _WORDS[document["verdict"]]
    return words if document["verdict"] == "unverified" else f"{words} ({document['tolerance_percent']:g} %)"


def _only(console: Console, only: Document) -> None:
    words = [f"the {name} {chosen}" for name, chosen in only.items() if chosen is not None]
    if words:
        say(console, f"Only {' and '.join(words)}; bills and the traffic of others are left out.")


def _table(*columns: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, is_number in columns:
        table.add_column(name, justify="right" if is_number else "left")
    return table


def _waterfall(steps: list[Document]) -> Table:
    table = _table(("", False), ("input", True), ("output", True), ("total", True), ("money", True))
    for step in steps:
        is_sum = step["step"] in ("dify", "vendor", "billed")
        numbers = [step["input"], step["output"], step["input"] + step["output"]]
        name = _STEPS.get(step["step"]) or f"{step['title']} ({step['code']})"
        form = "{:,}" if is_sum else "{:+,}"
        table.add_row(
            name if is_sum else f"  {name}",
            *(form.format(n) for n in numbers),
            _costs(step.get("cost", {}), signed=True),
            style="bold" if is_sum else None,
        )
    return table


def _rows(document: Document) -> Table:
    table = _table(
        *((name, False) for name in document["by"]),
        *((name, True) for name in ("calls", "dify", "local", "vendor", "difference", "unexplained")),
        ("cost dify", True), ("vendor", True), ("", False),
    )  # fmt: skip
    for row in document["rows"]:
        table.add_row(
            *(escape(row[name]) or "–" for name in document["by"]),
            f"{row['calls']:,}",
            *(_reading(row, name) for name in ("dify", "local", "vendor")),
            _pair(row["difference"], signed=True),
            _pair(row["unexplained"], signed=True),
            _costs(row["dify"]["cost"]), _costs(row["vendor"]["cost"]),
            "" if row["verdict"] == "within" else row["verdict"],
        )  # fmt: skip
    return table


def _pair(numbers: Document | None, *, signed: bool = False) -> str:
    if numbers is None:
        return "–"
    form = "{:+,}" if signed else "{:,}"
    return " → ".join(
        "–" if numbers[part] is None else form.format(numbers[part]) for part in ("input", "output")
    )


def _reading(row: Document, name: str) -> str:
    return _pair(row[name]) if is_known(row, name) else "–"


def _costs(costs: Document, *, signed: bool = False) -> str:
    words = (f"{short(amount, signed=signed)} {currency}" for currency, amount in costs.items())
    return ", ".join(words) or "–"


def _money(money: Document) -> Table:
    names = ("calls", "dify", "vendor", "difference", "of it causes", "rest")
    table = _table(("currency", False), *((name, True) for name in names))
    for currency, amounts in money.items():
        table.add_row(
            currency,
            f"{amounts['calls']:,}",
            *(short(amounts[name]) for name in ("dify", "vendor")),
            *(short(amounts[name], signed=True) for name in ("difference", "findings", "rest")),
        )
    return table


def _monthly(console: Console, document: Document) -> None:
    causes = monthly(document)
    if not causes:
        return
    pace = document["pace"]
    console.print()
    say(
        console,
        f"In a month ({pace['month_days']} days), extrapolated from {pace['days']:g} days (minus: Dify shows too much): "
        + "; ".join(f"{item['title']} {_costs(item['per_month'], signed=True)}" for item in causes),
    )


def _bill(console: Console, bill: Document) -> None:
    scope = bill["scope"] or "no scope set for this usage; compared by model name"
    say(console, f"Bill of {bill['source']}: {scope}", "bold")
    table = _table(("", False), ("requests", True), ("input → output", True), ("cost", True))
    for name, part in (
        ("the vendor's sums", "bill"),
        ("the ledger accounts for", "ledger"),
        ("seen of others", "seen_elsewhere"),
    ):
        numbers = bill[part]
        table.add_row(name, _number(numbers["requests"]), _pair(numbers), _costs(numbers.get("cost", {})))
    rest_cost = _costs(bill["rest_cost"], signed=True)
    share = "" if bill["rest_percent"] is None else f" ({bill['rest_percent']:g} %)"
    table.add_row(
        "rest", _number(bill["rest"]["requests"]), _pair(bill["rest"], signed=True) + share, rest_cost
    )
    whole(console, table)
    say(console, _WORDS[bill["verdict"]])


def _of(item: Document) -> str:
    return f"{item['source']} ({item['report']})" if item["report"] else str(item["source"])


def _number(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _remarks(console: Console, document: Document) -> None:
    lines = []
    window = document["window"]
    missing = document["completeness"]
    if missing["waiting_records"]:
        lines.append(f"{missing['waiting_records']:,} Dify records of this time wait to be read (again).")
    if missing["set_aside_records"]:
        lines.append(f"{missing['set_aside_records']:,} could not be read; see `dify-exporter status`.")
    for border in ("since", "until"):
        cut = document["borders"][border]
        if cut["calls"]:
            lines.append(
                f"{cut['calls']:,} calls ({cut['input'] + cut['output']:,} tokens) run over the window's"
                f" {'start' if border == 'since' else 'end'}; a vendor may book them on the other side."
            )
    for bill in document["bills"]:
        cut = bill["cut_by_border"]
        if any(cut.values()):
            lines.append(
                f"{bill['source']}: {cut['input'] + cut['output']:,} tokens stand in stretches that the window cuts and are"
                " left out; choose borders that are days of the vendor's."
            )
        if bill["cut_cost_by_border"]:
            lines.append(
                f"{bill['source']}: {_costs(bill['cut_cost_by_border'])} stand in stretches that the window cuts and are left out."
            )
    lines += [
        f"{_of(stretch)} tells nothing after {stretch['last']} (yet)."
        for stretch in document["bill_stretches"]
        if stretch["last"] < window["until"]
    ]
    lines += [
        f"{_of(change)} told {change['stretches']:,} stretches otherwise before"
        f" ({change['input']:+,} → {change['output']:+,} tokens since)."
        for change in document["bill_changes"]
    ]
    if lines:
        console.print()
    for line in lines:
        say(console, line, "dim")
