"""`report`: the reconciliation of a window."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporter import clock, config
from exporter.cli.common import Json, Misused, app, as_asked, err, load, open_store, out, print_json
from exporter.cli.known import refuse_unknown
from exporter.terminal import say

if TYPE_CHECKING:
    from exporter.report.window import Window


_PRINTED = Path("-")


@app.command()
def report(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="First day or moment, in the zone; default: the first of the month.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="First day or moment that is not wanted any more; default: now.")
    ] = None,
    month: Annotated[str | None, typer.Option(help="A whole month instead: 2026-11.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="Time zone of days: Asia/Shanghai, UTC, +08:00 (report.time_zone).")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Rows by these: app, model, provider, key, kind, day, workspace.")
    ] = "app,model",
    application: Annotated[
        str | None, typer.Option("--app", help="Only this app (id or name); leaves bills out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model; leaves bills out.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Percent that may stay unexplained (compare.tolerance_percent)."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write one self-contained HTML page to this file (- prints it); goes with --json or --csv."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--lang", help="en or zh, of the HTML (report.language).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Reconcile a window: three readings, the causes of their difference, the unexplained rest, the vendor's bill. Exit 1 above tolerance."""
    from exporter.report import document as reports
    from exporter.report.csv_rows import csv_text
    from exporter.report.html import html_text
    from exporter.report.pace import with_pace
    from exporter.report.text import print_report

    _check_together(as_json=as_json, csv=csv, html=html, language=language)
    if tolerance is not None and not isfinite(tolerance):
        raise typer.BadParameter(f"{tolerance} is no share in percent", param_hint="--tolerance")
    settings = load(context).settings
    tongue = settings.report.language if language is None else _language(language)
    question = reports.Question(
        _window(settings, since, until, month, zone),
        _dimensions(by),
        settings.compare.tolerance_percent if tolerance is None else tolerance,
        clock.now(),
        application,
        model,
    )
    with open_store(settings) as store, store.read() as connection:
        refuse_unknown(connection, application, model)
        document = with_pace(reports.build(connection, settings, question))
    if html is not None:
        _write(html, html_text(document, tongue))
    if as_json:
        print_json(document)
    elif csv:
        typer.echo(csv_text(document), nl=False)
    elif html is None:
        print_report(out, document)
    raise typer.Exit(reports.exit_code(document))


def _check_together(*, as_json: bool, csv: bool, html: Path | None, language: str | None) -> None:
    """Of what goes to standard output there can be one."""
    printed = [
        name for name, given in (("--json", as_json), ("--csv", csv), ("--html -", html == _PRINTED)) if given
    ]
    if len(printed) > 1:
        raise Misused(f"{' and '.join(printed)} would be printed into one another; choose one")
    if language is not None and html is None:
        raise Misused("--lang is of the page that --html writes; add --html FILE")


def _window(
    settings: config.Settings, since: str | None, until: str | None, month: str | None, zone: str | None
) -> Window:
    from exporter.report.window import month_window, read_window

    name = zone or settings.report.time_zone
    try:
        config.time_zone(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--zone") from None
    if month is not None and (since or until):
        raise Misused("--month stands for --since and --until; leave these out")
    now = clock.now()
    with as_asked():
        if month is None:
            return read_window(since, until, name, now)
        window = month_window(month, name)
    if window.since > now:
        raise Misused(f"--month {month} lies in the future")
    return window


def _dimensions(text: str) -> tuple[str, ...]:
    from exporter.report.table import DIMENSIONS

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is none of {', '.join(DIMENSIONS)}", param_hint="--by"
        )
    return names


def _language(name: str) -> str:
    if name not in ("en", "zh"):
        raise typer.BadParameter(f"{name!r} is neither en nor zh", param_hint="--lang")
    return name


def _write(path: Path, text: str) -> None:
    if path == _PRINTED:
        typer.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(
            f"{path} cannot be written ({error.strerror})", param_hint="--html"
        ) from None
    say(err, f"written: {path}", style="dim")
