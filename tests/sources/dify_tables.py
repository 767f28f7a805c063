"""Dify's tables as far as the exporter reads them, in our own words: a shape before 1.9 and the shape of 1.12.

Columns, types, defaults and indexes follow the releases; columns that nothing here reads are left out, and NOT NULL
stands only where a test leans on it. Also: rows with sensible values, so that a test names only what it is about.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

ID = "uuid PRIMARY KEY DEFAULT gen_random_uuid()"
WHOLE_SECONDS = "timestamp DEFAULT CURRENT_TIMESTAMP(0) NOT NULL"

TABLES = {
    "alembic_version": ["version_num varchar(32) PRIMARY KEY"],
    "tenants": [f"id {ID}", "name varchar(255)", "encrypt_public_key text"],
    "apps": [f"id {ID}", "tenant_id uuid NOT NULL", "name varchar(255)", "mode varchar(255)", f"created_at {WHOLE_SECONDS}"],
    "workflows": [f"id {ID}", "tenant_id uuid", "app_id uuid", "version varchar(255)", "marked_name varchar"],
    "end_users": [f"id {ID}", "tenant_id uuid", "app_id uuid", "type varchar(255)", "session_id varchar(255)"],
    "tool_workflow_providers": [f"id {ID}", "name varchar(255)", "app_id uuid", "tenant_id uuid"],
    "provider_credentials": [f"id {ID}", "encrypted_config text"],
    "messages": [
        f"id {ID}", "app_id uuid NOT NULL", "model_provider varchar(255)", "model_id varchar(255)",
        "override_model_configs text", "conversation_id uuid", "inputs json DEFAULT '{}'", "query text DEFAULT ''",
        "message json DEFAULT '\"\"'", "message_tokens integer DEFAULT 0", "message_unit_price numeric(10,4) DEFAULT 0",
        "message_price_unit numeric(10,7) DEFAULT 0.001", "answer text DEFAULT ''", "answer_tokens integer DEFAULT 0",
        "answer_unit_price numeric(10,4) DEFAULT 0", "answer_price_unit numeric(10,7) DEFAULT 0.001",
        "total_price numeric(10,7)", "currency varchar(255) DEFAULT 'USD'",
        "provider_response_latency double precision DEFAULT 0", "parent_message_id uuid",
        "status varchar(255) DEFAULT 'normal'", "error text", "message_metadata text", "invoke_from varchar(255)",
        "from_source varchar(255) DEFAULT 'api'", "from_end_user_id uuid", "from_account_id uuid",
        "agent_based boolean DEFAULT false", "workflow_run_id uuid", f"created_at {WHOLE_SECONDS}", f"updated_at {WHOLE_SECONDS}",
    ],
    "message_agent_thoughts": [
        f"id {ID}", "message_id uuid NOT NULL", "position integer NOT NULL", "thought text", "tool text",
        "tool_meta_str text DEFAULT '{}'", "tool_input text", "observation text", "message_token integer",
        "answer_token integer", "message_unit_price numeric", "answer_unit_price numeric", "total_price numeric",
        "currency varchar", "answer text", "created_at timestamp DEFAULT CURRENT_TIMESTAMP NOT NULL",
    ],
    "conversations": [f"id {ID}", "app_id uuid NOT NULL", "name varchar(255)"],
    "message_files": [f"id {ID}", "message_id uuid NOT NULL", "type varchar(255)", "belongs_to varchar(255)"],
    "workflow_runs": [
        f"id {ID}", "tenant_id uuid NOT NULL", "app_id uuid NOT NULL", "workflow_id uuid", "type varchar(255)",
        "triggered_from varchar(255)", "version varchar(255)", "graph text", "inputs text", "status varchar(255)",
        "outputs text", "error text", "elapsed_time double precision DEFAULT 0", "total_tokens bigint DEFAULT 0",
        "total_steps integer DEFAULT 0", "created_by_role varchar(255)", "created_by uuid", f"created_at {WHOLE_SECONDS}",
        "finished_at timestamp", "exceptions_count integer DEFAULT 0",
    ],
    "workflow_node_executions": [
        f"id {ID}", "tenant_id uuid", "app_id uuid NOT NULL", "workflow_id uuid", "triggered_from varchar(255) NOT NULL",
        "workflow_run_id uuid", '"index" integer NOT NULL', "predecessor_node_id varchar(255)", "node_execution_id varchar(255)",
        "node_id varchar(255)", "node_type varchar(255)", "title varchar(255)", "inputs text", "process_data text",
        "outputs text", "status varchar(255)", "error text", "elapsed_time double precision DEFAULT 0",
        "execution_metadata text", f"created_at {WHOLE_SECONDS}", "created_by_role varchar(255)", "created_by uuid",
        "finished_at timestamp",
    ],
}  # fmt: skip

INDEXES = """
    CREATE INDEX ON messages (app_id, created_at);
    CREATE INDEX ON messages (conversation_id);
    CREATE INDEX ON messages (conversation_id, workflow_run_id);
    CREATE INDEX ON messages (created_at);
    CREATE INDEX ON message_agent_thoughts (message_id);
    CREATE INDEX ON message_files (message_id);
    CREATE INDEX ON workflow_runs (tenant_id, app_id, triggered_from);
    CREATE INDEX ON workflow_node_executions (tenant_id, app_id, workflow_id, triggered_from, node_id);
    CREATE INDEX ON workflow_node_executions (tenant_id, workflow_id, node_id, created_at DESC);
