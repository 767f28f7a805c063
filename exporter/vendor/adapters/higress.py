"""Higress with `ai-statistics`: lines of its JSON access log whose `ai_log` is JSON in text, all values as text.

`question` is only the last message, so it is not taken for the request; `messages` (an own attribute) is. Values that
Higress cut (`[truncated]`) are left out (higress.io, plugin ai-statistics).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.vendor.adapters.access_log import access_of, status_of
from exporter.vendor.adapters.entries import Entry, Unfit, derived_id, each, inner, parsed, text, whole
from exporter.vendor.adapters.moments import rfc, shifted, ticks
from exporter.vendor.adapters.names import app_of, key_name, operation_of
from exporter.vendor.adapters.usages import counted

_CUT = "[truncated]"


def higress(value: object) -> Iterable[object]:
    """The model requests of one access log line, or of an array of them; lines without `ai_log` hold none."""
    return each(value, _record)


def _record(entry: Entry) -> dict[str, Any] | None:
    told = _told(entry)
    if not told:
        return None
    model = text(told, "model")
    access = access_of(entry)
    operation = operation_of(access.path) or "chat"
    usage, shape = _usage(told, operation)
    if model is None or model == "UNKNOWN":
        if not usage and not access.http_status:
            return None
        raise Unfit("ai_log names no model, as for a failed request")
    lasted = ticks(told, "llm_service_duration", per_second=1000)
    messages = parsed(told.get("messages"))
    has_request = isinstance(messages, list) and not _is_cut(told["messages"])
    return {
        "id": access.id or text(told, "chat_id") or derived_id(entry),
        "response_id": text(told, "chat_id"),
        "started_at": rfc(access.started_at),
        "ended_at": rfc(access.ended_at or shifted(access.started_at, lasted)),
        "first_token_at": _first_token_at(told, access.started_at),
        "operation": operation,
        "model": model,
        "response_model": text(told, "response_model"),
        "status": status_of(access.http_status, access.is_broken, usage is not None),
        "http_status": access.http_status,
        "stream": {"stream": True, "normal": False}.get(text(told, "response_type") or ""),
        "user": text(told, "user", "end_user", "user_id"),
        "key": key_name(text(told, "consumer") or text(entry, "consumer")),
        "dify_app_id": app_of(told),
        "request": {"messages": messages} if has_request else None,
        "request_partial": has_request or None,
        "response_text": _answer(told),
        "tool_calls": _tool_calls(told),
        "usage": usage,
        "usage_shape": shape,
    }


def _told(entry: Entry) -> Entry:
    """The fields of `ai_log`; before it existed they stood in the line itself. An `ai_log` whose quotes were escaped
    once more on the way is read too."""
    given = entry.get("ai_log")
    if isinstance(given, str) and '\\"' in given and not isinstance(parsed(given), Mapping):
        given = given.replace('\\"', '"')
    told = parsed(given)
    if isinstance(told, Mapping):
        return told
    if isinstance(given, str) and given.strip() not in ("", "-"):
        raise Unfit("ai_log is not JSON")
    return entry if text(entry, "input_token") else {}


def _usage(told: Entry, operation: str) -> tuple[dict[str, Any] | None, str | None]:
    read, wrote = inner(told, "input_token_details"), inner(told, "output_token_details")
    return counted(
        prompt=whole(told, "input_token"),
        completion=whole(told, "output_token"),
        total=whole(told, "total_token"),
        cached=whole(told, "cached_tokens") or whole(read, "cached_tokens"),
        reasoning=whole(told, "reasoning_tokens") or whole(wrote, "reasoning_tokens"),
        operation=operation,
    )


def _first_token_at(told: Entry, started_at: int | None) -> str | None:
    waited = ticks(told, "llm_first_token_duration", per_second=1000)
    return rfc(shifted(started_at, waited)) if waited else None


def _answer(told: Entry) -> str | None:
    answer = told.get("answer")
    return answer if isinstance(answer, str) and answer and not _is_cut(answer) else None


def _tool_calls(told: Entry) -> list[Any] | None:
    calls = parsed(told.get("tool_calls"))
    return calls if isinstance(calls, list) and not _is_cut(told.get("tool_calls")) else None


def _is_cut(value: object) -> bool:
    return isinstance(value, str) and _CUT in value
