"""The parts that only PostgreSQL has."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from dify_tables import Database, add_message, utc_now
from source_calls import settings

from exporter.sources.connection import connect, reading
from exporter.sources.dialects.base import Server
from exporter.sources.dialects.postgresql import grants, one_of, read_catalogue, read_moment
from exporter.sources.timestamps import to_micros


def test_the_older_snapshot_functions_say_the_same_as_the_newer(dify: Database) -> None:
    writer = dify.transaction()
    add_message(writer)
    engine = connect(settings(dify.url).database)
    with reading(engine, "asking") as connection:
        newer, older, neither = (
            read_moment(connection, Server("PostgreSQL", "primary", "", False, family))
            for family in ("pg_", "txid_", None)
        )
    assert (older.xmin, older.next_id) == (newer.xmin, newer.next_id)
    assert newer.xmin is not None
    assert newer.next_id is not None
    assert newer.xmin < newer.next_id, "a writer is open, though nothing with a higher id has ended"
    assert (neither.xmin, neither.next_id) == (None, None)
    assert abs(to_micros(utc_now()) - neither.now) < 60_000_000
    assert newer.now <= older.now <= neither.now
    engine.dispose()


def test_an_open_reader_and_an_idle_connection_do_not_hold_the_snapshot_back(dify: Database) -> None:
    dify.transaction().execute("SELECT count(*) FROM messages")
    engine = connect(settings(dify.url).database)
    with reading(engine, "asking") as connection:
        moment = read_moment(connection, Server("PostgreSQL", "primary", "", False, "pg_"))
    assert moment.xmin == moment.next_id
    engine.dispose()


def test_the_catalogue_tells_missing_from_forbidden_and_invalid_indexes_from_usable_ones(
    dify: Database,
) -> None:
    dify.connection.execute("CREATE INDEX partial ON messages (status, created_at) WHERE status = 'error'")
    dify.connection.execute(
        'CREATE INDEX quoted ON workflow_node_executions ("index", created_at DESC) INCLUDE (title)'
    )
    engine = connect(settings(dify.url).database)
    with reading(engine, "asking") as connection:
        catalogue = read_catalogue(
            connection, settings(dify.url).database, ("messages", "workflow_node_executions", "no_such_table")
        )
    assert set(catalogue.columns) == {"messages", "workflow_node_executions"}
    assert ("messages", ("created_at", "id")) in catalogue.indexes
    assert ("messages", ("status", "created_at")) not in catalogue.indexes
    assert ("workflow_node_executions", ("index", "created_at")) in catalogue.indexes
    assert catalogue.writable == {"messages", "workflow_node_executions"}
    engine.dispose()


@pytest.mark.parametrize("name", ["plain", 'odd "name"', "DROP TABLE"])
def test_grants_quote_every_name(server: Any, name: str) -> None:
    server.superuser.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(name)))
    server.superuser.execute(grants("pg_catalog", name, ("pg_class",)))
    server.superuser.execute(
        psycopg.sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(psycopg.sql.Identifier(name))
    )


def test_many_ids_are_one_parameter(dify: Database) -> None:
    engine = connect(settings(dify.url).database)
    messages = sa.table("messages", sa.column("id"))
    wanted = [add_message(dify.connection) for _ in range(3)]
    with reading(engine, "asking") as connection:
        select = sa.select(sa.cast(messages.c.id, sa.Text)).where(one_of(messages.c.id, "ids"))
        assert connection.execute(select, {"ids": []}).fetchall() == []
        assert set(connection.execute(select, {"ids": wanted * 5000}).scalars()) == set(wanted)
    engine.dispose()
