"""Kong AI Gateway: entries of its log plugins (http-log, file-log) that carry an `ai` block.

One record per plugin inside the block that asked a model: `ai.proxy`, or in older versions the plugin's name, with
`prompt_token` for `prompt_tokens` (developer.konghq.com, AI audit log reference). Kong has no split of cached tokens; the
vendor's own usage is taken where the response was logged. A balancer's retries show as `tries`, without tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.vendor.adapters.access_log import status_of
from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.adapters.bodies import answer_of, record_fields
from exporter.vendor.adapters.entries import (
    Entry,
    Unfit,
    derived_id,
    each,
    flag,
    inner,
    number,
    parsed,
    text,
    whole,
)
from exporter.vendor.adapters.moments import rfc, shifted, ticks
from exporter.vendor.adapters.names import app_of, key_name, operation_of, user_of
from exporter.vendor.adapters.usages import counted

_NO_REQUESTS = frozenset({"payload", "mcp", "a2a", "compressor", "sanitizer"})
_MAIN = ("proxy", "ai-proxy", "ai-proxy-advanced")


def kong(value: object) -> Iterable[object]:
    """The model requests of one log entry, or of an array of them; entries without an `ai` block hold none."""
    for entry in value if isinstance(value, list) else (value,):
        if not isinstance(entry, Mapping):
            yield Unreadable("an entry must be a JSON object")
        else:
            yield from each(list(_plugins(entry)), _record)


def _plugins(entry: Entry) -> Iterator[dict[str, Any]]:
    """The entry once for each plugin that asked a model, with the plugin's block and name beside it."""
    block = inner(entry, "ai")
    for name, plugin in block.items():
        if (
            name not in _NO_REQUESTS
            and isinstance(plugin, Mapping)
            and (plugin.get("meta") or plugin.get("usage"))
        ):
            shared = block.get("payload") if name in _MAIN else None
            yield {"entry": entry, "plugin": plugin, "name": str(name), "payload": shared}


def _record(found: Entry) -> dict[str, Any] | None:
    entry, plugin = found["entry"], found["plugin"]
    asked, meta = inner(entry, "request"), inner(plugin, "meta")
    request = _request(found)
    path = text(asked, "uri", "url") or text(entry, "upstream_uri")
    operation = operation_of(path) or "chat"
    answer = answer_of(parsed(inner(plugin, "payload").get("response")), request)
    usage, shape = _usage(inner(plugin, "usage"), meta, operation)
    has_usage = bool(usage) or answer.is_usage_final
    http_status = whole(inner(entry, "response"), "status") or whole(entry, "upstream_status")
    started_at = ticks(entry, "started_at", per_second=1000)
    tries = entry.get("tries")
    return {
        **({"usage": usage, "usage_shape": shape} if usage else {}),
        **record_fields(answer),
        "id": _id(entry, asked, found["name"]) or derived_id(entry),
        "started_at": rfc(started_at),
        "ended_at": rfc(shifted(started_at, ticks(inner(entry, "latencies"), "request", per_second=1000))),
        "operation": operation,
        "provider": text(meta, "provider_name"),
        "model": text(meta, "request_model") or text(request or {}, "model") or text(meta, "response_model"),
        "response_model": answer.model or text(meta, "response_model"),
        "status": status_of(http_status, answer.is_error or answer.is_cut, has_usage),
        "http_status": http_status,
        "stream": flag(request or {}, "stream"),
        "user": user_of(request),
        "key": key_name(text(inner(entry, "consumer"), "username", "custom_id")),
        "dify_app_id": app_of(inner(request or {}, "metadata")),
        "attempt": len(tries) - 1 if isinstance(tries, list) and tries else None,
        "request": request,
        "cost": _cost(inner(plugin, "usage")),
        "cache_hit": (text(inner(plugin, "cache"), "cache_status") or "").lower() == "hit",
    }


def _request(found: Entry) -> dict[str, Any] | None:
    body = inner(inner(found["plugin"], "payload"), "request") or inner(found, "payload")
    return dict(inner(body, "request") if isinstance(body.get("request"), str | Mapping) else body) or None


def _usage(told: Entry, meta: Entry, operation: str) -> tuple[dict[str, Any] | None, str | None]:
    """Kong passes on the vendor's numbers; Anthropic's prompt number leaves cached tokens out, and Kong drops them."""
    return counted(
        prompt=whole(told, "prompt_tokens", "prompt_token"),
        completion=whole(told, "completion_tokens", "completion_token"),
        total=whole(told, "total_tokens", "total_token"),
        is_exclusive=text(meta, "provider_name") == "anthropic",
        operation=operation,
    )


def _cost(told: Entry) -> dict[str, str] | None:
    """In US dollars, and only where the route's model holds prices (else Kong writes 0)."""
    try:
        amount = number(told, "cost")
    except Unfit:
        return None
    return {"amount": format(amount, "f"), "currency": "USD"} if amount else None


def _id(entry: Entry, asked: Entry, name: str) -> str | None:
    identity = text(asked, "id") or text(inner(asked, "headers"), "x-kong-request-id", "x-request-id")
    identity = identity or text(entry, "request_id")
    return f"{identity}/{name}" if identity and name not in _MAIN else identity
