"""What corrects runs that LangSmith holds: one multipart request with a `patch.<run id>` part for each.

OTLP cannot correct (a known run id is refused), LangSmith's own run format can. A patch carries everything of the run that
may have changed, complete, because it is not documented whether nested values are merged or replaced.
Source: the part names and run fields that the langsmith SDK sends (`update_run`, multipart ingest).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from exporter.spans import otlp
from exporter.spans.langsmith import METADATA, PROJECT, RUN_ID

_BOUNDARY = "dify-exporter-9f6c1d5ab3"
CONTENT_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"

_PARAMETERS = "gen_ai.request."


def body(spans: Sequence[bytes], resource: Mapping[str, str], *, names_project: bool = True) -> bytes:
    """The request that corrects the runs of these spans; resource attributes are part of every run's metadata. Without its
    project a run is known by its ids: what the spans say is not where it is when the app was renamed."""
    fields = [field for span in spans for field in _fields(otlp.parse(span), resource, names_project)]
    encoded, _ = encode_multipart_formdata(fields, _BOUNDARY)
    return encoded


def _fields(span: Span, resource: Mapping[str, str], names_project: bool) -> Iterator[RequestField]:
    found = otlp.attributes(span)
    run_id = found[RUN_ID]
    yield _field(f"patch.{run_id}", _run(span, found if names_project else {**found, PROJECT: None}))
    yield _field(f"patch.{run_id}.extra", _extra(found, resource))
    for part, name in (("inputs", "gen_ai.prompt"), ("outputs", "gen_ai.completion")):
        if name in found:
            yield _field(f"patch.{run_id}.{part}", orjson.loads(found[name]))
    error = _error(span)
    if error is not None:
        yield _field(f"patch.{run_id}.error", error)


def _run(span: Span, found: Mapping[str, Any]) -> dict[str, Any]:
    tags = [tag for tag in str(found.get("langsmith.span.tags", "")).split(",") if tag]
    known = {
        "id": found[RUN_ID],
        "trace_id": found["langsmith.trace.id"],
        "parent_run_id": found.get("langsmith.span.parent_id"),
        "dotted_order": found["langsmith.span.dotted_order"],
        "session_name": found.get(PROJECT),
        "end_time": datetime.fromtimestamp(span.end_time_unix_nano / 1e9, UTC).isoformat(),
        "tags": tags or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _extra(found: Mapping[str, Any], resource: Mapping[str, str]) -> dict[str, Any]:
    metadata = {
        **resource,
        **{name.removeprefix(METADATA): value for name, value in _of(found, METADATA)},
    }
    if "langsmith.usage_metadata" in found:
        metadata["usage_metadata"] = orjson.loads(found["langsmith.usage_metadata"])
    parameters = {name.removeprefix(_PARAMETERS): value for name, value in _of(found, _PARAMETERS)}
    return {"metadata": metadata, **({"invocation_params": parameters} if parameters else {})}


def _of(found: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in found.items() if name.startswith(prefix))


def _error(span: Span) -> str | None:
    for event in span.events:
        if event.name == "exception":
            return next(
                (item.value.string_value for item in event.attributes if item.key == "exception.message"), ""
            )
    return None


def _field(name: str, value: Any) -> RequestField:
    """A part as the SDK writes it: JSON without a file name."""
    data = orjson.dumps(value)
    field = RequestField(name, data, headers={"Content-Length": str(len(data))})
    field.make_multipart(content_type="application/json")
    return field
