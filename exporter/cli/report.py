"""`report`: the reconciliation of a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporter import clock, config
from exporter.cli.common import Json, app, load, open_store, out, print_json
from exporter.errors import Misconfigured

if TYPE_CHECKING:
    from exporter.report.window import Window


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
    application: Annotated[str | None, typer.Option("--app", help="Only this app (id or name).")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Percent that may stay unexplained (compare.tolerance_percent)."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write one self-contained HTML page to this file (- prints it).")
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

    settings = load(context).settings
    question = reports.Question(
        _window(settings, since, until, month, zone),
        _dimensions(by),
        settings.compare.tolerance_percent if tolerance is None else tolerance,
        clock.now(),
        application,
        model,
    )
    with open_store(settings) as store, store.read() as connection:
        document = with_pace(reports.build(connection, settings, question))
    if html is not None:
        _write(html, html_text(document, _language(language or settings.report.language)))
    elif as_json:
        print_json(document)
    elif csv:
        typer.echo(csv_text(document), nl=False)
    else:
        print_report(out, document)
    raise typer.Exit(reports.exit_code(document))


def _window(
    settings: config.Settings, since: str | None, until: str | None, month: str | None, zone: str | None
) -> Window:
    from exporter.report.window import month_window, read_window

    name = zone or settings.report.time_zone
    try:
        config.time_zone(name)
    except ValueError as error:
        raise Misconfigured([f"--zone: {error}"]) from None
    if month is None:
        return read_window(since, until, name, clock.now())
    if since or until:
        raise Misconfigured(["--month stands for --since and --until"])
    return month_window(month, name)


def _dimensions(text: str) -> tuple[str, ...]:
    from exporter.report.table import DIMENSIONS

    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown:
        raise Misconfigured([f"--by: {', '.join(unknown)} is none of {', '.join(DIMENSIONS)}"])
    return names


def _language(name: str) -> str:
    if name not in ("en", "zh"):
        raise Misconfigured([f"--lang: {name!r} is neither en nor zh"])
    return name


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured([f"--html: {path} cannot be written ({error.strerror})"]) from None
