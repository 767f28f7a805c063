"""Commands that move something: demo, run, backfill, record, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exporter import clock, config
from exporter.cli.common import Json, app, as_asked, err, load, open_store, out, print_json, stretch_until_now
from exporter.logs import configure
from exporter.terminal import say

_SHUTDOWN_SECONDS = 4.0


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
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Export everything available, deliver, exit.")] = False,
    as_json: Json = False,
) -> None:
    """The daemon: pull, read, compare, forward, for ever."""
    settings = load(context).settings
    if once:
        raise typer.Exit(_run_once(settings, as_json))
    raise typer.Exit(_run_daemon(settings))


def _run_once(settings: config.Settings, as_json: bool) -> int:
    from exporter.daemon import App

    with App(settings) as running:
        report = running.run_once()
    if as_json:
        print_json({name: getattr(report, name) for name in report.__slots__})
    else:
        say(
            out,
            f"{report.exported} traces exported, {report.unfinished} still unfinished in Dify,"
            f" {report.filtered} filtered, {report.set_aside} set aside",
        )
        for name, count in report.delivered.items():
            waiting = report.waiting.get(name, 0)
            tail = f", {waiting} waiting" if waiting else ""
            tail += f", {report.dead[name]} refused" if name in report.dead else ""
            tail += f", {report.unconfirmed[name]} not confirmed yet" if name in report.unconfirmed else ""
            say(out, f"{name}: {count} traces delivered{tail}")
        for problem in report.problems:
            say(err, problem, "red")
    return 3 if report.problems else 1 if report.dead or report.set_aside else 0


def _run_daemon(settings: config.Settings) -> int:
    from exporter.service import serve

    return serve(settings, _SHUTDOWN_SECONDS)


@app.command()
def backfill(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(help="First moment, e.g. 2026-11-01 (UTC) or 2026-11-01T00:00:00+08:00.")
    ],
    until: Annotated[str | None, typer.Option(help="First moment that is not wanted; default: now.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Json = False,
) -> None:
    """Export history with its original times; resumable after a kill."""
    from exporter.history import run_backfill

    start, end = stretch_until_now(since, until)
    settings = load(context).settings
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
    with as_asked():
        options = read_options(
            listen=listen, upstream=upstream or [], push=push, out=record_file, spool=spool, name=name,
            force_stream_usage=force_stream_usage, upstream_ca=upstream_ca, timeout_seconds=timeout, log=log,
        )  # fmt: skip
    raise typer.Exit(serve_recorder(options))


@app.command()
def replay(
    context: typer.Context,
    destination: Annotated[str | None, typer.Option(help="Only this destination's dead letters.")] = None,
) -> None:
    """Dead letters back to the outbox, and records that were set aside back to reading."""
    from exporter.state import outbox, records

    settings = load(context).settings
    with open_store(settings) as store, store.transaction("replay") as connection:
        known = {item.name for item in settings.destinations} | set(outbox.backlogs(connection))
        if destination is not None and destination not in known:
            raise typer.BadParameter(
                f"no destination {destination!r}; there is {', '.join(sorted(known)) or 'none'}",
                param_hint="--destination",
            )
        letters = outbox.revive(connection, clock.now(), destination)
        aside = [] if destination else [ref for ref, _ in records.set_aside(connection)]
        records.look_again(connection, aside, clock.now())
    say(out, f"{letters} dead letters and {len(aside)} set-aside records will be tried again")
