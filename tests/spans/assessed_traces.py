"""Assessed traces for tests of spans and destinations: plain functions, fixed times and ids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from exporter import ids
from exporter.model import (
    Accuracy,
    App,
    AssessedTrace,
    Assessment,
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    Money,
    PromptMessage,
    Recorded,
    RecordKind,
    RecordRef,
    Status,
    Step,
    StepKind,
    Sums,
    Tokens,
    ToolCall,
    Trace,
    VendorReading,
    Verdict,
)

START = 1_795_460_000_123_456  # 2026-11-23T18:53:20.123456Z
SECOND = 1_000_000

APP = App(
    id="0d3e8a52-6d4c-4f3d-9a70-0f6ad3c5b9a1",
    name="Support bot",
    mode="advanced-chat",
    tenant_id="7a1c2f4e-33aa-4d8e-8a51-9b2c5d7e8f90",
    tenant_name="Acme",
)


def uuid(number: int) -> str:
    """A dashed UUID that differs in both halves."""
    return str(UUID(int=(0x5EED_0000_0000_4000 + number) << 64 | 0x8000_0000_0000_0000 + number * 7919))


def call(number: int = 1, **changes: Any) -> Call:
    """A chat call of an LLM node with prompt, answer and parameters."""
    known: dict[str, Any] = {
        "call_id": f"node:{uuid(number)}",
        "kind": "chat",
        "provider": "langgenius/openai/openai",
        "model": "gpt-4o-mini",
        "started_at": START + number * SECOND,
        "ended_at": START + number * SECOND + 750_000,
        "status": Status.OK,
        "recorded": Recorded(Tokens(120, 30), "node.process_data.usage", 150),
        "prompt": (
            PromptMessage("system", "You answer questions about invoices."),
            PromptMessage("user", "Why was I billed twice? Mail me at jo.doe@example.com"),
        ),
        "answer": "Because the second request was a retry.",
        "finish_reason": "stop",
        "parameters": (("temperature", 0.2), ("max_tokens", 512)),
        "first_token_at": START + number * SECOND + 200_000,
        "user": "user-17",
        "node_execution_id": uuid(number),
        "node_title": "Answer",
    }
    return Call(**{**known, **changes})


def dify(input: int | None = 120, output: int | None = 30, **changes: Any) -> DifyReading:
    """A dify reading with a cost in dollars."""
    known: dict[str, Any] = {
        "tokens": Tokens(input, output),
        "provenance": "node.process_data.usage",
        "kind": DifyKind.VENDOR_PASSED,
        "cost": Money(Decimal("0.0000360"), "USD"),
    }
    return DifyReading(**{**known, **changes})


def local(input: int | None = 121, output: int | None = 30, **changes: Any) -> LocalReading:
    """A local reading that counted exactly."""
    known: dict[str, Any] = {
        "tokens": Tokens(input, output),
        "tokenizer": "o200k_base",
        "accuracy": Accuracy.EXACT,
        "error_pct": 0.0,
    }
    return LocalReading(**{**known, **changes})


def vendor(input: int | None = 240, output: int | None = 42, **changes: Any) -> VendorReading:
    """An independent vendor reading of two attempts, with cached and reasoning parts."""
    known: dict[str, Any] = {
        "tokens": Tokens(input, output, cache_read=64, cache_write=None, reasoning=12),
        "provenance": "gateway:litellm",
        "independent": True,
        "match": "response_text",
        "confidence": 0.99,
        "attempts": (
            Attempt("chatcmpl-1", "litellm", "error", START, START + 9, Tokens(120, 0)),
            Attempt("chatcmpl-2", "litellm", "ok", START, START + 9, Tokens(120, 42)),
        ),
        "cost": Money(Decimal("0.0000612"), "USD"),
    }
    return VendorReading(**{**known, **changes})


def finding(code: str = "retry_billed", input: int = 120, output: int = 12) -> Finding:
    """A certain finding."""
    return Finding(
        code, input, output, Confidence.CERTAIN, "Two attempts were billed.", "Lower the retry count."
    )


def assessment(of: Call | None = None, **changes: Any) -> Assessment:
    """A call with all three readings and one finding that explains the difference."""
    known: dict[str, Any] = {
        "call": of or call(),
        "dify": dify(),
        "local": local(),
        "vendor": vendor(),
        "verdict": Verdict.EXPLAINED,
        "findings": (finding(),),
        "unexplained_input": 0,
        "unexplained_output": 0,
    }
    return Assessment(**{**known, **changes})


def step(number: int, kind: StepKind = StepKind.NODE, parent: str | None = None, **changes: Any) -> Step:
    """A step a second long."""
    known: dict[str, Any] = {
        "span_id": ids.span_id(uuid(number)),
        "parent_id": parent,
        "kind": kind,
        "name": f"{kind} {number}",
        "started_at": START + number * SECOND,
        "ended_at": START + (number + 1) * SECOND,
        "status": Status.OK,
        "input": '{"sys.query":"Why was I billed twice?"}',
        "output": '{"text":"Because of a retry."}',
        "facts": (
            ("node.id", f"17{number}"),
            ("node.type", str(kind)),
            ("node.title", f"{kind} {number}"),
            ("node.index", number),
        ),
    }
    return Step(**{**known, **changes})


def model_step(number: int, parent: str | None, of: Call | None = None, **changes: Any) -> Step:
    """An LLM node's step with its call."""
    return step(
        number,
        StepKind.MODEL,
        parent,
        call=of or call(number),
        input=None,
        output=None,
        name="Answer",
        **changes,
    )


