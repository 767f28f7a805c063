"""For which apps Dify's own tracing is on, to which platform, since when: what `apps` and `trace_app_config` say plainly.

Never fails for want of a table, a column or a right: it says what cannot be known. Dify keeps keys encrypted in
`trace_app_config.tracing_config`; the database is asked for the address and the project in it and for nothing else.
Source: Dify's OpsTraceManager. An app is traced when `apps.tracing` is enabled and its provider has a row; `is_active` is
not looked at, and of several rows the first by id counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import orjson
import sqlalchemy as sa

from exporter.config import DifySettings
from exporter.errors import ExporterError
from exporter.model import App, Micros
from exporter.sources.connection import connect, read_catalogue, reading
from exporter.sources.dialects import dialect_of
from exporter.sources.dialects.base import Catalogue, Dialect
from exporter.sources.filters import reason_to_leave_out
from exporter.sources.timestamps import to_micros

_APPS = ("id", "tenant_id", "name", "mode", "tracing")
_CONFIGS = ("id", "app_id", "tracing_provider", "created_at")
_WHERE = "tracing_config"
_TABLES = ("apps", "tenants", "trace_app_config")


@dataclass(frozen=True, slots=True)
class TracedApp:
    """An app that Dify traces by itself. `since`: when its settings for that were made; `project`: the Langfuse project's id
    or the LangSmith project's name; `host`: where it is sent. None where Dify's database does not tell."""

    app: App
    provider: str
    since: Micros | None = None
    project: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Tracing:
    """What is known. `unknown` says why nothing is; `vague` why no `project` and `host`, and maybe no `since`."""

    apps: tuple[TracedApp, ...] = ()
    unknown: str | None = None
    vague: str | None = None

    def at(self, provider: str) -> tuple[TracedApp, ...]:
        """The apps that Dify traces to this platform."""
        return tuple(item for item in self.apps if item.provider == provider)


@runtime_checkable
class TellsTracing(Protocol):
    """A source that knows of Dify's own tracing."""

    def tracing(self) -> Tracing:
        """As it is set now. Raises ExporterError when Dify cannot be asked."""


def ask(dify: DifySettings) -> Tracing:
    """For `check`, over a connection of its own. Raises nothing: what went wrong is the reason why nothing is known."""
    if dify.database.url is None:
        return Tracing(unknown="the Service API does not tell it; Dify's database and its Console API do")
    try:
        engine = connect(dify.database)
    except ExporterError as error:
        return Tracing(unknown=str(error))
    try:
        with reading(engine, "looking for Dify's own tracing") as connection:
            return read(connection, dify)
    except ExporterError as error:
        return Tracing(unknown=str(error))
    finally:
        engine.dispose()


def read(connection: sa.Connection, dify: DifySettings) -> Tracing:
    """What this Dify's tables say, of the apps that the filters let through."""
    catalogue, dialect = read_catalogue(connection, dify.database, _TABLES), dialect_of(connection)
    unknown = _lack(catalogue, dialect, "apps", _APPS)
    if unknown:
        return Tracing(unknown=unknown)
    vague = _lack(catalogue, dialect, "trace_app_config", (*_CONFIGS, _WHERE))
    is_closed = _lack(catalogue, dialect, "trace_app_config", _CONFIGS) is not None
    configs = None if is_closed else _configs(connection, catalogue, dialect)
    found = [
        traced
        for app, provider in _enabled(connection, catalogue)
        if reason_to_leave_out(dify, app, False) is None
        and (traced := _traced(app, provider, configs)) is not None
    ]
    return Tracing(tuple(found), vague=vague)


