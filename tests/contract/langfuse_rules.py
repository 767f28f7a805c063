"""What a Langfuse server makes of one OTLP span, and which silent changes a correct client avoids.

Rules measured against Langfuse 4.16 and read in its public source (OtelIngestionProcessor): precedence of attributes,
usage and cost keys, the types, the environment, and the traps that answer 200 and change or drop something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.contract.twin_server import attributes, twice

TYPES = (
    "span",
    "generation",
    "event",
    "embedding",
    "agent",
    "tool",
    "chain",
    "retriever",
    "guardrail",
    "evaluator",
)
_BY_OPERATION = {
    "chat": "GENERATION",
    "completion": "GENERATION",
    "text_completion": "GENERATION",
    "generate_content": "GENERATION",
    "generate": "GENERATION",
    "embeddings": "EMBEDDING",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
    "execute_tool": "TOOL",
}
_MODEL = (
    "langfuse.observation.model.name",
    "gen_ai.response.model",
    "ai.model.id",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.model_name",
    "model",
)
_OWN_USAGE = {
    "input",
    "output",
    "total",
    "input_cached_tokens",
    "input_cache_creation",
    "input_cache_read",
    "output_reasoning_tokens",
}
_OPENAI = {"prompt_tokens", "completion_tokens", "total_tokens"}
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")
_LEVELS = {"debug": "DEBUG", "default": "DEFAULT", "info": "DEFAULT", "warning": "WARNING", "warn": "WARNING"}
_LEVELS |= {"error": "ERROR", "fatal": "ERROR"}
_TOKENIZED = re.compile(r"(gpt-|o[1345]|text-embedding-|claude-|gemini-)")

Note = Callable[[str], None]


def observation(span: Any, resource: dict[str, Any], note: Note) -> dict[str, Any]:
    """The stored observation of a span; silent changes are noted."""
    found = attributes(span)
    name = span.name
    if twice(span):
        note(f"{name}: attributes {twice(span)} appear twice")
    if len(span.attributes) > 128:
        note(f"{name}: {len(span.attributes)} attributes")
    for key, value in found.items():
        if isinstance(value, str) and (value.startswith('{"kvlistValue"') or "\x00" in value):
            note(f"{name}: {key} is a kvlist or holds NUL")
    model = next((found[key] for key in _MODEL if found.get(key)), None)
    given = usage(found, name, note)
    cost = costs(found, name, note)
    if found.get("gen_ai.operation.name") in ("invoke_agent", "agent_step"):
        if model or given or cost:
            note(f"{name}: model, usage and cost are dropped from an invoke_agent span")
        model, given, cost = None, {}, {}
    guessed = bool(model and not given and not cost and _TOKENIZED.match(str(model)))
    if guessed:
        note(f"{name}: Langfuse counts the tokens of {model} by itself")
    start, end = span.start_time_unix_nano // 1_000_000, span.end_time_unix_nano // 1_000_000
    return {
        "id": span.span_id.hex(),
        "traceId": span.trace_id.hex(),
        "parentObservationId": span.parent_span_id.hex() or None,
        "type": _type(found, bool(model), name, note),
        "name": found.get("gen_ai.tool.name") or name,
        "startTime": iso(start),
        "endTime": iso(end),
        "level": _level(span, found),
        "statusMessage": found.get("langfuse.observation.status_message") or span.status.message or None,
        "model": model,
        "modelParameters": _object(found, "langfuse.observation.model.parameters", name, note),
        "usageDetails": given,
        "costDetails": cost,
        "guessed": guessed,
        "input": found.get("langfuse.observation.input"),
        "output": found.get("langfuse.observation.output"),
        "metadata": _object(found, "langfuse.observation.metadata", name, note),
        "completionStartTime": _moment(found, name, note),
        "environment": _environment(found, resource, name, note),
        "version": found.get("langfuse.version") or resource.get("service.version"),
        "traceName": found.get("langfuse.trace.name"),
        "userId": found.get("langfuse.user.id") or found.get("user.id"),
        "sessionId": found.get("langfuse.session.id") or found.get("session.id"),
        "tags": found.get("langfuse.trace.tags") or [],
        "attributes": found,
    }


def usage(found: dict[str, Any], name: str, note: Note) -> dict[str, int]:
    """`usage_details` as it is stored."""
    given = _parsed(found.get("langfuse.observation.usage_details"))
    if given is None:
        given = _from_gen_ai(found)
    if set(given) & _OPENAI and set(given) <= _OPENAI:
        return {
            "input": given["prompt_tokens"],
            "output": given["completion_tokens"],
            "total": given["total_tokens"],
        }
    kept: dict[str, int] = {}
    for key, value in given.items():
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            note(f"{name}: usage {key}={value!r} is dropped without a word")
            continue
        if key not in _OWN_USAGE and ("input" in key or "output" in key):
            note(f"{name}: usage key {key} is added to what is shown as input or output")
        kept[key] = number
    if kept and "total" not in kept:
        note(f"{name}: usage without total; the sum of all keys becomes the total")
        kept["total"] = sum(kept.values())
    return kept


def shown(given: dict[str, int]) -> tuple[int, int, int]:
    """(input, output, total) as the pages, tables and dashboards show a usage."""
    ins = sum(count for key, count in given.items() if "input" in key)
    outs = sum(count for key, count in given.items() if "output" in key)
    return ins, outs, given.get("total", 0)


def costs(found: dict[str, Any], name: str, note: Note) -> dict[str, float]:
    """`cost_details` as it is stored."""
    given = _parsed(found.get("langfuse.observation.cost_details"))
    if given is None:
        return {"total": found["gen_ai.usage.cost"]} if found.get("gen_ai.usage.cost") else {}
    kept: dict[str, float] = {}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            note(f"{name}: cost {key}={value!r} is no number and becomes 0")
            value = 0
        kept[key] = value
    if kept and "total" not in kept:
        if set(kept) != {"input", "output"}:
            note(f"{name}: cost without total becomes 0")
        kept["total"] = sum(kept.values()) if set(kept) == {"input", "output"} else 0
    return kept


def iso(moment_ms: int) -> str:
    """ISO 8601 with milliseconds, as Langfuse writes times."""
    whole, rest = divmod(moment_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def _type(found: dict[str, Any], has_model: bool, name: str, note: Note) -> str:
    named = found.get("langfuse.observation.type")
    if named in TYPES:
        return str(named).upper()
    if named is not None:
        note(f"{name}: type {named!r} is unknown and becomes SPAN")
        return "SPAN"
    operation = _BY_OPERATION.get(str(found.get("gen_ai.operation.name")))
    return operation or ("GENERATION" if has_model else "SPAN")


def _level(span: Any, found: dict[str, Any]) -> str:
    named = found.get("langfuse.observation.level")
    if named:
        return _LEVELS.get(str(named).lower(), "DEFAULT")
    return "ERROR" if span.status.code == 2 else "DEFAULT"


def _environment(found: dict[str, Any], resource: dict[str, Any], name: str, note: Note) -> str:
    for key in ("langfuse.environment", "deployment.environment.name", "deployment.environment"):
        named = found.get(key) or resource.get(key)
        if named:
            if _ENVIRONMENT.fullmatch(str(named).lower()):
                return str(named).lower()
            note(f"{name}: environment {named!r} silently becomes default")
            return "default"
    return "default"


def _moment(found: dict[str, Any], name: str, note: Note) -> str | None:
    text = found.get("langfuse.observation.completion_start_time")
    if text is None:
        return None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        note(f"{name}: completion start time {text!r} is silently none")
        return None
    return str(text)


def _object(found: dict[str, Any], key: str, name: str, note: Note) -> dict[str, Any] | None:
    text = found.get(key)
    if text is None:
        return None
    value = _parsed(text)
    if value is None:
        note(f"{name}: {key} is not a JSON object")
    return value


def _parsed(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str):
        return None if text is None else {}
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _from_gen_ai(found: dict[str, Any]) -> dict[str, Any]:
    counts = {
        key.removeprefix("gen_ai.usage."): value
        for key, value in found.items()
        if key.startswith("gen_ai.usage.") and key != "gen_ai.usage.cost"
    }
    names = {"input_tokens": "input", "output_tokens": "output", "total_tokens": "total"}
    return {names.get(key, key): value for key, value in counts.items()}
