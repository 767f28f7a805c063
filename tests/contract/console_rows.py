"""The rows that the Console twin serves: read out of a real PostgreSQL with a recorded Dify in it, whole tables at a time.

A recording that keeps only the columns which the exporter reads (the bundled one) lacks logs, accounts and the conversations' times; they
are made here of the rows that are there, by Dify's own rules (a log entry for each run of a workflow app that no editor made, ...).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

TABLES = (
    "tenants", "apps", "app_model_configs", "conversations", "messages", "message_agent_thoughts", "message_files",
    "workflow_runs", "workflow_node_executions", "workflow_app_logs", "workflow_node_execution_offload", "end_users", "accounts",
    "message_feedbacks", "message_annotations", "tool_workflow_providers", "trace_app_config",
)  # fmt: skip


@dataclass
class Rows:
    """Tables by name, and the look-ups that the answers need."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    by_id: dict[str, dict[str, Row]] = field(default_factory=dict)
    of: dict[tuple[str, str], dict[Any, list[Row]]] = field(default_factory=dict)

    def group(self, table: str, column: str, value: Any) -> list[Row]:
        """The rows of a table with that value."""
        key = (table, column)
        if key not in self.of:
            grouped: dict[Any, list[Row]] = defaultdict(list)
            for row in self.tables[table]:
                grouped[row.get(column)].append(row)
            self.of[key] = grouped
        return self.of[key].get(value, [])

    def row(self, table: str, row_id: Any) -> Row | None:
        """One row."""
        return self.by_id[table].get(row_id)


def load(dsn: str) -> Rows:
    """All that is there."""
    rows = Rows()
    with psycopg.connect(
        dsn, row_factory=dict_row, options="-c default_transaction_read_only=on"
    ) as connection:
        for table in TABLES:
            there = connection.execute("SELECT to_regclass(%s) AS found", [table]).fetchone()
            found = []
            if there and there["found"]:
                found = connection.execute(f"SELECT * FROM {table}").fetchall()  # type: ignore[arg-type]
            rows.tables[table] = [{name: _plain(value) for name, value in row.items()} for row in found]
    _complete(rows)
    rows.by_id = {
        table: {row["id"]: row for row in held if "id" in row} for table, held in rows.tables.items()
    }
    return rows


def _plain(value: Any) -> Any:
    """Ids as text."""
    return str(value) if type(value).__name__ == "UUID" else value


def _complete(rows: Rows) -> None:
    """What a trimmed recording leaves out."""
    _conversations(rows)
    if not rows.tables["workflow_app_logs"]:
        rows.tables["workflow_app_logs"] = [
            {
                "id": run["id"], "app_id": run["app_id"], "workflow_run_id": run["id"], "created_from": "service-api",
                "created_by_role": run["created_by_role"], "created_by": run["created_by"], "created_at": run["created_at"],
            }
            for run in rows.tables["workflow_runs"]
            if run["type"] == "workflow" and run["triggered_from"] != "debugging"
        ]  # fmt: skip
    for thought in rows.tables["message_agent_thoughts"]:
        thought.setdefault("tokens", (thought["message_token"] or 0) + (thought["answer_token"] or 0))


def _conversations(rows: Rows) -> None:
    of: dict[str, list[Row]] = defaultdict(list)
    for message in rows.tables["messages"]:
        of[message["conversation_id"]].append(message)
    for conversation in rows.tables["conversations"]:
        mine = of.get(conversation["id"], [])
        if "created_at" in conversation or not mine:
            continue
        first = min(mine, key=lambda message: message["created_at"])
        conversation.update(
            app_id=first["app_id"],
            created_at=first["created_at"],
            updated_at=max(message["created_at"] for message in mine),
            mode=first["app_mode"],
            invoke_from=first["invoke_from"],
            from_source=first["from_source"],
            from_end_user_id=first["from_end_user_id"],
            from_account_id=first["from_account_id"],
            read_at=None,
            status="normal",
        )
    rows.tables["conversations"] = [row for row in rows.tables["conversations"] if "created_at" in row]


def settings_of(rows: Rows, app: Row) -> Row | None:
    """The model settings of an app without a graph: the row it points to, or in a trimmed recording its newest message's model."""
    found = next(
        (row for row in rows.tables["app_model_configs"] if row["id"] == app.get("app_model_config_id")), None
    )
    if found is not None:
        return found
    mine = [row for row in rows.group("messages", "app_id", app["id"]) if row["model_id"]]
    if not mine or app["mode"] not in ("chat", "agent-chat", "completion"):
        return None
    newest = max(mine, key=lambda row: row["created_at"])
    since = min(row["created_at"] for row in mine if row["model_id"] == newest["model_id"])
    import json

    model = {"provider": newest["model_provider"], "name": newest["model_id"]}
    return {"model": json.dumps(model), "created_at": since, "pre_prompt": None}


def seconds(moment: datetime | None) -> int | None:
    """Epoch seconds as Dify gives them: cut, not rounded."""
    return None if moment is None else int((moment - datetime(1970, 1, 1)).total_seconds() // 1)
