"""What LangSmith makes of one OTLP span with explicit ids, and what it refuses.

Rules from LangSmith's public documentation of the run format and from the refusals its API is known for (langsmith-sdk
issues 751 and 2236, litellm issue 7140): ids and `dotted_order` must agree, and a child may not start before its parent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from typing import Any
from uuid import UUID

from tests.contract.twin_server import Refused, attributes, twice

KINDS = ("llm", "chain", "tool", "retriever", "embedding", "prompt", "parser")
_PART = re.compile(r"(\d{8}T\d{12}Z)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_IDS = ("langsmith.span.id", "langsmith.trace.id", "langsmith.span.dotted_order")

Note = Callable[[str], None]


def run(span: Any, resource: dict[str, Any], note: Note) -> dict[str, Any]:
    """The run of a span. Raises Refused(400) for what LangSmith does not take."""
    found = attributes(span)
    name = span.name
    if twice(span):
        note(f"{name}: attributes {twice(span)} appear twice")
    absent = [key for key in _IDS if not found.get(key)]
    if absent:
        raise Refused(400, f"explicit ids are incomplete: {absent}")
    parent = found.get("langsmith.span.parent_id")
    _check_ids(span, found, parent, note)
    if bool(span.parent_span_id) != bool(parent):
        note(f"{name}: OTLP parent and langsmith.span.parent_id disagree")
    kind = found.get("langsmith.span.kind")
    if kind not in KINDS:
        note(f"{name}: run type {kind!r}")
    error = next((_message(event) for event in span.events if event.name == "exception"), None)
    if span.status.code == 2 and error is None:
        note(f"{name}: an error without exception event is shown as success")
    metadata = {**resource, **_metadata(found)}
    for key, value in metadata.items():
        if isinstance(value, list | dict):
            note(f"{name}: metadata {key} is no scalar")
    return {
        "id": found["langsmith.span.id"],
        "trace_id": found["langsmith.trace.id"],
        "parent_run_id": parent,
        "dotted_order": found["langsmith.span.dotted_order"],
        "session_name": found.get("langsmith.trace.session_name"),
        "name": found.get("langsmith.trace.name") or name,
        "run_type": kind,
        "start_time": span.start_time_unix_nano // 1000,
        "end_time": span.end_time_unix_nano // 1000,
        "error": error,
        "inputs": _object(found, "gen_ai.prompt", name, note),
        "outputs": _object(found, "gen_ai.completion", name, note),
        "usage_metadata": _usage(found, name, note),
        "metadata": metadata,
        "tags": [tag for tag in str(found.get("langsmith.span.tags", "")).split(",") if tag],
    }


def _check_ids(span: Any, found: dict[str, Any], parent: str | None, note: Note) -> None:
    run_id, trace_id, order = (str(found[key]) for key in _IDS)
    for text in (run_id, trace_id, *([parent] if parent else [])):
        try:
            version = UUID(text).version
        except ValueError:
            raise Refused(400, f"{text} is not a UUID") from None
        if version != 7:
            note(f"{span.name}: {text} is not a UUIDv7, which future versions require")
    parts = [_PART.fullmatch(part) for part in order.split(".")]
    if not all(parts):
        raise Refused(400, "invalid 'dotted_order'")
    times = [part[1] for part in parts if part]
    ids = [part[2] for part in parts if part]
    if ids[-1] != run_id or ids[0] != trace_id:
        raise Refused(400, "dotted_order does not end with the run id or begin with the trace id")
    if parent is None and (len(ids) != 1 or run_id != trace_id):
        raise Refused(400, "dotted_order must contain a single part for root runs")
    if parent is not None and (len(ids) < 2 or ids[-2] != parent):
        raise Refused(
            400, "dotted_order must contain at least two parts for child runs, the parent's before the last"
        )
    if times != sorted(times):
        raise Refused(400, "dotted_order has a timestamp earlier than the parent timestamp")
    own = datetime.strptime(times[-1], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
    if round(own.timestamp() * 1_000_000) != span.start_time_unix_nano // 1000:
        note(f"{span.name}: start time and dotted_order disagree")


def patches(content_type: str, body: bytes) -> dict[str, dict[str, Any]]:
    """The fields that a multipart body sets, by run id. Raises Refused(422) for what the run format does not know."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise Refused(422, "the body is not multipart")
    found: dict[str, dict[str, Any]] = {}
    for part in message.get_payload():
        assert isinstance(part, Message)
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        if part.get_content_type() != "application/json" or int(part["Content-Length"]) != len(data):
            raise Refused(422, "a part needs application/json and its length")
        event, _, rest = name.partition(".")
        run_id, _, field = rest.partition(".")
        if event != "patch" or field not in ("", "inputs", "outputs", "extra", "error", "events"):
            raise Refused(422, f"unknown part {event}")
        if not field:
            found[run_id] = {**json.loads(data), **found.get(run_id, {})}
        elif run_id not in found:
            raise Refused(422, "a part stands before its run")
        else:
            found[run_id][field] = json.loads(data)
    return found


def patched(fields: dict[str, Any]) -> dict[str, Any]:
    """What of a run a patch replaces."""
    changed = {name: fields[name] for name in ("inputs", "outputs", "error", "tags") if name in fields}
    if "end_time" in fields:
        changed["end_time"] = round(datetime.fromisoformat(fields["end_time"]).timestamp() * 1_000_000)
    if "extra" in fields:
        metadata = dict(fields["extra"].get("metadata", {}))
        changed["usage_metadata"] = metadata.pop("usage_metadata", None)
        changed["metadata"] = metadata
    return changed


def _metadata(found: dict[str, Any]) -> dict[str, Any]:
    prefix = "langsmith.metadata."
    return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}


def _usage(found: dict[str, Any], name: str, note: Note) -> dict[str, Any] | None:
    """`langsmith.usage_metadata` replaces the flat attributes."""
    text = found.get("langsmith.usage_metadata")
    if text is None:
        flat = {
            key: found[f"gen_ai.usage.{key}"]
            for key in ("input_tokens", "output_tokens")
            if f"gen_ai.usage.{key}" in found
        }
        return {**flat, "total_tokens": sum(flat.values())} if flat else None
    usage = json.loads(text)
    for key in ("input_tokens", "output_tokens", "total_tokens"):
        if not isinstance(usage.get(key), int):
            note(f"{name}: usage_metadata {key} is {usage.get(key)!r}")
            return usage
    if usage["input_tokens"] + usage["output_tokens"] != usage["total_tokens"]:
        note(f"{name}: usage_metadata does not add up")
    for details, whole in (
        ("input_token_details", "input_tokens"),
        ("output_token_details", "output_tokens"),
    ):
        if sum(usage.get(details, {}).values()) > usage[whole]:
            note(f"{name}: {details} exceed {whole}")
    if not isinstance(usage.get("total_cost", 0.0), int | float):
        note(f"{name}: total_cost is no number")
    return usage


def _object(found: dict[str, Any], key: str, name: str, note: Note) -> dict[str, Any] | None:
    if key not in found:
        return None
    try:
        value = json.loads(found[key])
    except ValueError:
        value = None
    if not isinstance(value, dict):
        note(f"{name}: {key} is not a JSON object")
        return None
    return value


def _message(event: Any) -> str:
    return next((item.value.string_value for item in event.attributes if item.key == "exception.message"), "")
