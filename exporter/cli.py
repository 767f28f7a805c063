"""The command line: parse, call, print. The work is elsewhere.

Exit codes: 0 ok, 1 found a problem the command looks for, 2 usage or configuration, 3 could not reach something.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from exporter import __version__, clock, config, printing
from exporter.errors import ExporterError, Misconfigured
from exporter.logs import configure

app = typer.Typer(
    name="dify-exporter",
    help="Dify's traces with three token readings on every model call, sent where the team already looks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The settings and where each came from.", no_args_is_help=True)
app.add_typer(config_app, name="config")

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON (lists as JSON Lines).")]
SHUTDOWN_SECONDS = 4.0


@dataclass(slots=True)
class Given:
    """What was given before the command's name."""

    file: Path | None
    flags: dict[str, Any]


def main() -> None:
    """Entry point: errors become one message on standard error and the documented exit code."""
    try:
        app()
    except ExporterError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)


def _complain(error: ExporterError) -> None:
    if isinstance(error, Misconfigured):
        err.print(f"[red]{len(error.problems)} problem(s) in the settings:[/red]", highlight=False)
        for problem in error.problems:
            err.print(f"  {problem}", highlight=False, markup=False)
    else:
        err.print(str(error), style="red", highlight=False, markup=False)
    if error.hint:
        err.print(f"Try: {error.hint}", highlight=False, markup=False)