def _lack(catalogue: Catalogue, dialect: Dialect, name: str, columns: tuple[str, ...]) -> str | None:
    """Why a table cannot be read as we would, with the SQL that mends it where that is a right."""
    there, readable = catalogue.columns.get(name), catalogue.readable.get(name, frozenset())
    if readable.issuperset(columns):
        return None
    role = catalogue.server.role
    grant = f"as the owner run: {dialect.column_grant(catalogue.schema, role, name, columns)}"
    absent = [] if there is None else [column for column in columns if column not in there]
    if there is None or absent:
        what = ", ".join(f"{name}.{column}" for column in absent) or f"table {name}"
        if catalogue.server.hides_ungranted:
            return f"this Dify has no {what}, or role {role} may not read it; {grant}"
        return f"this Dify has no {what}"
    return f"role {role} may not read {name}; {grant}"


def _enabled(connection: sa.Connection, catalogue: Catalogue) -> Iterator[tuple[App, str]]:
    """The apps whose own tracing is switched on, with the provider."""
    apps = _table(catalogue, "apps", _APPS)
    names = _workspaces(connection, catalogue)
    rows = connection.execute(
        sa.select(
            sa.cast(apps.c.id, sa.Text), sa.cast(apps.c.tenant_id, sa.Text), apps.c.name, apps.c.mode, apps.c.tracing
        )
        .where(apps.c.tracing.is_not(None), apps.c.tracing != "")
        .order_by(apps.c.name, apps.c.id)
    )  # fmt: skip
    for app_id, tenant_id, name, mode, text in rows:
        provider = _provider(text)
        if provider:
            yield App(app_id, name or "", mode or "", tenant_id or "", names.get(tenant_id)), provider


def _workspaces(connection: sa.Connection, catalogue: Catalogue) -> Mapping[str, str]:
    if not catalogue.readable.get("tenants", frozenset()).issuperset(("id", "name")):
        return {}
    tenants = _table(catalogue, "tenants", ("id", "name"))
    return dict(connection.execute(sa.select(sa.cast(tenants.c.id, sa.Text), tenants.c.name)).fetchall())


def _provider(text: str) -> str | None:
    """The provider of `apps.tracing` when it is enabled; None for anything else, legible or not."""
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict) or not told.get("enabled"):
        return None
    provider = told.get("tracing_provider")
    return provider if isinstance(provider, str) else None


@dataclass(frozen=True, slots=True)
class _Config:
    since: Micros
    project: str | None
    host: str | None


def _configs(
    connection: sa.Connection, catalogue: Catalogue, dialect: Dialect
) -> dict[tuple[str, str], _Config]:
    """By app and provider, the row that Dify uses."""
    rows = _table(catalogue, "trace_app_config", (*_CONFIGS, _WHERE))
    names = ("project_url", "project_key", "project", "host", "endpoint")
    is_told = _WHERE in catalogue.readable["trace_app_config"]
    where = sa.type_coerce(rows.c[_WHERE], sa.JSON)
    found: dict[tuple[str, str], _Config] = {}
    for app_id, provider, created_at, *texts in connection.execute(
        sa.select(
            sa.cast(rows.c.app_id, sa.Text),
            rows.c.tracing_provider,
            dialect.default_time(catalogue.server, rows.c.created_at),
            *(where[name].as_string() if is_told else sa.null() for name in names),
        ).order_by(rows.c.id)
    ):
        told: dict[str, Any] = dict(zip(names, texts, strict=True))
        project = told["project"] if provider == "langsmith" else _project_id(told)
        host = told["host"] or told["endpoint"] or None
        found.setdefault((app_id, provider), _Config(to_micros(created_at), project or None, host))
    return found


def _project_id(told: Mapping[str, Any]) -> str | None:
    """Of Langfuse: Dify keeps the address of the project's page, which ends in its id."""
    _, found, project_id = str(told["project_url"] or "").partition("/project/")
    return (project_id.partition("/")[0] if found else told["project_key"]) or None


def _traced(app: App, provider: str, configs: Mapping[tuple[str, str], _Config] | None) -> TracedApp | None:
    if configs is None:
        return TracedApp(app, provider)
    config = configs.get((app.id, provider))
    return TracedApp(app, provider, config.since, config.project, config.host) if config else None


def _table(catalogue: Catalogue, name: str, columns: tuple[str, ...]) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns), schema=catalogue.schema)
