"""Serialised spans as plain Python, decoded with opentelemetry-proto: what a receiver would see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.config import ContentSettings
from exporter.spans.content import Content, content
from tests.contract.twin_server import attributes


@dataclass(frozen=True)
class Seen:
    """One decoded span."""

    span: Any
    attributes: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.span.name)


def seen(spans: list[bytes]) -> list[Seen]:
    """The spans of a projector."""
    decoded = [Span.FromString(item) for item in spans]
    return [Seen(span, attributes(span)) for span in decoded]


def leaf(spans: list[bytes]) -> Seen:
    """The last span: the model call of `one_call`."""
    return seen(spans)[-1]


def full(**changes: Any) -> Content:
    """Content with the default settings, or changed ones."""
    return content(ContentSettings(**changes))
