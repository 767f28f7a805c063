"""new-api and one-api: rows of their log (`/api/log/`).

A row is written when the request ends, with the duration in whole seconds (new-api) or milliseconds (one-api). `other`
is JSON in text. There are no bodies, no end user and no prompt hash. Only a successful attempt is a consume row;
failures are error rows where the operator logs them. Quota is the site's own unit, so it is no cost here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.vendor.adapters.entries import Entry, Unfit, each, flag, inner, number, text, whole
from exporter.vendor.adapters.moments import rfc, shifted, ticks
from exporter.vendor.adapters.names import key_name, operation_of
from exporter.vendor.adapters.usages import counted

_CONSUME, _ERROR = 2, 5
"""Log types of model requests; top-ups, management, system and refund rows (1, 3, 4, 6) are none."""


def new_api(value: object) -> Iterable[object]:
    """The model requests of a row, an array of rows, or an answer of the log API (`data`, or `data.items`)."""
    rows = value.get("data") if isinstance(value, Mapping) and "type" not in value else None
    if isinstance(rows, Mapping):
        rows = rows.get("items")
    return each(rows if isinstance(rows, list) else value, _record)


def _record(entry: Entry) -> dict[str, Any] | None:
    kind = whole(entry, "type")
    if kind is None:
        raise Unfit("type is missing")
    other = inner(entry, "other")
    path = text(other, "request_path")
    operation = operation_of(path) or operation_of(text(entry, "model_name")) if path else "chat"
    if kind not in (_CONSUME, _ERROR) or operation is None or "task_id" in other:
        return None
    usage, shape = _usage(entry, other) if kind == _CONSUME else (None, None)
    if kind == _CONSUME and usage is None and (number(other, "model_price") or 0) > 0:
        return None  # paid by the piece, as pictures are
    ended_at = ticks(entry, "created_at", per_second=1)
    started_at = _started_at(entry, ended_at)
    return {
        "id": text(entry, "request_id") or text(entry, "id"),
        "response_id": text(entry, "upstream_request_id") or text(other, "upstream_request_id"),
        "started_at": rfc(started_at),
        "ended_at": rfc(ended_at),
        "first_token_at": _first_token_at(entry, other, started_at),
        "operation": _operation(operation, text(entry, "model_name")),
        "model": text(entry, "model_name"),
        "response_model": text(other, "upstream_model_name"),
        "status": _status(kind, other, usage is not None),
        "http_status": whole(other, "status_code") if kind == _ERROR else None,
        "stream": flag(entry, "is_stream"),
        "key": key_name(text(entry, "token_name")),
        "usage": usage,
        "usage_shape": shape,
        "usage_estimated": flag(inner(other, "admin_info"), "local_count_tokens"),
    }


def _operation(named: str, model: str | None) -> str:
    """Rows of older versions name no path; then an embedding or rerank model tells itself."""
    told = operation_of(model)
    return told if named == "chat" and told in ("embeddings", "rerank") else named


def _status(kind: int, other: Entry, has_usage: bool) -> str:
    if kind == _ERROR:
        return "error"
    broke_off = text(inner(other, "stream_status"), "status") == "error"
    return "aborted" if broke_off or not has_usage else "ok"


def _usage(entry: Entry, other: Entry) -> tuple[dict[str, Any] | None, str | None]:
    """The prompt number leaves cached tokens out where the row says so; a total that the vendor gave comes first."""
    is_exclusive = text(other, "usage_semantic") == "anthropic" or flag(other, "claude") is True
    given = whole(other, "input_tokens_total")
    return counted(
        prompt=given or whole(entry, "prompt_tokens"),
        completion=whole(entry, "completion_tokens"),
        cached=whole(other, "cache_tokens"),
        written=_written(other),
        is_exclusive=is_exclusive and not given,
    )


def _written(other: Entry) -> int | None:
    split = (whole(other, "cache_creation_tokens_5m") or 0) + (whole(other, "cache_creation_tokens_1h") or 0)
    whole_count = whole(other, "cache_write_tokens") or whole(other, "cache_creation_tokens") or 0
    return max(split, whole_count) or None


def _started_at(entry: Entry, ended_at: int | None) -> int | None:
    lasted = ticks(entry, "elapsed_time", per_second=1000)
    if not lasted:
        lasted = ticks(entry, "use_time", per_second=1)
    return None if lasted is None else shifted(ended_at, -lasted)


def _first_token_at(entry: Entry, other: Entry, started_at: int | None) -> str | None:
    """`frt` counts milliseconds to the first answer; without a stream it says nothing (and may be negative)."""
    try:
        waited = ticks(other, "frt", per_second=1000)
    except Unfit:
        return None
    return rfc(shifted(started_at, waited)) if waited and flag(entry, "is_stream") else None
