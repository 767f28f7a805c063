"""The tables of a Dify database that the demo's recording fills: only the columns that the exporter reads.

Names and types are those of Dify 1.14.0, keys and indexes those that a reader needs. It is no copy of Dify's schema and
is never made anywhere but in the demo's own throw-away database.
"""

from __future__ import annotations

from collections.abc import Iterator

SCHEMA_HEAD = "227822d22895"
"""The migration that Dify 1.14.0 ends with; it tells the exporter which Dify this is."""

TABLES: dict[str, dict[str, str]] = {
    "alembic_version": {"version_num": "varchar(32)"},
    "tenants": {"id": "uuid", "name": "varchar(255)"},
    "apps": {"id": "uuid", "tenant_id": "uuid", "name": "varchar(255)", "mode": "varchar(255)"},
    "pipelines": {"id": "uuid", "tenant_id": "uuid", "name": "varchar(255)"},
    "end_users": {"id": "uuid", "session_id": "varchar(255)"},
    "conversations": {"id": "uuid", "name": "varchar(255)"},
    "tool_workflow_providers": {"id": "uuid", "app_id": "uuid"},
    "workflows": {"id": "uuid", "tenant_id": "uuid", "app_id": "uuid", "version": "varchar(255)"},
    "messages": {
        "id": "uuid",
        "app_id": "uuid",
        "conversation_id": "uuid",
        "workflow_run_id": "uuid",
        "model_provider": "varchar(255)",
        "model_id": "varchar(255)",
        "override_model_configs": "text",
        "inputs": "json",
        "query": "text",
        "message": "json",
        "message_tokens": "integer",
        "message_unit_price": "numeric(10,4)",
        "message_price_unit": "numeric(10,7)",
        "answer": "text",
        "answer_tokens": "integer",
        "answer_unit_price": "numeric(10,4)",
        "answer_price_unit": "numeric(10,7)",
        "total_price": "numeric(10,7)",
        "currency": "varchar(255)",
        "provider_response_latency": "double precision",
        "status": "varchar(255)",
        "error": "text",
        "message_metadata": "text",
        "invoke_from": "varchar(255)",
        "from_source": "varchar(255)",
        "from_end_user_id": "uuid",
        "from_account_id": "uuid",
        "app_mode": "varchar(255)",
        "created_at": "timestamp",
        "updated_at": "timestamp",
    },
    "message_agent_thoughts": {
        "id": "uuid",
        "message_id": "uuid",
        "position": "integer",
        "thought": "text",
        "tool": "text",
        "tool_input": "text",
        "tool_meta_str": "text",
        "observation": "text",
        "answer": "text",
        "message_token": "integer",
        "message_unit_price": "numeric",
        "message_price_unit": "numeric",
        "answer_token": "integer",
        "tokens": "integer",
        "answer_unit_price": "numeric",
        "answer_price_unit": "numeric",
        "total_price": "numeric",
        "currency": "varchar",
        "created_at": "timestamp",
    },
    "message_files": {"id": "uuid", "message_id": "uuid", "belongs_to": "varchar(255)"},
    "workflow_runs": {
        "id": "uuid",
        "tenant_id": "uuid",
        "app_id": "uuid",
        "workflow_id": "uuid",
        "type": "varchar(255)",
        "triggered_from": "varchar(255)",
        "version": "varchar(255)",
        "graph": "text",
        "inputs": "text",
        "outputs": "text",
        "status": "varchar(255)",
        "error": "text",
        "elapsed_time": "double precision",
        "total_tokens": "bigint",
        "total_steps": "integer",
        "exceptions_count": "integer",
        "created_by_role": "varchar(255)",
        "created_by": "uuid",
        "created_at": "timestamp",
        "finished_at": "timestamp",
    },
    "workflow_node_executions": {
        "id": "uuid",
        "tenant_id": "uuid",
        "app_id": "uuid",
        "workflow_id": "uuid",
        "workflow_run_id": "uuid",
        "triggered_from": "varchar(255)",
        "index": "integer",
        "predecessor_node_id": "varchar(255)",
        "node_id": "varchar(255)",
        "node_type": "varchar(255)",
        "title": "varchar(255)",
        "inputs": "text",
        "process_data": "text",
        "outputs": "text",
        "status": "varchar(255)",
        "error": "text",
        "elapsed_time": "double precision",
        "execution_metadata": "text",
        "created_by_role": "varchar(255)",
        "created_by": "uuid",
        "created_at": "timestamp",
        "finished_at": "timestamp",
    },
    "workflow_node_execution_offload": {
        "id": "uuid",
        "node_execution_id": "uuid",
        "type": "varchar(20)",
        "file_id": "uuid",
    },
    "upload_files": {"id": "uuid", "key": "varchar(255)", "size": "integer"},
    "workflow_archive_logs": {"id": "uuid"},
}
"""Column types by table and column."""

TIMES = frozenset({"created_at", "updated_at", "finished_at"})
"""Columns that hold a moment (UTC, without a zone, as Dify stores it)."""

_INDEXES = {
    "messages": ("created_at, id", "conversation_id"),
    "message_agent_thoughts": ("message_id",),
    "message_files": ("message_id",),
    "workflow_runs": ("created_at, id",),
    "workflow_node_executions": ("workflow_run_id",),
    "workflow_node_execution_offload": ("node_execution_id",),
}


def statements() -> Iterator[str]:
    """The SQL that makes all tables in an empty database and marks it as Dify 1.14.0."""
    for table, columns in TABLES.items():
        parts = [f'"{name}" {kind}' for name, kind in columns.items()]
        if "id" in columns:
            parts.append("PRIMARY KEY (id)")
        yield f"CREATE TABLE {table} ({', '.join(parts)})"
        for keys in _INDEXES.get(table, ()):
            yield f"CREATE INDEX ON {table} ({keys})"
    yield f"INSERT INTO alembic_version VALUES ('{SCHEMA_HEAD}')"
