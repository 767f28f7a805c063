"""What one platform reads under other names than a dialect writes: data, laid over the spans that are made already.

A platform's wishes are renames, extra names, a span kind of its own words and sums; none needs a projector of its own.
No number is made here but the sum of the two counts of one model call, and containers stay without usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.model import AssessedTrace
from exporter.spans.attributes import put_json_texts
from exporter.spans.messages import json_text
from exporter.spans.otlp import parse, put, put_int, put_text
from exporter.spans.readings import tags

Projector = Callable[[AssessedTrace], list[bytes]]
"""An assessed trace to its serialised spans, root first."""

_OURS = ("dify_exporter.", "dify.")
_KIND = "openinference.span.kind"
_INPUT = "gen_ai.usage.input_tokens"
_OUTPUT = "gen_ai.usage.output_tokens"
_COST = "gen_ai.usage.cost"
_READ = frozenset((_KIND, _INPUT, _OUTPUT, _COST))


@dataclass(frozen=True, slots=True)
class Flavour:
    """A platform's own names. Empty means: the platform reads what the dialect writes."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """An attribute of the dialect, and all names that it gets instead; none: it is left out."""
    own_prefix: str = ""
    """In front of our own attributes; lists under it become JSON, because such metadata takes scalars only."""
    kind_name: str = ""
    """The attribute that tells the span's kind in the platform's words."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """OpenInference's kind, and the platform's word for it."""
    root_kind: str = ""
    """The word for roots, where it differs."""
    everywhere: Mapping[str, str] = field(default_factory=dict)
    on_root: Mapping[str, str | bool] = field(default_factory=dict)
    root_is_entry: bool = False
    """Roots are SERVER spans, for platforms that list what comes in."""
    total_name: str = ""
    """Where the sum of input and output tokens of one call goes."""
    cost_object_name: str = ""
    """Where the cost goes as a JSON object with `total_cost`."""
    tags_name: str = ""
    """Where the root's tags go as a JSON list."""


def flavoured(project: Projector, flavour: Flavour) -> Projector:
    """The dialect with the flavour laid over it. Pure, as the dialect is."""

    def with_flavour(assessed: AssessedTrace) -> list[bytes]:
        spans = [parse(span) for span in project(assessed)]
        for span in spans:
            _season(span, flavour)
        if flavour.tags_name:
            put_json_texts(spans[0].attributes.add, flavour.tags_name, tags(assessed))
        return [span.SerializeToString() for span in spans]

    return with_flavour


def _season(span: Any, flavour: Flavour) -> None:
    is_root = not span.parent_span_id
    known = {item.key: item.value for item in span.attributes if item.key in _READ}
    _kind(span, flavour, known, is_root)
    _usage(span, flavour, known)
    if flavour.names or flavour.own_prefix:
        _rename(span, flavour)
    add = span.attributes.add
    for name, value in flavour.everywhere.items():
        put_text(add, name, value)
    if is_root:
        for name, setting in flavour.on_root.items():
            put(add, name, setting)
        if flavour.root_is_entry:
            span.kind = Span.SPAN_KIND_SERVER


def _kind(span: Any, flavour: Flavour, known: Mapping[str, Any], is_root: bool) -> None:
    if flavour.kind_name and _KIND in known:
        word = flavour.kinds.get(known[_KIND].string_value, known[_KIND].string_value)
        put_text(
            span.attributes.add,
            flavour.kind_name,
            flavour.root_kind if is_root and flavour.root_kind else word,
        )


def _usage(span: Any, flavour: Flavour, known: Mapping[str, Any]) -> None:
    add = span.attributes.add
    if flavour.total_name and _INPUT in known and _OUTPUT in known:
        put_int(add, flavour.total_name, known[_INPUT].int_value + known[_OUTPUT].int_value)
    if flavour.cost_object_name and _COST in known:
        put_text(add, flavour.cost_object_name, json_text({"total_cost": known[_COST].double_value}))


def _rename(span: Any, flavour: Flavour) -> None:
    """In place: most attributes of a span keep their names, and copying them all costs more than making them."""
    dropped: list[int] = []
    for at, item in enumerate(list(span.attributes)):
        key = item.key
        wanted = flavour.names.get(key)
        if wanted is None:
            if flavour.own_prefix and key.startswith(_OURS):
                item.key = flavour.own_prefix + key
                _flatten(item.value)
        elif not wanted:
            dropped.append(at)
        else:
            item.key = wanted[0]
            for name in wanted[1:]:
                copy = span.attributes.add()
                copy.key = name
                copy.value.CopyFrom(item.value)
    for at in reversed(dropped):
        del span.attributes[at]


def _flatten(value: Any) -> None:
    if value.WhichOneof("value") == "array_value":
        value.string_value = json_text([item.string_value for item in value.array_value.values])
