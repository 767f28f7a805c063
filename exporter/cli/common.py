"""What every command shares: the program, the options before a command's name, loading settings, opening the state, printing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from exporter import __version__, clock, config, prices
from exporter.errors import Misconfigured
from exporter.local import mapping
from exporter.logs import configure
from exporter.model import Micros
from exporter.moments import read_moment

app = typer.Typer(
    name="dify-exporter",
    help="Dify's traces with three token readings on every model call, sent where the team already looks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON (lists as JSON Lines).")]


@dataclass(slots=True)
class Given:
    """What was given before the command's name."""

    file: Path | None
    flags: dict[str, Any]


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
    for item in assign or []:
        path, equals, value = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"{path}: expected name=value", param_hint="--set")
        flags[path.strip()] = value
    context.obj = Given(file, flags)


def load(context: typer.Context) -> config.Loaded:
    given: Given = context.obj
    loaded = config.load(given.file, flags=given.flags)
    configure(loaded.settings.log)
    mapping.use(item.rule() for item in loaded.settings.models)
    prices.use(loaded.settings.prices)
    return loaded


@contextmanager
def open_store(settings: config.Settings) -> Iterator[Any]:
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


def print_lines(documents: Iterable[str]) -> None:
    for document in documents:
        sys.stdout.write(document + "\n")


def print_json(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


class Misused(typer.BadParameter):
    """A command that cannot be done as it was asked, whose message names the options by itself."""

    def format_message(self) -> str:
        """The message alone."""
        return self.message


@contextmanager
def as_asked() -> Iterator[None]:
    """What cannot be done as it was asked is told as wrong usage of the command, not as wrong settings."""
    try:
        yield
    except Misconfigured as error:
        hint = f"\nTry: {error.hint}" if error.hint else ""
        raise Misused(f"{error}{hint}") from None


def stretch(since: str | None, until: str | None) -> tuple[Micros | None, Micros | None]:
    """The moments of --since and --until; without an offset they are UTC."""
    with as_asked():
        begins = None if since is None else read_moment(since, "--since", UTC)
        ends = None if until is None else read_moment(until, "--until", UTC)
        if begins is not None and ends is not None and begins >= ends:
            raise Misconfigured([f"--since {since} is not before --until {until}"])
    return begins, ends


def stretch_until_now(since: str, until: str | None) -> tuple[Micros, Micros]:
    """The same where everything from --since on is meant if no end is given."""
    begins, ends = stretch(since, until)
    now = clock.now()
    if begins is None or (ends is None and begins >= now):
        raise Misused(f"--since {since} lies in the future")
    return begins, now if ends is None else ends
