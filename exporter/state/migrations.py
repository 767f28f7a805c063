"""The tables, as steps applied once each, in the order of their numbers, every step in its own transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.resources import files

from exporter.state import sums

APPLICATION_ID = 0x44494659  # "DIFY"

_STEPS = {
    int(item.name[:4]): item.read_text(encoding="utf-8")
    for item in (files("exporter.state") / "steps").iterdir()
    if item.name.endswith(".sql")
}
_AFTER: dict[int, Callable[[sqlite3.Connection], None]] = {3: sums.fill}
"""What a step needs beyond SQL; part of its transaction."""

VERSION = max(_STEPS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this program's version. The caller has checked that it is not newer."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for number in sorted(number for number in _STEPS if number > version):
        connection.executescript(f"BEGIN IMMEDIATE;{_STEPS[number]};")
        if number in _AFTER:
            _AFTER[number](connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