@app.callback()
def options(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings file (default: dify-exporter.yaml).")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="Dify's database (better: DIFY_DATABASE_URL).")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="State file.")] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: --set dify.poll_interval=10s")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options for every command come before the command's name."""
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit
    flags: dict[str, Any] = {"dify.database.url": database_url, "state.path": str(state) if state else None}
    problems = []
    for item in assign or []:
        path, equals, value = item.partition("=")
        if not equals:
            problems.append(f"--set {path}: expected name=value")
        flags[path.strip()] = value
    if problems:
        raise Misconfigured(problems)
    context.obj = Given(file, flags)


def _load(context: typer.Context) -> config.Loaded:
    given: Given = context.obj
    loaded = config.load(given.file, flags=given.flags)
    configure(loaded.settings.log)
    return loaded


@contextmanager
def _store(settings: config.Settings) -> Iterator[Any]:
    from exporter.state.store import Store

    if not settings.state.path.exists():
        raise Misconfigured(
            [f"state.path: {settings.state.path} does not exist yet"],
            "run `dify-exporter run` first, or name its state with --state",
        )
    store = Store(settings.state.path)
    try:
        yield store
    finally:
        store.close()


def _print_lines(documents: Iterator[str] | list[str]) -> None:
    for document in documents:
        sys.stdout.write(document + "\n")


def _print_json(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


def _moment(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        return clock.micros(config.parse_time(text))
    except ValueError:
        raise Misconfigured([f"{name}: expected a time such as 2026-11-23 or 2026-11-23T19:00:00Z"]) from None


@app.command()
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Replay everything, print a summary, exit.")] = False,
    again: Annotated[
        bool, typer.Option("--serve", help="Replay nothing; serve the last demo's page.")
    ] = False,
) -> None:
    """Replay recorded Dify traffic through the whole pipeline into a local page; no account, no Dify, no network."""
    from exporter.demo.demo import run_demo

    raise typer.Exit(run_demo(once=once, serve=again, flags=context.obj.flags))


@app.command()
def check(context: typer.Context, as_json: Json = False) -> None:
    """Test every connection and setting; say what is missing and how to fix it. Exit 0 only if run would work."""
    from exporter.checks import check_all

    results = list(check_all(_load(context).settings))
    if as_json:
        _print_lines([orjson.dumps(_checked(item)).decode() for item in results])
    else:
        for item in results:
            out.print(
                f"[{'green' if item.ok else 'red'}]{'ok  ' if item.ok else 'FAIL'}[/] {item.name}",
                end="  ",
                highlight=False,
            )
            out.print(item.seen, highlight=False, markup=False)
            if item.hint:
                out.print(
                    f"       {item.hint}", highlight=False, markup=False, style="dim" if item.ok else "yellow"
                )
    failed = [item for item in results if not item.ok]
    if failed:
        raise typer.Exit(3 if any(item.unreachable for item in failed) else 1)


def _checked(item: Any) -> dict[str, Any]:
    return {"name": item.name, "ok": item.ok, "seen": item.seen, "hint": item.hint}


@app.command()
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Export everything available, deliver, exit.")] = False,
    as_json: Json = False,
) -> None:
    """The daemon: pull, read, compare, forward, for ever."""
    settings = _load(context).settings
    if once:
        raise typer.Exit(_run_once(settings, as_json))
    raise typer.Exit(_run_daemon(settings))


def _run_once(settings: config.Settings, as_json: bool) -> int:
    from exporter.daemon import App

    with App(settings) as running:
        report = running.run_once()
    if as_json:
        _print_json({name: getattr(report, name) for name in report.__slots__})
    else:
        out.print(
            f"{report.exported} traces exported, {report.unfinished} still unfinished in Dify,"
            f" {report.filtered} filtered, {report.set_aside} set aside",
            highlight=False,
        )
        for name, count in report.delivered.items():
            waiting = report.waiting.get(name, 0)
            tail = f", {waiting} waiting" if waiting else ""
            tail += f", {report.dead[name]} refused" if name in report.dead else ""
            tail += f", {report.unconfirmed[name]} not confirmed yet" if name in report.unconfirmed else ""
            out.print(f"{name}: {count} traces delivered{tail}", highlight=False)
        for problem in report.problems:
            err.print(problem, style="red", highlight=False, markup=False)
    return 3 if report.problems else 1 if report.dead or report.set_aside else 0


def _run_daemon(settings: config.Settings) -> int:
    from exporter.service import serve

    return serve(settings, SHUTDOWN_SECONDS)


@app.command()
def backfill(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="First moment, e.g. 2026-11-01 or 2026-11-01T00:00:00Z.")],
    until: Annotated[str | None, typer.Option(help="First moment that is not wanted; default: now.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Json = False,
) -> None:
    """Export history with its original times; resumable after a kill."""
    from exporter.history import run_backfill

    settings = _load(context).settings
    start = _moment(since, "--since") or 0
    end = _moment(until, "--until") or clock.now()
    raise typer.Exit(run_backfill(settings, start, end, dry_run=dry_run, as_json=as_json, out=out, err=err))


@app.command()
def record(
    listen: Annotated[str, typer.Option(help="Address to listen on, host:port.")] = "127.0.0.1:9465",
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="Vendor to stand for: https://host, or /prefix=https://host; may be given again."),
    ] = None,
    push: Annotated[
        str | None, typer.Option(help="Exporter to push records to (default: http://127.0.0.1:9464).")
    ] = None,
    record_file: Annotated[
        Path | None, typer.Option("--out", help="Write records, with texts, to this file instead.")
    ] = None,
    spool: Annotated[
        Path, typer.Option(help="Folder for records, with texts, while the exporter is away.")
    ] = Path("recorder-spool"),
    name: Annotated[str, typer.Option(help="Name of this source in readings.")] = "recorder",
    force_stream_usage: Annotated[
        bool,
        typer.Option("--force-stream-usage", help="Add stream_options.include_usage to OpenAI chat streams."),
    ] = False,
    upstream_ca: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) to trust besides the system's.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds of silence after which an upstream has failed.")
    ] = 600.0,
) -> None:
    """Pass model calls through to the vendor unchanged and write down what the vendor counted."""
    from exporter.recorder.command import serve_recorder
    from exporter.recorder.options import read_options

    log = config.LogSettings()  # type: ignore[call-arg]
    configure(log)
    options = read_options(
        listen=listen, upstream=upstream or [], push=push, out=record_file, spool=spool, name=name,
        force_stream_usage=force_stream_usage, upstream_ca=upstream_ca, timeout_seconds=timeout, log=log,
    )  # fmt: skip
    raise typer.Exit(serve_recorder(options))


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Lag, backlog, dead letters, last success of each part."""
    from exporter import status as states

    settings = _load(context).settings
    with _store(settings) as store:
        document = states.document(store, settings, clock.now())
    if as_json:
        _print_json(document)
    else:
        printing.status(out, document)
    if document["problems"]:
        raise typer.Exit(1)


@app.command()
def calls(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(help="Calls that began at or after this time.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls that began before this time.")] = None,
    application: Annotated[str | None, typer.Option("--app", help="App id or name.")] = None,
    model: Annotated[str | None, typer.Option(help="Model name.")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="agree, explained, unexplained, unverified or pending.")
    ] = None,
    trace: Annotated[str | None, typer.Option(help="Trace, message or run id.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    as_json: Json = False,
) -> None:
    """The ledger: one row a model call, with its three readings."""
    from exporter.calls import listing
    from exporter.state import ledger

    wanted = ledger.CallFilter(
        _moment(since, "--since"), _moment(until, "--until"), application, model, verdict, trace, limit
    )
    settings = _load(context).settings
    with _store(settings) as store, store.read() as connection:
        try:
            documents = listing(connection, wanted, settings.compare)
            if as_json:
                _print_lines(documents)
            else:
                out.print(printing.calls_table([orjson.loads(text) for text in documents]))
        except ValueError:
            raise Misconfigured([f"--trace: {trace!r} is not an id"]) from None


@app.command()
def evidence(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(help="Requests that began at or after this time.")] = None,
    until: Annotated[str | None, typer.Option(help="Requests that began before this time.")] = None,
    as_json: Json = False,
) -> None:
    """What became of every vendor request: matched to a call, hidden, unrecorded by Dify, or foreign; per key and model."""
    from exporter import evidence_report

    settings = _load(context).settings
    with _store(settings) as store:
        document = evidence_report.document(
            store, settings, clock.now(), _moment(since, "--since"), _moment(until, "--until")
        )
    if as_json:
        _print_json(document)
    else:
        printing.evidence(out, document)