def trace(record: int, steps: tuple[Step, ...], **changes: Any) -> Trace:
    """A trace of a chatflow message around the given steps."""
    known: dict[str, Any] = {
        "trace_id": ids.trace_id(uuid(record)),
        "ref": RecordRef(RecordKind.MESSAGE, uuid(record), START),
        "app": APP,
        "name": APP.name,
        "started_at": steps[0].started_at,
        "ended_at": max(item.ended_at for item in steps),
        "status": Status.OK,
        "steps": steps,
        "sums": Sums(leaves=Tokens(120, 30), message=Tokens(120, 30), run_total=150),
        "session_id": uuid(900),
        "user_id": "user-17",
        "invoke_from": "service-api",
        "workflow_id": uuid(901),
        "workflow_version": "2026-11-01 09:00:00",
        "message_id": uuid(record),
        "workflow_run_id": uuid(record + 1),
    }
    return Trace(**{**known, **changes})


def chatflow(record: int = 1000, **changes: Any) -> AssessedTrace:
    """A realistic trace of twelve spans: message, run, four model calls, a tool, a retrieval, plain nodes, a loop."""
    first = record
    root = step(
        first,
        StepKind.MESSAGE,
        None,
        name=APP.name,
        facts=(),
        input="Why was I billed twice?",
        output="A retry.",
    )
    run = step(first + 1, StepKind.WORKFLOW, root.span_id, name="workflow", facts=(("run.total_steps", 10),))
    hang = run.span_id
    loop = step(
        first + 5, StepKind.CONTAINER, hang, facts=(("node.type", "loop"), ("recorded.total_tokens", 300))
    )
    round_one = step(first + 6, StepKind.ROUND, loop.span_id, facts=(("round", 1),))
    steps = (
        root,
        run,
        step(first + 2, StepKind.NODE, hang),
        step(
            first + 3, StepKind.RETRIEVAL, hang, facts=(("dataset.id", uuid(902)), ("retrieval.documents", 4))
        ),
        model_step(first + 4, hang),
        loop,
        round_one,
        model_step(first + 7, round_one.span_id),
        step(first + 8, StepKind.TOOL, hang, name="search", link=ids.trace_id(uuid(5000))),
        model_step(
            first + 9, hang, call(first + 9, tool_calls=(ToolCall("call_1", "search", '{"q":"invoice"}'),))
        ),
        model_step(first + 10, hang),
        step(first + 11, StepKind.NODE, hang),
    )
    of = trace(record, steps)
    assessments = tuple(assessment(item) for item in of.calls)
    known: dict[str, Any] = {
        "trace": of,
        "assessments": assessments,
        "verdict": Verdict.EXPLAINED,
        "findings": (),
    }
    return AssessedTrace(**{**known, **changes})


def one_call(number: int = 1, **changes: Any) -> AssessedTrace:
    """A message with one model call; changes go to the assessment."""
    root = step(number, StepKind.MESSAGE, None, name=APP.name, facts=())
    leaf = model_step(number + 1, root.span_id)
    of = trace(number, (root, leaf))
    found = assessment(leaf.call, **changes)
    return AssessedTrace(of, (found,), found.verdict)
