"""Commands that show what the state file holds: status, calls, evidence, models, explain."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import orjson
import typer

from exporter import clock, printed_calls, printing
from exporter.cli.common import Json, app, err, load, open_store, out, print_json, print_lines, stretch
from exporter.cli.known import refuse_unknown
from exporter.model import Verdict
from exporter.terminal import say, whole


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Lag, backlog, dead letters, last success of each part."""
    from exporter import status as states

    settings = load(context).settings
    with open_store(settings) as store:
        document = states.document(store, settings, clock.now())
    if as_json:
        print_json(document)
    else:
        printing.status(out, document)
    if document["problems"]:
        raise typer.Exit(1)


@app.command()
def calls(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(help="Calls that began at or after this time (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Calls that began before this time (UTC).")] = None,
    application: Annotated[str | None, typer.Option("--app", help="App id or name.")] = None,
    model: Annotated[str | None, typer.Option(help="Model name.")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="agree, explained, unexplained, unverified or pending.")
    ] = None,
    trace: Annotated[str | None, typer.Option(help="Trace, message or run id.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    as_json: Json = False,
) -> None:
    """The ledger: one row a model call, with its three readings."""
    from exporter.calls import listing
    from exporter.state import ledger

    if verdict is not None and verdict not in list(Verdict):
        raise typer.BadParameter(f"{verdict!r} is none of {', '.join(list(Verdict))}", param_hint="--verdict")
    wanted = ledger.CallFilter(*stretch(since, until), application, model, verdict, trace, limit)
    settings = load(context).settings
    with open_store(settings) as store, store.read() as connection:
        documents = listing(connection, wanted, settings.compare)
        try:
            first = next(documents, None)
        except ValueError:
            raise typer.BadParameter(f"{trace!r} is not an id", param_hint="--trace") from None
        if first is None:
            refuse_unknown(connection, application, model)
            if not as_json:
                say(out, "no such call is in the ledger")
            return
        found = chain([first], documents)
        if as_json:
            print_lines(found)
        else:
            whole(out, printed_calls.calls_table([orjson.loads(text) for text in found]))


@app.command()
def evidence(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="Requests that began at or after this time (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Requests that began before this time (UTC).")] = None,
    as_json: Json = False,
) -> None:
    """What became of every vendor request: matched to a call, hidden, unrecorded by Dify, or foreign; per key and model."""
    from exporter import evidence_report

    begins, ends = stretch(since, until)
    settings = load(context).settings
    with open_store(settings) as store:
        document = evidence_report.document(store, settings, clock.now(), begins, ends)
    if as_json:
        print_json(document)
    else:
        printing.evidence(out, document)


@app.command()
def models(context: typer.Context, as_json: Json = False) -> None:
    """The models seen: how each is counted here, how far that can be trusted, and how it compared with the vendor so far."""
    from exporter import models_report

    settings = load(context).settings
    with open_store(settings) as store:
        documents = models_report.documents(store, settings)
    if as_json:
        print_lines([orjson.dumps(document).decode() for document in documents])
    else:
        printing.models(out, documents)


@app.command()
def explain(
    context: typer.Context,
    trace: Annotated[str, typer.Argument(help="Trace, message or run id.")],
    as_json: Json = False,
) -> None:
    """One screen about one trace: its calls, three readings each, findings, money."""
    from exporter import links
    from exporter.destinations import registry
    from exporter.links_back import dify_link, pages_address
    from exporter.state import ledger

    settings = load(context).settings
    with open_store(settings) as store, store.read() as connection:
        try:
            document = ledger.trace(connection, trace)
        except ValueError:
            raise typer.BadParameter(
                f"{trace!r} is not an id; use a trace, message or workflow run id", param_hint="TRACE"
            ) from None
        if document is None:
            say(err, f"no trace {trace} in {settings.state.path}", "red")
            raise typer.Exit(1)
        if as_json:
            print_json(document)
            return
        destinations = registry.build(settings)
        links.learn(destinations)
        found = links.links(connection, settings, destinations, document)
    page = dify_link(document, pages_address(settings.dify))
    printed_calls.explain(out, document, [*([("Dify", page)] if page else []), *found])
