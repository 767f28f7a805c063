"""Rows as Dify writes them, small, for tests of `assemble`. Values follow the recorded 1.12.1 and 1.14.0 instances."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from exporter.model import App, RecordKind, RecordRef
from exporter.sources.rows import MessageRow, NodeRow, RunRow, ThoughtRow, TraceRows

T0 = 1_795_461_600_000_000
RUN = "8e1b41b1-cc7b-4002-8486-50fef8049ab8"
MESSAGE = "926fdc0f-111e-439f-b6c5-8c94bd626618"


def app(mode: str) -> App:
    return App(
        "44969475-c201-49c6-b1b0-e5819e05cfc6",
        "Support",
        mode,
        "700ac4f1-8a2f-40f7-8608-92c9b6c73c86",
        "Aurora",
    )


def usage(prompt: int, completion: int, total: int | None = None, price: str = "0.15") -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
        "prompt_unit_price": price,
        "completion_unit_price": price,
        "total_price": "0.0000061" if price != "0" else "0",
        "currency": "USD",
        "latency": 0.2,
        "time_to_first_token": 0.05,
    }


def chat_message(**changes: Any) -> MessageRow:
    row = MessageRow(
        id=MESSAGE,
        app_id=app("chat").id,
        created_at=T0,
        conversation_id="62863a3b-db68-47e8-bb6a-04f3ebbd59de",
        model_provider="langgenius/openai/openai",
        model_id="gpt-4o-mini",
        query="What is the warranty?",
        message=json.dumps(
            [
                {"role": "system", "text": "Be kind.", "files": []},
                {"role": "user", "text": "What is the warranty?", "files": []},
            ]
        ),
        message_tokens=32,
        answer="Two years.",
        answer_tokens=35,
        message_unit_price=Decimal("0.15"),
        answer_unit_price=Decimal("0.60"),
        total_price=Decimal("0.0000258"),
        currency="USD",
        provider_response_latency=0.25,
        status="normal",
        message_metadata='{"annotation_reply":null,"retriever_resources":[],"usage":null}',
        invoke_from="service-api",
        updated_at=T0 + 300_000,
    )
    return replace(row, **changes)


def thought(position: int, **changes: Any) -> ThoughtRow:
    row = ThoughtRow(
        id=f"00000000-0000-4000-8000-00000000000{position}",
        message_id=MESSAGE,
        position=position,
        created_at=T0 + position * 100_000,
        thought="",
        answer="",
        message_token=178,
        answer_token=14,
        message_unit_price=Decimal("0.15"),
        answer_unit_price=Decimal("0.60"),
        total_price=Decimal("0.0000351"),
        currency="USD",
    )
    return replace(row, **changes)


def run_row(**changes: Any) -> RunRow:
    row = RunRow(
        id=RUN,
        tenant_id=app("workflow").tenant_id,
        app_id=app("workflow").id,
        created_at=T0,
        workflow_id="6d61e94b-cea2-41d0-97cd-f76fd5c39e7e",
        type="workflow",
        triggered_from="app-run",
        version="2026-11-23 19:00:00",
        inputs='{"q": "hi"}',
        outputs='{"text": "ho"}',
        status="succeeded",
        elapsed_time=2.0,
        total_tokens=67,
        finished_at=T0 + 2_000_000,
    )
    return replace(row, **changes)


def node(number: int, node_type: str, **changes: Any) -> NodeRow:
    row = NodeRow(
        id=f"10000000-0000-4000-8000-{number:012d}",
        app_id=app("workflow").id,
        created_at=T0 + number * 10_000,
        workflow_run_id=RUN,
        triggered_from="workflow-run",
        index=number,
        node_id=f"n{number}",
        node_type=node_type,
        title=f"{node_type} {number}",
        inputs="{}",
        process_data="{}",
        outputs="{}",
        status="succeeded",
        elapsed_time=0.005,
        finished_at=T0 + number * 10_000 + 5_000,
    )
    return replace(row, **changes)


def llm(number: int, prompt: int = 12, completion: int = 55, **changes: Any) -> NodeRow:
    process = {
        "model_mode": "chat",
        "prompts": [{"role": "user", "text": "hi", "files": []}],
        "usage": usage(prompt, completion),
        "finish_reason": "stop",
        "model_provider": "langgenius/openai/openai",
        "model_name": "gpt-4o-mini",
    }
    fields: dict[str, Any] = {
        "process_data": json.dumps(process),
        "outputs": json.dumps({"text": "ho", "usage": process["usage"]}),
        "execution_metadata": json.dumps({"total_tokens": prompt + completion}),
    }
    return node(number, "llm", **{**fields, **changes})


def message_rows(message: MessageRow, *thoughts: ThoughtRow, mode: str = "chat") -> TraceRows:
    return TraceRows(
        RecordRef(RecordKind.MESSAGE, message.id, message.created_at),
        app(mode),
        message=message,
        thoughts=thoughts,
        user="u-1",
    )


def run_rows(
    *nodes: NodeRow, run: RunRow | None = None, message: MessageRow | None = None, **changes: Any
) -> TraceRows:
    run = run or run_row()
    ref = (
        RecordRef(RecordKind.MESSAGE, message.id, message.created_at)
        if message
        else RecordRef(RecordKind.RUN, run.id, run.created_at)
    )
    rows = TraceRows(
        ref,
        app("advanced-chat" if message else "workflow"),
        message=message,
        run=run,
        nodes=nodes,
        user="u-1",
    )
    return replace(rows, **changes)
