"""`doctor`: the checklist of why numbers differ."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from exporter import clock
from exporter.cli.common import Json, app, load, open_store, out, print_lines


@app.command()
def doctor(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(help="First day or moment, in report.time_zone; default: the first of the month."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="First day or moment that is not wanted any more; default: now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk through the checklist of why numbers differ, on the live data: fine, problem or can't know, and the next step. Exit 1 when there is a problem."""
    from exporter.doctor.checks import State, walk
    from exporter.doctor.facts import gather
    from exporter.report.window import read_window

    settings = load(context).settings
    window = read_window(since, until, settings.report.time_zone, clock.now())
    with open_store(settings) as store:
        answers = walk(gather(store, settings, window, clock.now()))
    if as_json:
        print_lines(
            orjson.dumps(
                {"topic": item.topic, "state": item.state, "seen": item.seen, "next_step": item.next_step}
            ).decode()
            for item in answers
        )
    else:
        colours = {State.FINE: "green", State.PROBLEM: "red", State.UNKNOWN: "yellow"}
        for item in answers:
            out.print(f"[{colours[item.state]}]{item.state:<10}[/] ", end="", highlight=False)
            out.print(f"{item.topic}: {item.seen}", highlight=False, markup=False)
            if item.next_step and item.state is not State.FINE:
                out.print(f"           {item.next_step}", style="dim", highlight=False, markup=False)
    raise typer.Exit(int(any(item.state is State.PROBLEM for item in answers)))
