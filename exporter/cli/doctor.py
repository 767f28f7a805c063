"""`doctor`: the checklist of why numbers differ."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.text import Text

from exporter import clock
from exporter.cli.common import Json, app, as_asked, load, open_store, out, print_lines
from exporter.terminal import say

_STATE_WIDTH = 11


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
    with as_asked():
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
        said = ""
        for item in answers:
            state = (f"{item.state:<{_STATE_WIDTH}}", colours[item.state])
            say(out, Text.assemble(state, f"{item.topic}: {item.seen}"), hang=_STATE_WIDTH)
            if item.next_step not in ("", said) and item.state is not State.FINE:
                say(out, item.next_step, "dim", indent=_STATE_WIDTH)
            said = item.next_step
    raise typer.Exit(int(any(item.state is State.PROBLEM for item in answers)))
