"""The measured floor: what the work costs at least, with everything known beforehand.

Tokens of each text once (tiktoken), the very spans that the exporter sent built as protobuf in place, and gzip at the
exporter's level over its requests. No database, no state, no comparison, no HTTP.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench._measured import measured
from bench._received import received_spans

_TEXTS = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "langfuse.observation.input",
    "langfuse.observation.output",
)
_SPANS_PER_REQUEST = 500


def main() -> None:
    """Build what lies in the folder of received bodies once more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core", type=int)
    parser.add_argument("bodies", type=Path)
    given = parser.parse_args()

    from exporter.destinations.http import _GZIP_LEVEL
    from exporter.local.bpe import load

    tokens = load("o200k_base")
    received = list(received_spans(given.bodies))
    texts = list(dict.fromkeys(text for span in received for text in _texts(span)))
    plain = [_plain(span) for span in received]
    del received

    def work() -> tuple[int, dict[str, float]]:
        begun = time.perf_counter()
        for text in texts:
            tokens(text)
        counted = time.perf_counter()
        built = [_built(span) for span in plain]
        made = time.perf_counter()
        for at in range(0, len(built), _SPANS_PER_REQUEST):
            gzip.compress(b"".join(built[at : at + _SPANS_PER_REQUEST]), _GZIP_LEVEL, mtime=0)
        parts = {"tiktoken": counted - begun, "protobuf": made - counted, "gzip": time.perf_counter() - made}
        return len(built), parts

    measured(given.core, work)


def _texts(span: Any) -> Iterator[str]:
    """The texts of prompt and answer, as they were counted."""
    if not any(attribute.key == "dify_exporter.call.id" for attribute in span.attributes):
        return
    for attribute in span.attributes:
        if attribute.key in _TEXTS:
            yield from _contents(orjson.loads(attribute.value.string_value))


def _contents(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _contents(item)
    elif isinstance(value, dict):
        if isinstance(value.get("content"), str):
            yield value["content"]
        yield from _contents(value.get("parts"))


def _plain(span: Any) -> tuple[Any, ...]:
    """A span as Python values."""
    attributes = [_attribute(attribute) for attribute in span.attributes]
    return (
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        attributes,
    )


def _attribute(attribute: Any) -> tuple[str, str, Any]:
    field = attribute.value.WhichOneof("value")
    value = getattr(attribute.value, field)
    if field == "array_value":
        value = [item.string_value for item in value.values]
    return attribute.key, field, value


def _built(plain: Sequence[Any]) -> bytes:
    trace_id, span_id, parent_id, name, kind, started, ended, attributes = plain
    span = Span()
    span.trace_id = trace_id
    span.span_id = span_id
    if parent_id:
        span.parent_span_id = parent_id
    span.name = name
    span.kind = kind
    span.start_time_unix_nano = started
    span.end_time_unix_nano = ended
    add = span.attributes.add
    for key, field, value in attributes:
        attribute = add()
        attribute.key = key
        if field == "string_value":
            attribute.value.string_value = value
        elif field == "int_value":
            attribute.value.int_value = value
        elif field == "double_value":
            attribute.value.double_value = value
        elif field == "bool_value":
            attribute.value.bool_value = value
        else:
            more = attribute.value.array_value.values.add
            for text in value:
                more().string_value = text
    return bytes(span.SerializeToString())


if __name__ == "__main__":
    main()