"""

SHAPE_1_8 = (
    INDEXES
    + """
    CREATE INDEX ON workflow_node_executions (tenant_id, app_id, workflow_id, triggered_from, workflow_run_id);
    INSERT INTO alembic_version VALUES ('0e154742a5fa');
"""
)

SHAPE_1_12 = (
    INDEXES
    + """
    CREATE INDEX ON messages (created_at, id);
    CREATE INDEX ON workflow_runs (created_at, id);
    CREATE INDEX ON workflow_node_executions (workflow_run_id);
    ALTER TABLE messages ADD app_mode varchar(255);
    CREATE TABLE workflow_node_execution_offload (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, app_id uuid,
        node_execution_id uuid, type varchar(20), file_id uuid, UNIQUE (node_execution_id, type));
    CREATE TABLE pipelines (id uuid PRIMARY KEY, tenant_id uuid, name varchar(255));
    CREATE TABLE workflow_archive_logs (id uuid PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('788d3099ae3a');
"""
)

TENANT = "11111111-0000-4000-8000-000000000001"
APP = "22222222-0000-4000-8000-000000000001"
FLOW = "22222222-0000-4000-8000-000000000002"
WORKFLOW = "33333333-0000-4000-8000-000000000001"
DRAFT = "33333333-0000-4000-8000-000000000002"
USER = "44444444-0000-4000-8000-000000000001"
ACCOUNT = "55555555-0000-4000-8000-000000000001"


def create_tables(connection: psycopg.Connection[Any], shape: str) -> None:
    """The tables and indexes of one shape, with a workspace, a chat app, a workflow app and an end user in them."""
    for name, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")  # type: ignore[call-overload]
    connection.execute(shape)  # type: ignore[call-overload]
    insert(connection, "tenants", id=TENANT, name="Acme")
    insert(connection, "apps", id=APP, tenant_id=TENANT, name="Support chat", mode="chat")
    insert(connection, "apps", id=FLOW, tenant_id=TENANT, name="Report", mode="workflow")
    insert(connection, "workflows", id=WORKFLOW, tenant_id=TENANT, app_id=FLOW, version="2026-01-01")
    insert(connection, "workflows", id=DRAFT, tenant_id=TENANT, app_id=FLOW, version="draft")
    insert(
        connection, "end_users", id=USER, tenant_id=TENANT, app_id=APP, type="service_api", session_id="alice"
    )


def insert(connection: psycopg.Connection[Any], table: str, **values: Any) -> str:
    """One row; returns its id as text."""
    values.setdefault("id", new_id())
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    places = sql.SQL(", ").join(sql.Placeholder() * len(values))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, places)
    connection.execute(statement, list(values.values()))
    return str(values["id"])


def new_id() -> str:
    """A random row id."""
    return str(uuid.uuid4())


def add_message(connection: psycopg.Connection[Any], **values: Any) -> str:
    """A finished chat message of the end user, created now unless said otherwise."""
    return insert(
        connection,
        "messages",
        **{"app_id": APP, "from_end_user_id": USER, "query": "Hello", "answer": "Hi", **values},
    )


def add_run(connection: psycopg.Connection[Any], **values: Any) -> str:
    """A finished run of the workflow app."""
    base = {
        "tenant_id": TENANT, "app_id": FLOW, "workflow_id": WORKFLOW, "type": "workflow", "triggered_from": "app-run",
        "version": "1", "inputs": "{}", "outputs": "{}", "status": "succeeded", "created_by_role": "end_user", "created_by": USER,
    }  # fmt: skip
    return insert(connection, "workflow_runs", **{**base, **values})


def add_node(connection: psycopg.Connection[Any], run: str | None, **values: Any) -> str:
    """A finished LLM node of a run (None = a single-step debug run of the draft)."""
    base = {
        "tenant_id": TENANT, "app_id": FLOW, "workflow_id": WORKFLOW if run else DRAFT, "workflow_run_id": run,
        "triggered_from": "workflow-run" if run else "single-step", "index": 1, "node_id": "llm", "node_type": "llm",
        "title": "LLM", "inputs": "{}", "process_data": "{}", "outputs": "{}", "status": "succeeded",
        "execution_metadata": "{}", "created_by_role": "end_user", "created_by": USER,
    }  # fmt: skip
    return insert(connection, "workflow_node_executions", **{**base, **values})


def workflow_tool(provider: str) -> str:
    """What Dify writes into the metadata of a tool node that runs a workflow."""
    return json.dumps(
        {"tool_info": {"provider_type": "workflow", "provider_id": provider}, "total_tokens": 43}
    )


def utc_now() -> datetime:
    """Naive UTC, as Dify's Python writes it."""
    return datetime.now(UTC).replace(tzinfo=None)


def ago(**span: float) -> datetime:
    """Naive UTC, that long ago."""
    return utc_now() - timedelta(**span)


@dataclass
class Database:
    """A Dify database of one test: its address, and an autocommitting connection of Dify's own."""

    url: str
    dsn: str
    connection: psycopg.Connection[Any]
    others: list[psycopg.Connection[Any]] = field(default_factory=list)

    def transaction(self) -> psycopg.Connection[Any]:
        """Another connection of Dify's, whose transaction stays open until `commit`."""
        self.others.append(psycopg.connect(self.dsn))
        return self.others[-1]
