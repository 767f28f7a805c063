"""Dify's settings of its own tracing, as its console writes them: `apps.tracing` and `trace_app_config`, keys encrypted."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import psycopg

TABLE = """
    CREATE TABLE trace_app_config (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), app_id uuid NOT NULL,
        tracing_provider varchar(255), tracing_config json, created_at timestamp DEFAULT now() NOT NULL,
        updated_at timestamp DEFAULT now() NOT NULL, is_active boolean DEFAULT true NOT NULL)
"""
COLUMN = "ALTER TABLE apps ADD COLUMN tracing text"
ENCRYPTED = "SFlCUklEOi0xSl9lbmNyeXB0ZWQ="
LONG_AGO = datetime(2020, 1, 1)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Table and column, where the database of the test has none."""
    connection.execute(TABLE)
    connection.execute(COLUMN)


def langfuse_config(project: str = "twin-project", host: str = "http://langfuse:3000") -> dict[str, str]:
    return {
        "public_key": ENCRYPTED,
        "secret_key": ENCRYPTED,
        "host": host,
        "project_key": "",
        "project_url": f"{host}/project/{project}",
    }


def langsmith_config(project: str = "dify") -> dict[str, str]:
    return {"api_key": ENCRYPTED, "project": project, "endpoint": "https://api.smith.langchain.com"}


def switch_on(
    connection: psycopg.Connection[Any],
    app_id: str,
    provider: str,
    config: dict[str, str] | None,
    *,
    since: datetime = LONG_AGO,
    enabled: bool = True,
) -> None:
    """What saving and switching on in the console leaves; without a config, as after its removal."""
    told = json.dumps({"enabled": enabled, "tracing_provider": provider})
    connection.execute("UPDATE apps SET tracing = %s WHERE id = %s", (told, app_id))
    if config is not None:
        connection.execute(
            "INSERT INTO trace_app_config (app_id, tracing_provider, tracing_config, created_at) VALUES (%s, %s, %s, %s)",
            (app_id, provider, json.dumps(config), since),
        )
