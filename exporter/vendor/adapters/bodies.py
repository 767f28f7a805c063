"""The answer in a model's response: its text, tool calls, reasoning, usage, id and model, from a body or its events.

`answer_of` reads a whole body (parsed, as text, or a stream's text); `AnswerReader` is fed event by event and holds a
bounded amount. Both know OpenAI (chat, completions, responses, embeddings, rerank), Anthropic, DashScope, Gemini,
Bedrock Converse, Cohere and Ollama. Neither ever raises for what a body holds, and neither keeps anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporter.model import ToolCall
from exporter.vendor.adapters.dialects import read_event
from exporter.vendor.adapters.draft import Draft
from exporter.vendor.adapters.sse import events_of
from exporter.vendor.usage import StreamUsage


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. `text` leaves the reasoning out. `usage` is the vendor's own object and `usage_shape` its
    form; `is_usage_final`: it counts the whole answer; `is_usage_estimated`: it was added up from increments.
    `is_finished`: the vendor said that the answer is whole; `is_cut`: it was streamed and the vendor never said so;
    `is_error`: the body is, or the stream holds, an error."""

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    usage: Mapping[str, Any] | None = None
    usage_shape: str | None = None
    is_usage_final: bool = False
    is_usage_estimated: bool = False
    response_id: str | None = None
    model: str | None = None
    is_finished: bool = False
    is_cut: bool = False
    is_error: bool = False


class AnswerReader:
    """Reads one answer from its events. `request` is the request body, which tells how some vendors stream."""

    def __init__(self, request: object = None) -> None:
        self._draft = Draft(repeats=_repeats(request))
        self._usage = StreamUsage()

    def feed(self, event: object) -> None:
        """The next event, or the whole body; a list is read as its items. What is not an object says nothing."""
        for item in event if isinstance(event, list) else (event,):
            if isinstance(item, Mapping):
                read_event(item, self._draft)
                self._usage.feed(item)

    def answer(self) -> Answer:
        """The answer so far."""
        draft, counted = self._draft, self._usage.result()
        return Answer(
            text=draft.text.text,
            tool_calls=draft.tool_calls(),
            reasoning=draft.reasoning.text,
            usage=counted.usage,
            usage_shape=counted.shape,
            is_usage_final=counted.is_final,
            is_usage_estimated=counted.is_estimated,
            response_id=draft.response_id,
            model=draft.model,
            is_finished=draft.is_finished,
            is_error=draft.is_error,
        )


def answer_of(body: object, request: object = None) -> Answer:
    """The answer in a body: a JSON value, or text that holds one or a stream of events."""
    reader = AnswerReader(request)
    events = list(events_of(body)) if isinstance(body, str) else [body]
    for event in events:
        reader.feed(event)
    answer = reader.answer()
    if _is_stream(body, events):
        return replace(answer, is_cut=not answer.is_finished)
    return replace(answer, is_usage_final=answer.usage is not None)


def record_fields(answer: Answer) -> dict[str, Any]:
    """The answer's part of a canonical record, without what is not known; usage only where it counts the whole."""
    is_final = answer.is_usage_final
    fields = {
        "response_text": answer.text,
        "tool_calls": tool_calls_json(answer.tool_calls) or None,
        "usage": answer.usage if is_final else None,
        "usage_shape": answer.usage_shape if is_final else None,
        "usage_estimated": answer.is_usage_estimated or None if is_final else None,
        "response_id": answer.response_id,
        "response_model": answer.model,
    }
    return {name: value for name, value in fields.items() if value is not None}


def tool_calls_json(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """Tool calls as a canonical record writes them, in OpenAI's form."""
    return [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in calls]


def _is_stream(body: object, events: list[object]) -> bool:
    """Whether a body holds events rather than one whole answer; empty or foreign text holds neither."""
    if isinstance(body, list):
        return True
    is_text = isinstance(body, str) and not body.lstrip().startswith(("{", "["))
    return len(events) > 1 or (is_text and bool(events))


def _repeats(request: object) -> bool | None:
    """DashScope: without `incremental_output` every event repeats the text from its beginning; None: not said."""
    parameters = request.get("parameters") if isinstance(request, Mapping) else None
    says = parameters.get("incremental_output") if isinstance(parameters, Mapping) else None
    return not says if isinstance(says, bool) else None
