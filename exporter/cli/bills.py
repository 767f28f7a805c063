"""`bills import`: a console's exported usage or bill into the state file, so that `report` can be held against it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from exporter import clock, config
from exporter.cli.common import Json, Misused, app, as_asked, load, out, print_json
from exporter.terminal import say

bills = typer.Typer(help="Vendors' bills and usage sums.", no_args_is_help=True)
app.add_typer(bills, name="bills")


@bills.callback()
def _group() -> None:
    """Commands about bills."""


@bills.command("import")
def import_bill(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON or JSON Lines from a console; .gz too.")],
    preset: Annotated[str, typer.Option(help="Who exported it: openai-usage, deepseek, aliyun-bill, …")] = "",
    name: Annotated[str, typer.Option(help="Source name in reports; default: the preset.")] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="A column's own name: --column input='Prompt tokens'.")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="Zone of its days; default: the preset's, else UTC.")] = "",
    currency: Annotated[str, typer.Option(help="Of amounts in a file that names none.")] = "",
    encoding: Annotated[str, typer.Option(help="Default: UTF-8, else GB18030.")] = "",
    replaces: Annotated[
        bool, typer.Option(help="The file holds all of its time: what was imported of it before goes.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is in it.")] = False,
    as_json: Json = False,
) -> None:
    """Import exported usage or bills. The same file again changes nothing. Exit 1 when rows were refused."""
    from exporter.vendor.bills.imports import read_file

    loaded = load(context)
    given = {
        "kind": "file", "path": str(files[0]), "preset": preset, "name": name, "columns": _columns(column or []),
        "time_zone": time_zone, "currency": currency, "encoding": encoding, "replaces": replaces,
    }  # fmt: skip
    settings = _settings(given)
    with as_asked():
        found = [(path, read_file(path, settings)) for path in files]
    if not dry_run:
        _store(loaded.settings, settings.name, [item for _, item in found])
    told = [_told(path, item) for path, item in found]
    if as_json:
        print_json({"source": settings.name, "stored": not dry_run, "files": told})
    else:
        for item in told:
            _say(settings.name, item)
    raise typer.Exit(int(any(item["refused"] for item in told)))


def _columns(given: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for item in given:
        field, equals, heading = item.partition("=")
        if not equals:
            raise typer.BadParameter(
                f"{item}: expected field=heading, such as input='Prompt tokens'", param_hint="--column"
            )
        found[field.strip()].append(heading.strip())
    return dict(found)


def _settings(given: dict[str, Any]) -> config.BillSettings:
    try:
        return config.BillSettings.model_validate(given)
    except ValidationError as error:
        words = "\n".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
        raise Misused(f"{words}\nTry: name a --preset, or the file's columns with --column") from None


def _store(settings: config.Settings, source: str, found: list[Any]) -> None:
    from exporter.state import buckets, evidence
    from exporter.state.store import Store

    now = clock.now()
    store = Store(settings.state.path)
    try:
        with store.transaction("import") as connection:
            for item in found:
                buckets.put(connection, item.buckets, now, item.told)
                for bad in item.refused:
                    evidence.refuse(connection, source, bad.place, bad.reason, now)
    finally:
        store.close()


def _told(path: Path, found: Any) -> dict[str, Any]:
    money: dict[str, Any] = defaultdict(int)
    for item in found.buckets:
        if item.cost is not None:
            money[item.currency] += item.cost
    return {
        "file": str(path),
        "rows": found.rows,
        "stretches": len({(item.starts_at, item.ends_at) for item in found.buckets}),
        "buckets": len(found.buckets),
        "since": clock.rfc3339(min(item.starts_at for item in found.buckets)) if found.buckets else None,
        "until": clock.rfc3339(max(item.ends_at for item in found.buckets)) if found.buckets else None,
        "input": _sum(found, "input"),
        "output": _sum(found, "output"),
        "cost": {name: format(amount, "f") for name, amount in sorted(money.items())},
        "empty": found.empty,
        "totals": found.totals,
        "other_products": found.other_products,
        "refused": [{"place": bad.place, "reason": bad.reason} for bad in found.refused],
        "columns": {name: list(headings) for name, headings in found.columns.items()},
    }


def _sum(found: Any, part: str) -> int | None:
    known = [value for item in found.buckets if (value := getattr(item.tokens, part)) is not None]
    return sum(known) if known else None


def _say(source: str, told: dict[str, Any]) -> None:
    tokens = " → ".join("–" if told[part] is None else f"{told[part]:,}" for part in ("input", "output"))
    cost = " + ".join(f"{amount} {name}" for name, amount in told["cost"].items()) or "no cost"
    lines = [
        f"{told['file']} → {source}: {told['rows']:,} rows, {told['since'] or '–'} to {told['until'] or '–'}",
        f"  tokens {tokens}, {cost}",
        f"  left out: {told['empty']} empty, {told['totals']} totals, {told['other_products']} of other products;"
        f" {len(told['refused'])} refused",
        *(f"  {bad['place']}: {bad['reason']}" for bad in told["refused"][:20]),
    ]
    for line in lines:
        say(out, line)
