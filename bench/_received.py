"""Reads back the request bodies that the sink kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def received_spans(folder: Path) -> Iterator[Any]:
    """The protobuf spans in the order they were received."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for file in sorted(folder.iterdir()):
        request = ExportTraceServiceRequest.FromString(file.read_bytes())
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def values(span: Any) -> dict[str, Any]:
    """A span's attributes as Python values; lists of texts as lists."""
    found: dict[str, Any] = {}
    for attribute in span.attributes:
        field = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, field)
        found[attribute.key] = (
            [item.string_value for item in value.values] if field == "array_value" else value
        )
    return found
