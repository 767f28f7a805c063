"""LangSmith's own runs, as its SDK posts them and as our late corrections patch them, as fields by name.

A request is multipart: `post.<run id>` or `patch.<run id>` with the run, and `….inputs`, `….outputs`, `….extra` and others beside
it. Ids, times and the description of the machine are replaced by words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from email import message_from_bytes
from typing import Any

_IDS = ("id", "trace_id", "parent_run_id", "dotted_order")
_TIMES = ("start_time", "end_time")


def by_start(requests: Iterable[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """The runs of all requests (content type, body), in the order in which they began."""
    found: dict[str, dict[str, Any]] = {}
    for content_type, body in requests:
        message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        for part in message.get_payload():
            name = str(part.get_param("name", header="content-disposition"))
            _, run_id, *inner = name.split(".")
            value = json.loads(part.get_payload(decode=True))
            found.setdefault(run_id, {}).update({inner[0]: value} if inner else value)
    runs = sorted(found.values(), key=lambda run: str(run["dotted_order"]).rpartition(".")[2])
    return [_flat(run) for run in runs]


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    extra = run.pop("extra", {})
    metadata = extra.pop("metadata", {})
    found = {**run, **{f"extra.{name}": value for name, value in extra.items()}}
    found |= {f"extra.metadata.{name}": value for name, value in metadata.items()}
    found |= {name: "<id>" for name in _IDS if found.get(name)}
    found |= {name: "<time>" for name in _TIMES if found.get(name)}
    if found.get("events"):
        found["events"] = [{**event, "time": "<time>"} for event in found["events"]]
    if "extra.runtime" in found:
        found["extra.runtime"] = "<runtime>"
    return {name: value for name, value in found.items() if value not in (None, [])}
