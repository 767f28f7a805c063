"""One real MariaDB for the session, and a fresh Dify database on it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from dify_tables import APP, FLOW, TENANT, USER, WORKFLOW, new_id

from tests.contract.mariadb_server import Connection, MariadbServer, mariadb
from tests.contract.mysql_copy import copy


@pytest.fixture(scope="session")
def mysql() -> Iterator[MariadbServer]:
    """Started once."""
    with mariadb() as server:
        yield server


@dataclass
class MysqlDify:
    """A Dify 1.12 on MySQL: its address, and an autocommitting connection of Dify's own."""

    server: MariadbServer
    name: str
    connection: Connection
    others: list[Connection] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As Dify."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def other(self, **options: Any) -> Connection:
        """Another session of Dify's."""
        self.others.append(self.server.connect(self.name, **options))
        return self.others[-1]

    def insert(self, table: str, connection: Connection | None = None, **values: Any) -> str:
        """One row; returns its id."""
        row = {"id": new_id()} | values
        names, places = ", ".join(f"`{name}`" for name in row), ", ".join(["%s"] * len(row))
        with (connection or self.connection).cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))
        return str(row["id"])

    def message(self, connection: Connection | None = None, **values: Any) -> str:
        """A finished chat message of the end user, dated by the database unless said otherwise."""
        base = {
            "app_id": APP, "from_end_user_id": USER, "query": "Hello", "answer": "Hi", "status": "normal", "message": "[]",
            "inputs": "{}", "message_tokens": 5, "answer_tokens": 7, "provider_response_latency": 0.5,
        }  # fmt: skip
        return self.insert("messages", connection, **{**base, **values})

    def workflow_run(self, **values: Any) -> str:
        """A finished run of the workflow app."""
        base = {
            "tenant_id": TENANT, "app_id": FLOW, "workflow_id": WORKFLOW, "type": "workflow", "triggered_from": "app-run",
            "version": "1", "inputs": "{}", "outputs": "{}", "status": "succeeded", "created_by_role": "end_user",
            "created_by": USER, "elapsed_time": 0.5,
        }  # fmt: skip
        return self.insert("workflow_runs", **{**base, **values})


@pytest.fixture
def dify(mysql: MariadbServer, server: Any) -> Iterator[MysqlDify]:
    """The tables of 1.12 with a workspace, a chat app, a workflow app and an end user in them."""
    name = mysql.create(f"dify_{new_id()[:8]}")
    with psycopg.connect(server.dsn("shape_1_12")) as source:
        copy(source, mysql.connect(name))
    mysql.run(f"CREATE TABLE `{name}`.upload_files (id CHAR(36), `key` VARCHAR(255), size INT)")
    made = MysqlDify(mysql, name, mysql.connect(name))
    yield made
    for connection in (made.connection, *made.others):
        if connection.open:
            connection.close()
    mysql.run("SET GLOBAL time_zone = '+00:00'", f"DROP DATABASE `{name}`")
