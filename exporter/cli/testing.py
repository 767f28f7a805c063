"""Commands that ask others and judge: check, audit."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.text import Text

from exporter import clock, printing
from exporter.cli.common import Json, app, load, open_store, out, print_lines, stretch_until_now
from exporter.errors import Misconfigured
from exporter.terminal import say

_HINT_INDENT = 7


@app.command()
def check(context: typer.Context, as_json: Json = False) -> None:
    """Test every connection and setting; say what is missing and how to fix it. Exit 0 only if run would work."""
    from exporter.checks import check_all

    results = list(check_all(load(context).settings))
    if as_json:
        print_lines([orjson.dumps(_checked(item)).decode() for item in results])
    else:
        for item in results:
            state = ("ok  ", "green") if item.ok else ("FAIL", "red")
            say(out, Text.assemble(state, f" {item.name}  {item.seen}"), hang=_HINT_INDENT)
            if item.hint:
                say(out, item.hint, "dim" if item.ok else "yellow", indent=_HINT_INDENT)
    failed = [item for item in results if not item.ok]
    if failed:
        raise typer.Exit(3 if any(item.unreachable for item in failed) else 1)


def _checked(item: Any) -> dict[str, Any]:
    return {"name": item.name, "ok": item.ok, "seen": item.seen, "hint": item.hint}


@app.command()
def audit(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="Traces that began at or after this time (UTC).")],
    until: Annotated[
        str | None, typer.Option(help="Traces that began before this time (UTC); default: now.")
    ] = None,
    destination: Annotated[str | None, typer.Option(help="Only this destination.")] = None,
    sample: Annotated[
        int,
        typer.Option(
            min=0, help="Traces a day to compare span by span where only roots are listed (LangSmith)."
        ),
    ] = 50,
    repair: Annotated[bool, typer.Option("--repair", help="Queue missing traces again.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the ledger with what each destination holds, by day: what is missing, what is doubled, what only waits."""
    from exporter import audit as auditing
    from exporter.destinations import registry

    question = auditing.Question(*stretch_until_now(since, until), clock.now(), sample, repair)
    settings = load(context).settings
    named = [item.name for item in settings.destinations]
    if not named:
        raise Misconfigured(["destinations: none is configured, so there is nothing to audit"])
    if destination not in (None, *named):
        raise typer.BadParameter(
            f"no destination {destination!r}; there is {', '.join(named)}", param_hint="--destination"
        )
    wanted = named if destination is None else [destination]
    chosen = [item for item in registry.build(settings) if item.name in wanted]
    days = []
    with open_store(settings) as store:
        for day in auditing.audit(store, chosen, question):
            days.append(day)
            if as_json:
                print_lines([orjson.dumps(auditing.document(day)).decode()])
    if not as_json:
        printing.audit(out, [auditing.document(day) for day in days])
    raise typer.Exit(auditing.exit_code(days))
