"""Apache APISIX with `ai-proxy`: entries of its loggers (http-logger, file-logger, kafka-logger).

Reads the default entry (`llm_summary`, with payloads `llm_request` and `llm_response_text`) and an own `log_format` in
which each field bears the name of its variable (`llm_prompt_tokens`, ...). Numbers are text, because they come from
nginx variables; a variable nobody set reads 0 (apisix.apache.org, plugin ai-proxy, access log variables).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.model import Micros
from exporter.vendor.adapters.access_log import status_of
from exporter.vendor.adapters.bodies import answer_of, record_fields
from exporter.vendor.adapters.entries import Entry, derived_id, each, flag, inner, number, parsed, text, whole
from exporter.vendor.adapters.moments import rfc, seconds, shifted, ticks, written, written_or_ticks
from exporter.vendor.adapters.names import app_of, key_name, operation_of, user_of
from exporter.vendor.adapters.usages import counted

_CLIENT_LEFT = 499
_MOST_TOOLS = 1000


def apisix(value: object) -> Iterable[object]:
    """The model requests of one logger entry, or of the array that a batch is."""
    return each(value, _record)


def _record(entry: Entry) -> dict[str, Any] | None:
    summary = inner(entry, "llm_summary") or _variables(entry)
    if not summary:
        return None
    asked, got = inner(entry, "request"), inner(entry, "response")
    path = text(asked, "uri", "url") or text(entry, "uri", "request_uri", "path")
    request = _request(entry, asked, summary)
    http_status = whole(got, "status") or whole(entry, "status", "upstream_status")
    answer = answer_of(parsed(got.get("body")), request)
    usage, shape = _usage(summary, path)
    fields = record_fields(answer)
    if answer.is_usage_final:
        usage, shape = None, None
    is_broken = http_status == _CLIENT_LEFT or answer.is_error or answer.is_cut
    started_at, ended_at = _times(entry, summary)
    return {
        **_texts(entry),
        **fields,
        "id": _id(entry, asked, got) or derived_id(entry),
        "started_at": rfc(started_at),
        "ended_at": rfc(ended_at),
        "first_token_at": _first_token_at(summary, started_at),
        "operation": operation_of(path) or "chat",
        "model": text(summary, "request_model", "model"),
        "response_model": answer.model or text(summary, "model"),
        "status": status_of(http_status, is_broken, bool(usage or answer.is_usage_final)),
        "http_status": http_status,
        "stream": _stream(entry, summary),
        "user": text(summary, "end_user_id") or user_of(request),
        "key": key_name(text(inner(entry, "consumer"), "username") or text(entry, "consumer_name")),
        "dify_app_id": app_of(inner(request or {}, "metadata")),
        "request": request,
        "request_partial": ("llm_request" in entry and not _body(entry, asked)) or None,
        **({"usage": usage, "usage_shape": shape} if usage else {}),
    }


def _variables(entry: Entry) -> dict[str, Any]:
    """The variables of an own log format, under the names that the summary gives them; empty without any."""
    names = {name.removeprefix("$"): value for name, value in entry.items() if isinstance(name, str)}
    if names.get("request_type") == "traditional_http":
        return {}
    found = {
        name.removeprefix("llm_"): value
        for name, value in names.items()
        if name.startswith("llm_") and name not in ("llm_request", "llm_response_text")
    }
    if "request_llm_model" in names:
        found["request_model"] = names["request_llm_model"]
    if "time_to_first_token" in found:
        found["duration"] = found["time_to_first_token"]
    return found if text(found, "request_model", "model") else {}


def _request(entry: Entry, asked: Entry, summary: Entry) -> dict[str, Any] | None:
    """The body where it was logged whole, else what `llm_request` holds of it, with as many tools as were counted."""
    body = _body(entry, asked)
    if body:
        return dict(body)
    part = dict(inner(entry, "llm_request"))
    messages = part.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        return None
    return {**part, "tools": [{}] * min(whole(summary, "tool_count") or 0, _MOST_TOOLS)}


def _body(entry: Entry, asked: Entry) -> Entry:
    return inner(asked, "body") or inner(entry, "request_body", "llm_request_body")


def _texts(entry: Entry) -> dict[str, Any]:
    """The answer's text; APISIX logs an empty one where the model only called tools or nothing came."""
    place = entry.get("llm_response_text")
    written_text = place if isinstance(place, str) else text(inner(entry, "llm_response_text"), "content")
    return {"response_text": written_text} if written_text else {}


def _usage(summary: Entry, path: str | None) -> tuple[dict[str, Any] | None, str | None]:
    """Prompt tokens of Anthropic's own protocol leave cached tokens out; all others include them."""
    model = text(summary, "model", "request_model") or ""
    place = (path or "").partition("?")[0]
    is_anthropic = place.endswith("/messages") if path else model.startswith("claude")
    return counted(
        prompt=whole(summary, "prompt_tokens"),
        completion=whole(summary, "completion_tokens"),
        total=whole(summary, "total_tokens"),
        cached=whole(summary, "cache_read_input_tokens"),
        written=whole(summary, "cache_creation_input_tokens"),
        reasoning=whole(summary, "reasoning_tokens"),
        is_exclusive=is_anthropic,
        operation=operation_of(path) or "chat",
    )


def _times(entry: Entry, summary: Entry) -> tuple[Micros | None, Micros | None]:
    """The default entry counts milliseconds from the start; nginx's own time variables are those of the end."""
    started_at = written_or_ticks(entry, "start_time", per_second=1000)
    if started_at is not None:
        return started_at, shifted(started_at, ticks(entry, "latency", per_second=1000))
    ended_at = written(entry, "time_iso8601", "@timestamp", "timestamp", "time_local", "time")
    if ended_at is None:
        ended_at = ticks(entry, "msec", per_second=1)
    lasted = seconds(number(entry, "request_time"))
    if lasted is None:
        lasted = ticks(summary, "upstream_response_time", per_second=1000)
    return (None if lasted is None else shifted(ended_at, -lasted)), ended_at


def _first_token_at(summary: Entry, started_at: Micros | None) -> str | None:
    waited = ticks(summary, "duration", per_second=1000)
    return rfc(shifted(started_at, waited)) if waited else None


def _stream(entry: Entry, summary: Entry) -> bool | None:
    said = flag(summary, "stream")
    if said is None:
        said = flag(inner(entry, "llm_request"), "stream")
    kind = text(entry, "request_type")
    return kind == "ai_stream" if said is None and kind in ("ai_stream", "ai_chat") else said


def _id(entry: Entry, asked: Entry, got: Entry) -> str | None:
    """APISIX's own request id, where the route has the plugin request-id or the format names the variable."""
    for headers in (inner(got, "headers"), inner(asked, "headers")):
        found = text(headers, "x-request-id", "X-Request-Id", "apisix-request-id")
        if found:
            return found
    return text(entry, "apisix_request_id", "request_id", "x_request_id")
