"""Words and tables on a terminal: nothing is lost of a number or a name, whatever the width, and nothing is taken for markup."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_WIDEST = 2_000
_NARROWEST = 20
"""Columns that words keep at least, however narrow the terminal."""


def whole(console: Console, table: Table) -> None:
    """Prints every column whole: a table that is wider than the terminal runs over its edge instead of losing digits. What comes
    after it keeps to the terminal."""
    options = console.options.update(max_width=_WIDEST)
    at_least(console, table, Measurement.get(console, options, table).maximum)


def at_least(console: Console, table: Table, columns: int) -> None:
    """Prints a table that fits itself into the terminal's width, but has no room for its numbers in fewer columns than these."""
    width = console.width
    console.width = max(width, columns)
    console.print(table, crop=False)
    console.width = width


def say(console: Console, text: str | Text, style: str = "", *, indent: int = 0, hang: int = 2) -> None:
    """Words as they are: nothing in them is taken for markup or coloured by guess. On a terminal what does not fit into the line
    goes on below, `hang` columns further in; anywhere else a line stays one line."""
    words = Text(text, style=style) if isinstance(text, str) else text
    lines = (
        words.wrap(console, max(_NARROWEST, console.width - indent - hang))
        if console.is_terminal
        else [words]
    )
    for place, line in enumerate(lines):
        margin = " " * (indent + (hang if place else 0))
        console.print(Text(margin).append_text(line), soft_wrap=True, highlight=False)
