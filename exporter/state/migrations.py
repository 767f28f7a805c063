"""The tables, as steps applied once each, in the order of their numbers, every step in its own transaction."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

APPLICATION_ID = 0x44494659  # "DIFY"

_STEPS = tuple(
    item.read_text(encoding="utf-8")
    for item in sorted((files("exporter.state") / "steps").iterdir(), key=lambda item: item.name)
    if item.name.endswith(".sql")
)

VERSION = len(_STEPS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this program's version. The caller has checked that it is not newer."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE;{step};PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {number};COMMIT;"
        )
