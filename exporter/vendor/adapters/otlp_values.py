"""OTLP in its JSON form: spans out of an export request, attributes as plain values, ids as hex.

Accepts what a collector's file exporter and `google.protobuf.json_format` write: 64-bit numbers as text, ids in hex or
base64 (OpenTelemetry protocol, JSON encoding). Anything that is not of that form holds no spans.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
_DEEPEST = 24
_HEX = re.compile(r"[0-9a-fA-F]+")


def spans_of(request: Node) -> Iterator[tuple[Node, dict[str, Any]]]:
    """Every span with the attributes of its resource."""
    for resource_spans in objects(request, "resourceSpans", "resource_spans"):
        resource = resource_spans.get("resource")
        shared = attributes(resource) if isinstance(resource, Mapping) else {}
        for scope_spans in objects(
            resource_spans, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"
        ):
            for span in objects(scope_spans, "spans"):
                yield span, shared


def attributes(place: Node) -> dict[str, Any]:
    """The attributes of a span, event or resource by name."""
    found = {}
    for attribute in objects(place, "attributes"):
        name = attribute.get("key")
        if isinstance(name, str):
            found[name] = _value(attribute.get("value"), 0)
    return found


def hex_id(value: object, length: int) -> str | None:
    """An id of `length` bytes as hex, from hex or base64; None when it is neither."""
    if not isinstance(value, str):
        return None
    if len(value) == 2 * length and _HEX.fullmatch(value):
        return value.lower()
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) == length else None


def objects(place: Node, *names: str) -> Iterator[Node]:
    """The objects in the first list found under the names."""
    for name in names:
        listed = place.get(name)
        if isinstance(listed, list):
            yield from (item for item in listed if isinstance(item, Mapping))
            return


def _value(value: object, depth: int) -> Any:
    """The plain value of an AnyValue; an int64 written as text becomes a number."""
    if not isinstance(value, Mapping) or depth > _DEEPEST:
        return None
    for kind in ("stringValue", "string_value", "boolValue", "bool_value", "doubleValue", "double_value"):
        if kind in value:
            return value[kind]
    whole = value.get("intValue", value.get("int_value"))
    if whole is not None:
        is_written = isinstance(whole, str) and whole.removeprefix("-").isdecimal() and len(whole) < 21
        return int(whole) if is_written else whole
    listed = value.get("arrayValue", value.get("array_value"))
    if isinstance(listed, Mapping):
        return [_value(item, depth + 1) for item in objects(listed, "values")]
    named = value.get("kvlistValue", value.get("kvlist_value"))
    if isinstance(named, Mapping):
        pairs = objects(named, "values")
        return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    return None
