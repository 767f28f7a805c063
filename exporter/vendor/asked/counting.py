"""Our own count of a vendor request, made when the record arrives, because the texts are dropped right after.

The record holds the whole request, so the count has parts that no count of Dify's record can have: function definitions,
the schema of the answer, pictures. Never raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.local.families import family
from exporter.local.parts import Parts
from exporter.local.reading import read_local
from exporter.model import Call, PromptMessage, Status
from exporter.vendor.asked.definitions import definitions_of, schema_of
from exporter.vendor.asked.messages import tool_calls_of
from exporter.vendor.asked.parts import Asked
from exporter.vendor.asked.pictures import images_of

_STATUSES = {"ok": Status.OK, "error": Status.ERROR, "aborted": Status.STOPPED}
_KINDS = {"embeddings": "embedding", "rerank": "rerank"}
_THINKING = ("thinking", "enable_thinking", "reasoning_effort", "thinking_budget")
"""Names by which bodies and Dify alike ask a model to reason."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Input and output as our tokenizer counts them, with its name and trust (see the local reading)."""

    input: int | None
    output: int | None
    tokenizer: str
    accuracy: str
    error_pct: float | None = None
    note: str | None = None


def count_request(
    record: Mapping[str, Any],
    operation: str,
    model: str,
    provider: str | None,
    prompt: Sequence[PromptMessage] | None,
    parts: Asked,
) -> Counted | None:
    """The count of one canonical record with the tokenizer of its model; None when no text was logged. `parts` says what
    the request held, where it was logged in part."""
    answer, request = record.get("response_text"), record.get("request")
    asked = tool_calls_of(record.get("tool_calls"))
    if not prompt and not isinstance(answer, str) and not asked:
        return None
    is_partial = record.get("request_partial") is True
    body = request if isinstance(request, Mapping) else {}
    call = Call(
        call_id="", kind=_KINDS.get(operation, "chat"), provider=provider, model=_model(record, model, provider),
        started_at=0, ended_at=0, status=_status(record), recorded=None, prompt=tuple(prompt) if prompt else None,
        answer=answer if isinstance(answer, str) else None, tool_calls=asked, parameters=tuple(_thinking(body)),
        missing=("the rest of a request that was logged in part",) if is_partial and prompt else (),
    )  # fmt: skip
    reading = read_local(call, _parts(body, parts) if prompt else None)
    if reading is None:
        return None
    return Counted(
        reading.tokens.input, reading.tokens.output, reading.tokenizer, reading.accuracy.value,
        reading.error_pct, reading.note,
    )  # fmt: skip


def _parts(request: Mapping[str, Any], asked: Asked) -> Parts:
    definitions, schema = definitions_of(request), schema_of(request)
    is_unread = schema is not None and not schema.text
    return Parts(
        tools=definitions.tools,
        unread_tools=definitions.unread,
        is_tool_forced=definitions.is_forced,
        schema=None if is_unread else schema,
        is_schema_unread=is_unread,
        images=images_of(request),
        media=asked.media or 0,
    )


def _model(record: Mapping[str, Any], model: str, provider: str | None) -> str:
    """The model that was asked for, or the one that answered where the asked name says nothing (a gateway's alias)."""
    served = record.get("response_model")
    if isinstance(served, str) and served and family(model, provider).name == "unknown":
        return served
    return model


def _status(record: Mapping[str, Any]) -> Status:
    given, http = record.get("status"), record.get("http_status")
    if isinstance(given, str) and given in _STATUSES:
        return _STATUSES[given]
    return Status.ERROR if isinstance(http, int) and http >= 400 else Status.OK


def _thinking(request: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float | bool]]:
    """Whether the request asks the model to reason, by the names that Dify's record of parameters has."""
    places = (request, request.get("parameters"), request.get("chat_template_kwargs"))
    for place in (place for place in places if isinstance(place, Mapping)):
        for name in _THINKING:
            given = place.get(name)
            yield from _told(name, given.get("type") if isinstance(given, Mapping) else given)
    config = request.get("generationConfig")
    thinking = config.get("thinkingConfig") if isinstance(config, Mapping) else None
    if isinstance(thinking, Mapping):
        yield from _told("thinking_budget", thinking.get("thinkingBudget"))
    reasoning = request.get("reasoning")
    if isinstance(reasoning, Mapping):
        yield from _told("reasoning_effort", reasoning.get("effort"))


def _told(name: str, value: object) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, str | int | float):
        yield name, value