@app.command()
def models(context: typer.Context, as_json: Json = False) -> None:
    """The models seen: how each is counted here, how far that can be trusted, and how it compared with the vendor so far."""
    from exporter import models_report

    settings = _load(context).settings
    with _store(settings) as store:
        documents = models_report.documents(store, settings)
    if as_json:
        _print_lines([orjson.dumps(document).decode() for document in documents])
    else:
        printing.models(out, documents)


@app.command()
def explain(
    context: typer.Context,
    trace: Annotated[str, typer.Argument(help="Trace, message or run id.")],
    as_json: Json = False,
) -> None:
    """One screen about one trace: its calls, three readings each, findings, money."""
    from exporter.destinations import registry
    from exporter.state import ledger

    settings = _load(context).settings
    with _store(settings) as store, store.read() as connection:
        try:
            document = ledger.trace(connection, trace)
        except ValueError:
            raise Misconfigured(
                [f"{trace!r} is not an id"], "use a trace, message or workflow run id"
            ) from None
    if document is None:
        err.print(f"no trace {trace} in {settings.state.path}", style="red", highlight=False)
        raise typer.Exit(1)
    if as_json:
        _print_json(document)
        return
    links = [
        (item.name, link)
        for item in registry.build(settings)
        if (link := item.link(document["trace_id"])) is not None
    ]
    printing.explain(out, document, links)


@app.command()
def replay(
    context: typer.Context,
    destination: Annotated[str | None, typer.Option(help="Only this destination's dead letters.")] = None,
) -> None:
    """Dead letters back to the outbox, and records that were set aside back to reading."""
    from exporter.state import outbox, records

    with _store(_load(context).settings) as store, store.transaction("replay") as connection:
        letters = outbox.revive(connection, clock.now(), destination)
        aside = [] if destination else [ref for ref, _ in records.set_aside(connection)]
        records.look_again(connection, aside, clock.now())
    out.print(
        f"{letters} dead letters and {len(aside)} set-aside records will be tried again", highlight=False
    )


@app.command()
def audit(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="Traces that began at or after this time.")],
    until: Annotated[
        str | None, typer.Option(help="Traces that began before this time; default: now.")
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

    settings = _load(context).settings
    question = auditing.Question(
        _moment(since, "--since") or 0, _moment(until, "--until") or clock.now(), clock.now(), sample, repair
    )
    named = [item.name for item in settings.destinations]
    wanted = named if destination is None else [name for name in named if name == destination]
    if not wanted:
        raise Misconfigured([f"no destination to audit; configured: {', '.join(named) or 'none'}"])
    chosen = [item for item in registry.build(settings) if item.name in wanted]
    days = []
    with _store(settings) as store:
        for day in auditing.audit(store, chosen, question):
            days.append(day)
            if as_json:
                _print_lines([orjson.dumps(auditing.document(day)).decode()])
    if not as_json:
        printing.audit(out, [auditing.document(day) for day in days])
    raise typer.Exit(auditing.exit_code(days))


@config_app.command("show")
def config_show(context: typer.Context, as_json: Json = False) -> None:
    """Effective settings and where each came from; secrets masked."""
    from exporter.settings_view import rows

    found = list(rows(_load(context)))
    if as_json:
        _print_json({path: {"value": value, "origin": origin} for path, value, origin, _ in found})
        return
    printing.settings(out, found)
