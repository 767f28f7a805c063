"""Where each vendor puts its usage: in one event of a stream, and in a whole response body.

`event_of` looks at one parsed JSON object and says which usage it holds, how that usage relates to earlier ones and
whether the vendor ends its answer here. It keeps no state and raises nothing; what it does not know holds no usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporter.vendor.usage.numbers import objects, part
from exporter.vendor.usage.shapes import guess_shape

Object = Mapping[str, Any]
INVOKE_METRICS = "amazon-bedrock-invocationMetrics"
_CLOSED = ("completed", "incomplete", "failed", "cancelled")
_CLOSING = tuple(f"response.{status}" for status in _CLOSED)


class Rule(StrEnum):
    """How a usage relates to the earlier ones of the same stream."""

    SO_FAR = "so_far"  # counts up to here: the last one holds, unless the numbers turn out to be increments
    WHOLE = "whole"  # the whole request: replaces everything before it
    FIELDS = "fields"  # each field that is given replaces its earlier value, the others stay
    FALLBACK = "fallback"  # the whole request, told by a middle man: serves where the vendor said nothing


@dataclass(frozen=True, slots=True)
class Event:
    """What one event says. `ends`: the vendor ends its answer here; `is_one_of_several`: it belongs to an answer
    beside the first (`n` > 1), so that its end is not the end of all."""

    shape: str
    usage: Object | None = None
    rule: Rule = Rule.SO_FAR
    ends: bool = False
    is_one_of_several: bool = False


def event_of(chunk: object) -> Event | None:
    """What a parsed event (or a whole body) says about usage; None for anything that is no event of a known stream."""
    if not isinstance(chunk, Mapping):
        return None
    return next((event for read in _READERS if (event := read(chunk)) is not None), None)


def _responses(chunk: Object) -> Event | None:
    """OpenAI Responses: the usage is inside `response` of the closing event (API reference, streaming events)."""
    kind = chunk.get("type")
    is_event = isinstance(kind, str) and kind.startswith("response.")
    if not is_event and chunk.get("object") != "response":
        return None
    body = part(chunk, "response") if is_event else chunk
    ends = body.get("status") in _CLOSED or kind in _CLOSING
    return Event("openai_responses", _object(body, "usage"), Rule.WHOLE, ends=ends)


def _anthropic(chunk: Object) -> Event | None:
    """Anthropic Messages: `message_start` holds the input, `message_delta` cumulative figures (API reference,
    streaming messages); the usage of a whole body stands beside its content."""
    kind = chunk.get("type")
    if kind == "message_start":
        return Event("anthropic", _object(part(chunk, "message"), "usage"), Rule.FIELDS)
    if kind == "message_delta":
        stopped = part(chunk, "delta").get("stop_reason") is not None
        return Event("anthropic", _object(chunk, "usage"), Rule.FIELDS, ends=stopped)
    if kind == "message":
        stopped = chunk.get("stop_reason") is not None
        return Event("anthropic", _object(chunk, "usage"), Rule.WHOLE, ends=stopped)
    return None


def _gemini(chunk: Object) -> Event | None:
    """Gemini and Vertex: every chunk holds cumulative `usageMetadata`; fields may be missing in the last one (API
    reference, generateContent)."""
    if not any(key in chunk for key in ("usageMetadata", "candidates", "promptFeedback")):
        return None
    shape = "embeddings" if "embedding" in chunk or "embeddings" in chunk else "gemini"
    ends = _is_reason(part(chunk, "promptFeedback").get("blockReason")) or _any_says(
        chunk, "candidates", "finishReason"
    )
    return Event(shape, _object(chunk, "usageMetadata"), Rule.FIELDS, ends=ends)


def _hunyuan(chunk: Object) -> Event | None:
    """Tencent Hunyuan, native: every event holds `Usage`, the last one a `FinishReason` (API 2023-09-01)."""
    body = _object(chunk, "Response") or chunk
    if "Usage" not in body and "Choices" not in body:
        return None
    shape = "hunyuan" if "Choices" in body else "embeddings"
    return Event(shape, _object(body, "Usage"), ends=_any_says(body, "Choices", "FinishReason"))


def _bedrock(chunk: Object) -> Event | None:
    """Bedrock: ConverseStream's closing `metadata` event, the Converse body, and the metrics in the last chunk of
    InvokeModelWithResponseStream (botocore service model, bedrock-runtime)."""
    place = _object(chunk, "metadata") or chunk
    usage = part(place, "usage")
    if "inputTokens" in usage or "outputTokens" in usage:
        return Event("bedrock", usage, Rule.WHOLE, ends=True)
    return None


def _bedrock_metrics(chunk: Object) -> Event | None:
    metrics = _object(chunk, INVOKE_METRICS)
    return None if metrics is None else Event("bedrock", metrics, Rule.FALLBACK, ends=True)


def _ollama(chunk: Object) -> Event | None:
    """Ollama: only the object with `done: true` holds the counts, beside the answer itself (API reference)."""
    if "prompt_eval_count" in chunk or "eval_count" in chunk:
        counts = {key: chunk[key] for key in ("prompt_eval_count", "eval_count") if key in chunk}
        if "embeddings" in chunk:
            return Event("embeddings", counts, Rule.WHOLE, ends=True)
        return Event("ollama", counts, Rule.WHOLE, ends=chunk.get("done") is True)
    return Event("ollama") if isinstance(chunk.get("done"), bool) else None


def _dashscope(chunk: Object) -> Event | None:
    """DashScope, native: every event holds `usage` up to here; the last one a finish reason other than the text
    "null" (API reference, text generation). Embeddings and rerank answer once."""
    output = _object(chunk, "output")
    if output is None:
        return None
    usage = _object(chunk, "usage")
    for key, shape in (("embeddings", "embeddings"), ("results", "rerank")):
        if key in output:
            return Event(shape, usage, Rule.WHOLE, ends=True)
    ends = _any_says(output, "choices", "finish_reason") or _is_reason(output.get("finish_reason"))
    return Event("dashscope", usage, ends=ends)


def _cohere(chunk: Object) -> Event | None:
    """Cohere: v2 closes with `message-end`, v1 with `stream-end`; bodies hold `usage` (chat) or `meta` (rerank,
    embed) (API reference, chat stream)."""
    for place in (part(chunk, "delta"), part(chunk, "response"), chunk):
        for key in ("usage", "meta"):
            usage = _object(place, key)
            if usage is not None and ("billed_units" in usage or "tokens" in usage):
                return Event("cohere", usage, Rule.WHOLE, ends=True)
    return None


def _one_number(chunk: Object) -> Event | None:
    """Embeddings and rerank of the OpenAI kind (OpenAI, Jina, Voyage and those that copy them): one answer."""
    for listed, key, shape in (
        ("data", "embedding", "embeddings"),
        ("data", "relevance_score", "rerank"),
        ("results", "relevance_score", "rerank"),
    ):
        if any(key in item for item in objects(chunk, listed)[:1]):
            return Event(shape, _object(chunk, "usage"), Rule.WHOLE, ends=True)
    return None


def _openai(chunk: Object) -> Event | None:
    """Chat Completions and all that speak it: the usage of the whole request in a chunk whose `choices` is empty
    (API reference, `stream_options.include_usage`); others repeat it in every chunk, or put it with the finish reason.
    Groq also writes `x_groq.usage`, Moonshot once wrote `choices[0].usage`."""
    listed = objects(chunk, "choices")
    usage = next(filter(None, _openai_places(chunk, listed)), None)
    if usage is None and "choices" not in chunk:
        return None
    if usage is not None and not listed:
        return Event(guess_shape(usage), usage, Rule.WHOLE, ends=True)
    return Event(
        "openai" if usage is None else guess_shape(usage),
        usage,
        ends=_any_says(chunk, "choices", "finish_reason"),
        is_one_of_several=any(choice.get("index") not in (None, 0) for choice in listed),
    )


def _openai_places(chunk: Object, choices: list[Object]) -> tuple[Object | None, ...]:
    within = choices[0] if choices else {}
    return _object(chunk, "usage"), _object(part(chunk, "x_groq"), "usage"), _object(within, "usage")


def _any_says(place: Object, items: str, key: str) -> bool:
    return any(_is_reason(item.get(key)) for item in objects(place, items))


def _is_reason(value: object) -> bool:
    """DashScope writes the text "null" and Hunyuan an empty text while the answer goes on."""
    return isinstance(value, str) and value not in ("", "null")


def _object(place: Object, key: str) -> Object | None:
    value = place.get(key)
    return value if isinstance(value, Mapping) else None


_READERS: tuple[Callable[[Object], Event | None], ...] = (
    _responses,
    _anthropic,
    _gemini,
    _hunyuan,
    _bedrock,
    _bedrock_metrics,
    _cohere,
    _ollama,
    _one_number,
    _dashscope,
    _openai,
)
"""Tried in turn: each looks for keys that only its vendor writes, the form that everybody copies comes last."""
