"""Units and settings for tests of destinations."""

from __future__ import annotations

from typing import Any

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations.base import Destination, Unit
from exporter.destinations.langfuse import Langfuse
from exporter.destinations.langsmith import LangSmith
from exporter.destinations.otlp import Otlp
from exporter.model import AssessedTrace
from exporter.spans import otlp
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin

RESOURCE = {"service.name": "dify", "dify_exporter.source.instance": "dify"}


def langfuse(twin: LangfuseTwin | str, **changes: Any) -> Langfuse:
    """A Langfuse destination with the twin's keys."""
    known = {
        "kind": "langfuse",
        "endpoint": twin if isinstance(twin, str) else twin.url,
        "public_key": langfuse_twin.PUBLIC_KEY,
        "secret_key": langfuse_twin.SECRET_KEY,
        "timeout": "5s",
    }
    return Langfuse(DestinationSettings(**{**known, **changes}), ContentSettings(), RESOURCE)


def langsmith(twin: LangSmithTwin | str, **changes: Any) -> LangSmith:
    """A LangSmith destination with the twin's key."""
    known = {
        "kind": "langsmith",
        "endpoint": twin if isinstance(twin, str) else twin.url,
        "api_key": langsmith_twin.API_KEY,
        "project": "dify",
        "timeout": "5s",
    }
    return LangSmith(DestinationSettings(**{**known, **changes}), ContentSettings(), RESOURCE)


def plain(endpoint: str, **changes: Any) -> Otlp:
    """A plain OTLP destination."""
    known = {"kind": "otlp", "endpoint": endpoint, "timeout": "5s"}
    return Otlp(DestinationSettings(**{**known, **changes}), ContentSettings(), RESOURCE)


def unit(destination: Destination, assessed: AssessedTrace, seq: int = 1, revision: int = 0) -> Unit:
    """The whole trace as one unit of the destination's outbox."""
    spans = destination.render(assessed)
    trace = assessed.trace
    return Unit(
        seq=seq,
        trace_id=trace.trace_id,
        revision=revision,
        spans=otlp.frame(spans),
        span_count=len(spans),
        started_at=trace.started_at,
        ended_at=trace.ended_at,
    )
