"""The names of apps and models that the ledger ever saw: to tell apps of one name apart, and to notice a name mistyped.

They are read from the sums, which outlive the calls, and from the calls themselves where sums are not kept of them.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from exporter.model import Verdict


@dataclass(frozen=True, slots=True)
class AppNames:
    """An app: its newest name, all names that its sums are kept under, and its workspace as far as known."""

    app_id: str
    name: str
    names: frozenset[str]
    workspace_id: str
    workspace_name: str


def apps(connection: sqlite3.Connection) -> dict[str, AppNames]:
    """Every app with an id of which calls were summed, by id."""
    names: dict[str, set[str]] = defaultdict(set)
    workspaces: dict[str, str] = {}
    rows = connection.execute(
        "SELECT DISTINCT app_id, app_name, workspace_id FROM sum_groups WHERE app_id != ''"
    )
    for app_id, name, workspace_id in rows:
        names[app_id].add(name)
        workspaces[app_id] = workspace_id or workspaces.get(app_id, "")
    return {
        app_id: _app(connection, app_id, frozenset(found), workspaces[app_id])
        for app_id, found in names.items()
    }


def _app(connection: sqlite3.Connection, app_id: str, names: frozenset[str], workspace_id: str) -> AppNames:
    newest = max(
        (row for verdict in Verdict if (row := _newest(connection, app_id, verdict)) is not None),
        key=lambda row: row[:2],
        default=(0, max(names), None),
    )
    return AppNames(app_id, newest[1] or app_id, names | {newest[1]}, workspace_id, newest[2] or "")


def _newest(
    connection: sqlite3.Connection, app_id: str, verdict: Verdict
) -> tuple[int, str, str | None] | None:
    """Start, app's name and workspace's name of the newest trace; by verdict, because that is how they are indexed."""
    row: tuple[int, str, str | None] | None = connection.execute(
        "SELECT started_at, app_name, document ->> '$.workspace_name' FROM traces WHERE app_id = ? AND verdict = ?"
        " ORDER BY started_at DESC LIMIT 1",
        (app_id, verdict.value),
    ).fetchone()
    return row


def has_app(connection: sqlite3.Connection, text: str) -> bool:
    """Whether an app of that id or name was ever seen, also one without calls or of a name since changed."""
    known = any(text == app.app_id or text in app.names for app in apps(connection).values())
    return known or _holds(connection, "traces", "app_id = ?1 OR app_name = ?1", text)


def has_model(connection: sqlite3.Connection, text: str) -> bool:
    """Whether a model of that name was ever called."""
    return _holds(connection, "sum_groups", "model = ?", text) or _holds(
        connection, "evidence", "model = ?", text
    )


def _holds(connection: sqlite3.Connection, table: str, condition: str, text: str) -> bool:
    found = connection.execute(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", (text,)).fetchone()
    return found is not None
