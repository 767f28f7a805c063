"""A Dify database that tests write to as Dify does: message rows before the call, once more after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import psycopg
from psycopg import sql

from exporter.demo.database import dify_database

TENANT = str(uuid5(NAMESPACE_OID, "tenant"))
CHAT_APP = str(uuid5(NAMESPACE_OID, "chat app"))
FLOW_APP = str(uuid5(NAMESPACE_OID, "workflow app"))


def uuid_of(name: object) -> str:
    return str(uuid5(NAMESPACE_OID, str(name)))


def stamp(seconds_ago: float = 0.0) -> str:
    """A naive UTC time as Dify stores it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).replace(tzinfo=None).isoformat()


def insert(connection: psycopg.Connection[Any], table: str, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        columns = sql.SQL(", ").join(map(sql.Identifier, row))
        statement = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_record(NULL::{0}, %s::json)")
        connection.execute(statement.format(sql.Identifier(table), columns), (json.dumps(row),))


def message(name: object, created_at: str, **changes: Any) -> dict[str, Any]:
    """A finished chat message."""
    return {
        "id": uuid_of(name), "app_id": CHAT_APP, "conversation_id": uuid_of("conversation"), "query": f"question {name}",
        "model_provider": "langgenius/openai/openai", "model_id": "gpt-4o-mini",
        "message": [{"role": "user", "text": f"question {name}", "files": []}], "message_tokens": 12, "answer_tokens": 5,
        "message_unit_price": 0.15, "answer_unit_price": 0.6, "total_price": 0.0000048, "currency": "USD",
        "answer": "an answer", "provider_response_latency": 0.3, "status": "normal", "inputs": {},
        "message_metadata": '{"usage": null, "retriever_resources": []}', "invoke_from": "service-api",
        "from_source": "api", "app_mode": "chat", "created_at": created_at, "updated_at": created_at, **changes,
    }  # fmt: skip


UNFINISHED: dict[str, Any] = {
    "message": "", "answer": "", "message_tokens": 0, "answer_tokens": 0, "message_metadata": None,
    "provider_response_latency": 0, "message_unit_price": 0, "answer_unit_price": 0, "total_price": 0,
}  # fmt: skip


@contextmanager
def living_dify() -> Iterator[str]:
    """The address of an empty Dify with one workspace, a chat app and a workflow app."""
    with dify_database() as url:
        with psycopg.connect(url) as connection:
            insert(connection, "tenants", [{"id": TENANT, "name": "Aurora"}])
            apps = ((CHAT_APP, "Support", "chat"), (FLOW_APP, "Report", "workflow"))
            insert(
                connection,
                "apps",
                [{"id": id_, "tenant_id": TENANT, "name": name, "mode": mode} for id_, name, mode in apps],
            )
        yield url
