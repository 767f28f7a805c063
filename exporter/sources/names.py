"""Names that many traces share: apps with their workspaces, and end users' session ids. Kept, bounded, for a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from exporter.model import App
from exporter.sources.heads import Head
from exporter.sources.schema import Schema
from exporter.sources.tables import as_text, one_of, read_rows, table

DELETED = "(deleted app)"

KEEP_SECONDS = 300.0
"""A renamed app shows its new name after this long."""

MOST_SESSIONS = 20_000


@dataclass(slots=True)
class Names:
    """What was looked up so far. `None` for an app means that it does not exist."""

    apps: dict[str, App | None] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    apps_since: float = 0.0

    def forget_old(self, now_seconds: float) -> None:
        """Drop app names older than `KEEP_SECONDS` on this monotonic clock, and sessions when they are too many."""
        if now_seconds - self.apps_since > KEEP_SECONDS:
            self.apps, self.apps_since = {}, now_seconds
        if len(self.sessions) > MOST_SESSIONS:
            self.sessions = {}


def apps_of(connection: sa.Connection, schema: Schema, names: Names, heads: Iterable[Head]) -> dict[str, App]:
    """The app of every head, by app id; an app that is gone gets the mode its records tell."""
    heads = list(heads)
    known = names.apps
    unknown = sorted({head.app_id for head in heads} - known.keys())
    if unknown:
        known.update(dict.fromkeys(unknown, None))
        known.update({app.id: app for app in _read_apps(connection, schema, "apps", unknown)})
        pipelines = [app_id for app_id in unknown if known[app_id] is None]
        if pipelines and schema.has("pipelines", "id", "tenant_id", "name"):
            known.update({app.id: app for app in _read_apps(connection, schema, "pipelines", pipelines)})
    return {head.app_id: known.get(head.app_id) or _gone(head) for head in heads}


def _gone(head: Head) -> App:
    return App(head.app_id, DELETED, head.mode, head.tenant_id or "")


def _read_apps(connection: sa.Connection, schema: Schema, name: str, ids: list[str]) -> list[App]:
    """A knowledge pipeline stands in the place of an app, but has a table of its own and no mode."""
    rows, tenants = table(schema, name), table(schema, "tenants")
    mode: sa.ColumnElement[Any] = rows.c.mode if "mode" in rows.c else sa.literal_column("'rag-pipeline'")
    columns = [*as_text(rows, "id"), rows.c.name, mode, *as_text(rows, "tenant_id")]
    select = sa.select(*columns, sa.null())
    if schema.has("tenants", "id", "name"):
        select = sa.select(*columns, tenants.c.name).select_from(
            rows.outerjoin(tenants, tenants.c.id == rows.c.tenant_id)
        )
    found = read_rows(connection, select.where(one_of(schema, rows.c.id)), ids)
    return [App(*row) for row in found]


def sessions_of(
    connection: sa.Connection, schema: Schema, names: Names, end_users: Iterable[str]
) -> dict[str, str]:
    """End user id → session id (the `user` of Dify's Service API), for those that exist."""
    wanted = set(end_users)
    known = names.sessions
    unknown = sorted(wanted - known.keys())
    if unknown and schema.has("end_users", "id", "session_id"):
        users = table(schema, "end_users")
        select = sa.select(*as_text(users, "id"), users.c.session_id).where(one_of(schema, users.c.id))
        known.update(dict(read_rows(connection, select, unknown)))
    return {user: known[user] for user in wanted if user in known}
