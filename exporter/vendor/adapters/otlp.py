"""OpenTelemetry spans with GenAI attributes, from gateways (LiteLLM, Envoy, Kong) or self-instrumented plugins.

The input is an OTLP export request as JSON; the intake decodes protobuf into the same form. Spans that are no model
calls (tools, agents, HTTP) and our own exported spans hold no request. Input tokens include cached ones, as the
conventions say; where more is cached than the input holds, the emitter wrote Anthropic's own number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.adapters.bodies import answer_of, record_fields
from exporter.vendor.adapters.entries import Entry, Unfit, each, flag, inner, parsed, text, whole
from exporter.vendor.adapters.moments import rfc
from exporter.vendor.adapters.names import app_of, hashed_key, key_name, user_of
from exporter.vendor.adapters.otlp_texts import answers, conversation
from exporter.vendor.adapters.otlp_values import Node, attributes, hex_id, spans_of
from exporter.vendor.adapters.usages import counted

_OPERATIONS = {
    "chat": "chat",
    "generate_content": "chat",
    "completion": "completion",
    "text_completion": "completion",
    "embeddings": "embeddings",
    "embedding": "embeddings",
    "rerank": "rerank",
    "responses": "responses",
}
_PROMPT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
_COMPLETION = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
_TOTAL = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens")
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_input_tokens",
)
_WRITTEN = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens")
_REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
_HTTP = ("http.response.status_code", "http.status_code")
_USER = (
    "gen_ai.user",
    "enduser.id",
    "user.id",
    "gen_ai.request.user",
    "llm.user",
    "metadata.user_api_key_end_user_id",
)
_ALIAS = ("metadata.user_api_key_alias", "gen_ai.api_key.alias")
_HASH = ("metadata.user_api_key_hash", "metadata.user_api_key")
_APP = ("dify_app_id", "dify.app_id", "metadata.dify_app_id", "gen_ai.request.metadata.dify_app_id")


def otlp(value: object) -> Iterable[object]:
    """The model requests among the spans of one export request, or of an array of them."""
    for request in value if isinstance(value, list) else (value,):
        if not isinstance(request, Mapping):
            yield Unreadable("an export request must be a JSON object")
        else:
            yield from each(list(_calls(request)), _record)


def _calls(request: Node) -> Iterator[dict[str, Any]]:
    for span, shared in spans_of(request):
        named = attributes(span)
        operation = _operation(named)
        if operation is not None:
            yield {"span": span, "named": named, "shared": shared, "operation": operation}


def _operation(named: Entry) -> str | None:
    """What a span asked a model for; None for spans of other kinds. Instrumentation older than the operation name tells
    a model call by its model together with usage or a system."""
    if any(name.startswith("dify_exporter.") for name in named):
        return None
    said = text(named, "gen_ai.operation.name", "llm.request.type")
    if said is not None:
        return _OPERATIONS.get(said.lower())
    is_model = text(named, "gen_ai.request.model", "gen_ai.response.model") is not None
    return (
        "chat"
        if is_model and any(name in named for name in (*_PROMPT, *_COMPLETION, "gen_ai.system"))
        else None
    )


def _record(found: Entry) -> dict[str, Any]:
    span, named = found["span"], found["named"]
    messages, said = conversation(span, named), answers(span, named)
    answer = answer_of({"choices": [{"message": said[0]}]}) if said else answer_of(None)
    usage, shape = _usage(named, found["operation"])
    request = _request(named, messages)
    http_status = whole(named, *_HTTP)
    return {
        **record_fields(answer),
        "id": _id(span),
        "response_id": text(named, "gen_ai.response.id"),
        "started_at": _moment(span, "startTimeUnixNano", "start_time_unix_nano"),
        "ended_at": _moment(span, "endTimeUnixNano", "end_time_unix_nano"),
        "operation": found["operation"],
        "provider": text(named, "gen_ai.provider.name", "gen_ai.system"),
        "model": text(named, "gen_ai.request.model", "gen_ai.response.model"),
        "response_model": text(named, "gen_ai.response.model"),
        "status": _status(span, named, http_status, usage is not None),
        "http_status": http_status,
        "stream": flag(named, "gen_ai.request.stream", "llm.is_streaming", "gen_ai.request.is_stream"),
        "user": text(named, *_USER) or user_of(request),
        "key": key_name(text(named, *_ALIAS)) or hashed_key(text(named, *_HASH)),
        "dify_app_id": _app(named, found["shared"]),
        "request": request,
        "request_partial": (request is not None and "tools" not in request) or None,
        "usage": usage,
        "usage_shape": shape,
    }


def _id(span: Node) -> str | None:
    trace, own = (
        hex_id(span.get("traceId", span.get("trace_id")), 16),
        hex_id(span.get("spanId", span.get("span_id")), 8),
    )
    if own is None:
        raise Unfit("spanId is neither hex nor base64 of 8 bytes")
    return f"{trace}:{own}" if trace else own


def _moment(span: Node, *names: str) -> str | None:
    """Nanoseconds since the epoch, cut to microseconds."""
    nanoseconds = whole(span, *names)
    return rfc(nanoseconds // 1000) if nanoseconds else None


def _status(span: Node, named: Entry, http_status: int | None, has_usage: bool) -> str:
    code = inner(span, "status").get("code")
    failed = code in (2, "2", "STATUS_CODE_ERROR") or "error.type" in named or (http_status or 200) >= 400
    return ("aborted" if has_usage else "error") if failed else "ok"


def _usage(named: Entry, operation: str) -> tuple[dict[str, Any] | None, str | None]:
    return counted(
        prompt=whole(named, *_PROMPT),
        completion=whole(named, *_COMPLETION),
        total=whole(named, *_TOTAL),
        cached=whole(named, *_CACHED),
        written=whole(named, *_WRITTEN),
        reasoning=whole(named, *_REASONING),
        operation=operation,
    )


def _request(named: Entry, messages: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """The parts of the request that the conventions name."""
    tools = parsed(named.get("gen_ai.tool.definitions"))
    body: dict[str, Any] = {"messages": messages} if messages else {}
    if isinstance(tools, list):
        body["tools"] = tools
    if text(named, "gen_ai.output.type") == "json":
        body["response_format"] = {"type": "json_object"}
    return body if messages else None


def _app(named: Entry, shared: Entry) -> str | None:
    return (
        text(named, *_APP)
        or text(shared, *_APP)
        or app_of(inner(named, "metadata"), inner(shared, "metadata"))
    )
