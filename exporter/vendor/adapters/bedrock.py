"""Amazon Bedrock: records of model invocation logging, from S3 objects or CloudWatch log events.

Token counts leave cached tokens out (`inputTokenCount`), bodies are those of Converse or of the model itself and may
have been moved to S3 when large. The record's one time has whole seconds and no duration, so it serves as a single
moment (docs.aws.amazon.com/bedrock, model invocation logging).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.vendor.adapters.bodies import answer_of, record_fields
from exporter.vendor.adapters.entries import Entry, each, inner, parsed, text, whole
from exporter.vendor.adapters.moments import rfc, written
from exporter.vendor.adapters.names import app_of, key_name, operation_of, user_of

_EVENTS = ("events", "logEvents", "Records")


def bedrock(value: object) -> Iterable[object]:
    """The model requests of a record, an array, a CloudWatch event (`message`), or an answer holding such events."""
    return each(list(_unwrapped(value)), _record)


def _unwrapped(value: object) -> Iterator[object]:
    for item in value if isinstance(value, list) else (value,):
        if not isinstance(item, Mapping) or "schemaType" in item:
            yield item
            continue
        inside = next((item[name] for name in _EVENTS if isinstance(item.get(name), list)), [item])
        for event in inside:
            wrapped = isinstance(event, Mapping) and "schemaType" not in event and "message" in event
            yield parsed(event["message"]) if wrapped else event


def _record(entry: Entry) -> dict[str, Any] | None:
    if text(entry, "schemaType") not in ("ModelInvocationLog", None) or "modelId" not in entry:
        return None
    given, got = inner(entry, "input"), inner(entry, "output")
    request = dict(inner(given, "inputBodyJson")) or None
    model, how = text(entry, "modelId") or "", text(entry, "operation") or ""
    answer = answer_of(parsed(got.get("outputBodyJson")), request)
    operation = operation_of(model.rsplit("/", 1)[-1])
    usage = _usage(given, got, operation)
    failed = text(entry, "errorCode") is not None
    fields = record_fields(answer)
    return {
        **fields,
        "id": text(entry, "requestId"),
        "response_id": answer.response_id,
        "started_at": rfc(written(entry, "timestamp")),
        "operation": operation if operation in ("embeddings", "rerank") else "chat",
        "provider": "bedrock",
        "model": model.rsplit("/", 1)[-1],
        "status": ("aborted" if usage and got else "error") if failed else "ok",
        "stream": "stream" in how.lower() if how else None,
        "user": user_of(request),
        "key": key_name((text(inner(entry, "identity"), "arn") or "").rsplit(":", 1)[-1] or None),
        "dify_app_id": app_of(inner(entry, "requestMetadata"), inner(request or {}, "requestMetadata")),
        "request": request,
        **({"usage": usage, "usage_shape": "bedrock"} if usage else {}),
    }


def _usage(given: Entry, got: Entry, operation: str | None) -> dict[str, int] | None:
    counts = {
        "inputTokenCount": whole(given, "inputTokenCount"),
        "cacheReadInputTokenCount": whole(given, "cacheReadInputTokenCount"),
        "cacheWriteInputTokenCount": whole(given, "cacheWriteInputTokenCount"),
        "outputTokenCount": whole(got, "outputTokenCount"),
    }
    if operation in ("embeddings", "rerank"):
        counts["total_tokens"] = counts["inputTokenCount"]
    known = {name: value for name, value in counts.items() if value is not None}
    return known if any(known.values()) else None
