"""What is added to a trace that Dify's own tracing wrote to Langfuse: readings and findings, without a model and without usage.

Events of the ingestion API (type, body), the door that Dify's own come through, because OTLP in protobuf cannot spell their
ids. A `trace-create` with nothing but metadata merges (measured against Langfuse 4.16); what a correction leaves out would
stay, so every key is always there. Observations hang below Dify's, of the node where the call is one of a node.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter.ids import synthetic_span_id
from exporter.model import AssessedTrace, Assessment
from exporter.spans.dify_traces import dify_trace_id
from exporter.spans.explain import explained, explained_trace
from exporter.spans.langfuse import iso
from exporter.spans.messages import json_text
from exporter.spans.readings import SOURCES, all_codes, own_readings, total_of

OBSERVATION = "span-create"
NAME = "token readings"

Event = tuple[str, dict[str, Any]]


def additions(assessed: AssessedTrace) -> Iterator[Event]:
    """The trace's metadata, then one observation for each model call; nothing for a trace without calls, or without a trace
    of Dify's that can be named."""
    trace_id = dify_trace_id(assessed.trace)
    if trace_id is None or not assessed.assessments:
        return
    yield "trace-create", {"id": trace_id, "metadata": _metadata(assessed)}
    for assessment in assessed.assessments:
        yield OBSERVATION, _observation(assessed, assessment, trace_id)


def _metadata(assessed: AssessedTrace) -> dict[str, Any]:
    """The names that the attributes of our own root spans have."""
    said = [line for lines in explained_trace(assessed).values() for line in lines]
    found = {
        "verdict": str(assessed.verdict),
        "findings": ", ".join(all_codes(assessed)),
        "notes": "\n".join(said),
        "trace.calls.all": len(assessed.assessments),
    }
    for source in SOURCES:
        found.update(_sum(assessed, source))
    return {f"dify_exporter.{name}": value for name, value in found.items()}


def _sum(assessed: AssessedTrace, source: str) -> dict[str, Any]:
    """The total of the calls that have a reading, and how many they are: a sum over some calls is no sum over all."""
    found = [item for each in assessed.assessments for name, item in own_readings(each) if name == source]
    totals = [total_of(item) for item in found]
    is_known = bool(totals) and None not in totals
    return {
        f"trace.calls.{source}": len(found),
        f"trace.tokens.{source}.total": sum(total or 0 for total in totals) if is_known else "unknown",
    }


def _observation(assessed: AssessedTrace, assessment: Assessment, trace_id: str) -> dict[str, Any]:
    call = assessment.call
    said = {"model": call.model, "provider": call.provider, **explained(assessment)}
    return {
        "id": synthetic_span_id(assessed.trace.trace_id, NAME, call.call_id),
        "traceId": trace_id,
        "parentObservationId": call.node_execution_id,
        "name": NAME,
        "startTime": iso(call.started_at),
        "endTime": iso(call.ended_at),
        "output": json_text(said),
    }
