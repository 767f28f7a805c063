"""What `dify-exporter check` says of the database: every step by itself, and how to mend what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from exporter.config import DifySettings
from exporter.destinations.base import Checked
from exporter.errors import ExporterError
from exporter.sources.connection import connect, read_catalogue, reading
from exporter.sources.cursor import Moment
from exporter.sources.describe import (
    described,
    long_values,
    runs_are_elsewhere,
    server_words,
    version_words,
)
from exporter.sources.dialects import dialect_of
from exporter.sources.dialects.base import Catalogue, Dialect
from exporter.sources.discovery import streams
from exporter.sources.schema import (
    ALL_TABLES,
    Schema,
    absence,
    absent_tables,
    forbidden_tables,
    grants,
    judge,
    wanted_tables,
    what_to_do,
)
from exporter.sources.storage.store import NoValue, open_store
from exporter.sources.storage.values import newest_key
from exporter.sources.tables import Column, table, written_by_default
from exporter.sources.timestamps import to_micros


def check_source(dify: DifySettings) -> list[Checked]:
    """One line per thing tested; stops at the first that makes the next ones meaningless. Raises nothing of its own."""
    try:
        engine = connect(dify.database)
    except ExporterError as error:
        return [_failed("database", error)]
    try:
        return list(_checks(engine, dify))
    finally:
        engine.dispose()


def _checks(engine: sa.Engine, dify: DifySettings) -> Iterator[Checked]:
    dialect = dialect_of(engine)
    yield Checked("database", True, f"connected to {dialect.address(engine.url)}")
    try:
        with reading(engine, "looking at Dify's tables") as connection:
            catalogue = read_catalogue(connection, dify.database, ALL_TABLES)
            yield from _shape(catalogue, dialect)
            if not absent_tables(catalogue) and not forbidden_tables(catalogue):
                schema = judge(catalogue, dialect)
                yield from _content(connection, schema)
                yield from _storage(connection, schema, dify)
    except ExporterError as error:
        yield _failed("database", error)


def _shape(catalogue: Catalogue, dialect: Dialect) -> Iterator[Checked]:
    absent = absent_tables(catalogue)
    if absent:
        yield Checked("Dify tables", False, absence(catalogue, absent), what_to_do(catalogue, dialect))
        return
    forbidden = forbidden_tables(catalogue)
    wanted = wanted_tables(catalogue)
    unread = [name for name in wanted if name not in catalogue.readable and name in catalogue.columns]
    grant = grants(catalogue, dialect)
    if forbidden or unread:
        what = f"role {catalogue.server.role} may not read {', '.join(dict.fromkeys([*forbidden, *unread]))}"
        yield Checked("permissions", not forbidden, what, f"as the owner run: {grant}")
    else:
        yield Checked("permissions", True, f"role {catalogue.server.role} may read all {len(wanted)} tables")
    yield _read_only(catalogue, dialect)


def _read_only(catalogue: Catalogue, dialect: Dialect) -> Checked:
    server = catalogue.server
    if not server.is_superuser and not catalogue.writable:
        return Checked("read-only role", True, f"role {server.role} cannot write")
    hint = f"safer: {dialect.new_role(catalogue.schema, wanted_tables(catalogue))}"
    return Checked(
        "read-only role", True, f"role {server.role} could write (we open read-only transactions only)", hint
    )


def _content(connection: sa.Connection, schema: Schema) -> Iterator[Checked]:
    yield Checked("server", True, server_words(schema))
    yield Checked("Dify version", True, version_words(schema))
    if runs_are_elsewhere(connection, schema):
        hint = "set Dify's CORE_WORKFLOW_EXECUTION_REPOSITORY (and …NODE_EXECUTION…) back to the database"
        yield Checked("runs", False, "workflow_runs is empty although messages name runs", hint)
    for name, words in described(connection, schema, streams(schema)):
        if name in ("missing", "index", "late rows", "records", "archive", "clock"):
            yield Checked(name, True, words)
    yield _newest(connection, schema)


def _storage(connection: sa.Connection, schema: Schema, dify: DifySettings) -> Iterator[Checked]:
    """Whether the newest long value can be read, where there is one."""
    try:
        store = open_store(dify.storage)
        for _, words in long_values(connection, schema, store):
            newest = newest_key(connection, schema) if store is not None else None
            size = f"; the newest has {len(store.read(newest)):,} bytes" if store and newest else ""
            yield Checked("long values", store is None or bool(newest), f"{words}{size}")
    except ExporterError as error:
        yield _failed("long values", error)
    except NoValue as why:
        yield Checked("long values", False, f"the newest cannot be read: {why}", "is it Dify's storage?")


def _newest(connection: sa.Connection, schema: Schema) -> Checked:
    """The age of the newest record, where an index finds it."""
    moment = schema.dialect.read_moment(connection, schema.server)
    found = []
    for name in ("messages", "workflow_runs"):
        if schema.has_index(name, "created_at"):
            rows = table(schema, name)
            newest_of: Column = sa.func.max(rows.c.created_at, type_=sa.DateTime())
            if name == "messages":
                newest_of = written_by_default(schema, newest_of)
            newest = connection.execute(sa.select(newest_of)).scalar_one()
            found.append(
                f"{name} {_age(moment, to_micros(newest))}" if newest is not None else f"{name} empty"
            )
    return Checked("newest record", True, ", ".join(found) or "unknown: no index finds it")


def _age(moment: Moment, created_at: int) -> str:
    seconds = (moment.now - created_at) // 1_000_000
    if seconds < 0:
        return f"{-seconds} s in the future"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _failed(name: str, error: ExporterError) -> Checked:
    return Checked(name, False, str(error), error.hint)
