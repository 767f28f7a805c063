"""Envoy AI Gateway: lines of a JSON access log that name the gateway's token costs.

Operators name the fields themselves, so they are looked for under the names of the default format
(`gen_ai.usage.input_tokens`), under those of the dynamic metadata (`llm_input_token`), and nested or with dots alike.
Input includes cached tokens, as the GenAI conventions and the gateway have it. Lines without a model hold no request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.vendor.adapters.access_log import access_of, status_of
from exporter.vendor.adapters.bodies import answer_of, record_fields
from exporter.vendor.adapters.entries import Entry, derived_id, each, inner, parsed, text, whole
from exporter.vendor.adapters.moments import rfc
from exporter.vendor.adapters.names import app_of, key_name, operation_of, user_of
from exporter.vendor.adapters.usages import counted

_DEEPEST, _MOST = 5, 500
_PROMPT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm_input_token", "input_tokens")
_COMPLETION = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm_output_token",
    "output_tokens",
)
_TOTAL = ("gen_ai.usage.total_tokens", "llm_total_token", "total_tokens")
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cached_input_tokens",
    "llm_cached_input_token",
)
_WRITTEN = ("gen_ai.usage.cache_creation.input_tokens", "llm_cache_creation_input_token")
_REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm_reasoning_token")
_MODEL = ("gen_ai.request.model", "x-ai-eg-model", "x_ai_eg_model", "request_model", "model")
_SERVED = ("gen_ai.response.model", "response_model", "model_name_override")
_USER = ("enduser.id", "user.id", "gen_ai.user", "x-user-id", "user")
_KEY = ("api_key_name", "api_key_id", "client_id", "caller", "gen_ai.client.id")


def envoy(value: object) -> Iterable[object]:
    """The model requests of one access log line, or of an array of them."""
    return each(value, _record)


def _record(entry: Entry) -> dict[str, Any] | None:
    named = dict(_names(entry, "", 0))
    fields = {name: field for name in (*_MODEL, *_SERVED, *_PROMPT) if (field := named.get(name)) is not None}
    model = text(fields, *_MODEL, *_SERVED)
    if model is None:
        return None
    access = access_of(entry)
    request = dict(inner(entry, "request_body")) or None
    answer = answer_of(parsed(entry.get("response_body")), request)
    operation = operation_of(text(named, "gen_ai.operation.name") or access.path) or "chat"
    usage, shape = _usage(named, operation)
    has_usage = bool(usage) or answer.is_usage_final
    return {
        **({"usage": usage, "usage_shape": shape} if usage else {}),
        **record_fields(answer),
        "id": access.id or text(named, "x-request-id", "request_id") or derived_id(entry),
        "started_at": rfc(access.started_at),
        "ended_at": rfc(access.ended_at),
        "operation": operation,
        "model": model,
        "response_model": answer.model or text(named, *_SERVED),
        "status": status_of(
            access.http_status, access.is_broken or answer.is_error or answer.is_cut, has_usage
        ),
        "http_status": access.http_status,
        "user": text(named, *_USER) or user_of(request),
        "key": key_name(text(named, *_KEY)),
        "dify_app_id": app_of(named, inner(request or {}, "metadata")),
        "request": request,
    }


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


def _names(place: Entry, before: str, depth: int) -> Iterator[tuple[str, object]]:
    """Every plain field of a line under its name with dots, and, where it is nested, under its last name too."""
    for count, (name, field) in enumerate(place.items()):
        if count >= _MOST:
            return
        full = f"{before}{name}".lower()
        if isinstance(field, Mapping):
            if depth < _DEEPEST:
                yield from _names(field, f"{full}.", depth + 1)
        else:
            short = str(name).lower()
            if before and (short.startswith("llm_") or short in _SERVED):
                yield short, field
            yield full, field
