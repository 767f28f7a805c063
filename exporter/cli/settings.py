"""`config show`."""

from __future__ import annotations

import typer

from exporter import printing
from exporter.cli.common import Json, app, load, out, print_json

config_app = typer.Typer(help="The settings and where each came from.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command("show")
def config_show(context: typer.Context, as_json: Json = False) -> None:
    """Effective settings and where each came from; secrets masked."""
    from exporter.settings_view import rows

    found = list(rows(load(context)))
    if as_json:
        print_json({path: {"value": value, "origin": origin} for path, value, origin, _ in found})
        return
    printing.settings(out, found)
