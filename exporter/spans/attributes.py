"""Our own attributes, `dify_exporter.*`, and the `dify.*` names that Dify's own telemetry uses.

The same names in every destination; where a platform shows foreign attributes only under a prefix of its own, the
whole set carries that prefix. Absent is absent, never 0. A delta `<a>_<b>` is b − a, so `dify_vendor` is
vendor − dify like every finding; a relayed vendor reading takes part in no delta, because it is Dify's own record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.model import AssessedTrace, Assessment, Call, Status, Step, Trace, chosen
from exporter.spans.messages import json_text
from exporter.spans.otlp import Add, put, put_flag, put_float, put_int, put_text, put_texts
from exporter.spans.readings import (
    SOURCES,
    Reading,
    all_codes,
    own_readings,
    readings,
    total_of,
    unique_codes,
)
from exporter.spans.text import clean

_PARTS = ("input", "output", "total", "cache_read", "cache_write", "reasoning")
_DELTAS = (("dify", "vendor"), ("local", "vendor"), ("dify", "local"))


class Ours:
    """Writes our attributes; the names are made once, here."""

    def __init__(self, prefix: str = "") -> None:
        self.foreign = prefix
        self.own = own = f"{prefix}dify_exporter."
        self._texts = put_json_texts if prefix else put_texts
        self._tokens = {
            source: tuple(f"{own}tokens.{source}.{part}" for part in _PARTS) for source in SOURCES
        }
        self._totals = {
            source: tuple(f"{own}trace.tokens.{source}.{part}" for part in _PARTS[:3]) for source in SOURCES
        }
        self._calls = {source: f"{own}trace.calls.{source}" for source in ("all", *SOURCES)}
        self._costs = {
            source: tuple(f"{own}cost.{source}.{part}" for part in ("total", "currency", "origin"))
            for source in SOURCES
        }
        self._deltas = tuple(
            (a, b, f"{own}tokens.delta.{a}_{b}.input", f"{own}tokens.delta.{a}_{b}.output")
            for a, b in _DELTAS
        )

    def trace(self, add: Add, trace: Trace) -> None:
        """What every span of a trace carries: whose it is."""
        foreign = self.foreign
        put_text(add, f"{foreign}dify.app_id", trace.app.id)
        put_text(add, f"{foreign}dify.tenant_id", trace.app.tenant_id)
        if trace.workflow_id:
            put_text(add, f"{foreign}dify.workflow_id", trace.workflow_id)
        if trace.invoke_from:
            put_text(add, f"{foreign}dify.invoke_from", trace.invoke_from)
        put_text(add, f"{self.own}app.name", trace.app.name)
        if trace.is_debug:
            put_flag(add, f"{self.own}debug", True)

    def root(self, add: Add, assessed: AssessedTrace) -> None:
        """What only the root carries: the record it came from, Dify's three sums, totals and verdict."""
        trace, own = assessed.trace, self.own
        for key, text in (
            ("source.kind", str(trace.ref.kind)),
            ("source.record_id", trace.ref.id),
            ("app.mode", trace.app.mode),
            ("message_id", trace.message_id),
            ("workflow_run_id", trace.workflow_run_id),
            ("workflow_version", trace.workflow_version),
            ("triggered_from", trace.triggered_from),
        ):
            if text:
                put_text(add, own + key, text)
        if trace.notes:
            self._texts(add, f"{own}notes", trace.notes)
        self._sums(add, trace)
        if trace.steps[0].call is None:
            self._trace_totals(add, assessed)
            put_text(add, f"{own}verdict", assessed.verdict)
            self._findings(add, all_codes(assessed))

    def step(self, add: Add, step: Step, shown_name: str) -> None:
        """What a step knows of itself: its node facts, and how it ended when not well. A title that the span's name
        shows is not repeated."""
        own = self.own
        for key, value in step.facts:
            if key == "node.title" and value == shown_name:
                continue
            put(add, own + key, value)
        if step.status is not Status.OK:
            put_text(add, f"{own}status", step.status)
        if step.link:
            put_text(add, f"{own}child_trace_id", step.link)

    def call(self, add: Add, call: Call) -> None:
        """Which call it is, and what of it Dify did not keep."""
        own = self.own
        put_text(add, f"{own}call.id", call.call_id)
        if call.kind not in ("chat", "completion"):
            put_text(add, f"{own}call.kind", call.kind)
        if call.missing:
            self._texts(add, f"{own}call.missing", call.missing)
        if call.note:
            put_text(add, f"{own}call.note", call.note)
        if call.prompt is None:
            put_flag(add, f"{own}call.prompt_kept", False)

    def assessment(self, add: Add, assessment: Assessment) -> None:
        """The three readings with their provenance, the differences, the findings and the verdict of one call."""
        own = self.own
        for source, reading in readings(assessment):
            self._reading(add, source, reading)
        self._differences(add, own_readings(assessment))
        self._provenance(add, assessment)
        choice = chosen(assessment)
        if choice:
            put_text(add, f"{own}tokens.chosen", choice[0])
        put_text(add, f"{own}verdict", assessment.verdict)
        self._findings(add, unique_codes(assessment.findings))

    def _reading(self, add: Add, source: str, reading: Reading) -> None:
        tokens = reading.tokens
        values = (
            tokens.input,
            tokens.output,
            total_of(reading),
            tokens.cache_read,
            tokens.cache_write,
            tokens.reasoning,
        )
        for key, value in zip(self._tokens[source], values, strict=True):
            if value is not None:
                put_int(add, key, value)
        if reading.cost is not None:
            total, currency, origin = self._costs[source]
            put_float(add, total, float(reading.cost.amount))
            put_text(add, currency, reading.cost.currency)
            if reading.cost.origin is not None:
                put_text(add, origin, reading.cost.origin)

    def _differences(self, add: Add, found: list[tuple[str, Reading]]) -> None:
        tokens = {source: reading.tokens for source, reading in found}
        for a, b, input_key, output_key in self._deltas:
            if a not in tokens or b not in tokens:
                continue
            first, second = tokens[a], tokens[b]
            if first.input is not None and second.input is not None:
                put_int(add, input_key, second.input - first.input)
            if first.output is not None and second.output is not None:
                put_int(add, output_key, second.output - first.output)

    def _provenance(self, add: Add, assessment: Assessment) -> None:
        own, dify, local, vendor = self.own, assessment.dify, assessment.local, assessment.vendor
        if dify is not None:
            put_text(add, f"{own}tokens.dify.kind", dify.kind)
            put_text(add, f"{own}tokens.dify.provenance", dify.provenance)
        if local is not None:
            put_text(add, f"{own}tokens.local.tokenizer", local.tokenizer)
            put_text(add, f"{own}tokens.local.accuracy", local.accuracy)
        if vendor is not None:
            put_text(add, f"{own}tokens.vendor.provenance", vendor.provenance)
            put_text(add, f"{own}tokens.vendor.match", vendor.match)
            put_flag(add, f"{own}tokens.vendor.independent", vendor.independent)

    def _findings(self, add: Add, found: list[str]) -> None:
        """Also when there are none: a v3 Langfuse keeps what a correction leaves out."""
        self._texts(add, f"{self.own}findings", found)

    def _sums(self, add: Add, trace: Trace) -> None:
        sums, own = trace.sums, f"{self.own}recorded."
        for name, tokens in (("leaves", sums.leaves), ("message", sums.message)):
            if tokens is not None:
                if tokens.input is not None:
                    put_int(add, f"{own}{name}.input", tokens.input)
                if tokens.output is not None:
                    put_int(add, f"{own}{name}.output", tokens.output)
        if sums.run_total is not None:
            put_int(add, f"{own}run.total", sums.run_total)
        if sums.containers_total:
            put_int(add, f"{own}containers.total", sums.containers_total)

    def _trace_totals(self, add: Add, assessed: AssessedTrace) -> None:
        """Sums over the calls that have a reading, with their number: a sum over some calls is no sum over all."""
        put_int(add, self._calls["all"], len(assessed.assessments))
        for source in SOURCES:
            found = [
                item for each in assessed.assessments for name, item in own_readings(each) if name == source
            ]
            if not found:
                continue
            put_int(add, self._calls[source], len(found))
            tokens = [item.tokens for item in found]
            sums = (
                _sum(item.input for item in tokens),
                _sum(item.output for item in tokens),
                _sum(map(total_of, found)),
            )
            for key, value in zip(self._totals[source], sums, strict=True):
                if value is not None:
                    put_int(add, key, value)


def put_json_texts(add: Add, key: str, texts: Sequence[str]) -> None:
    """A list of texts as JSON, for platforms whose metadata takes scalars only."""
    put_text(add, key, json_text([clean(text) for text in texts]))


def _sum(values: Iterable[int | None]) -> int | None:
    """The sum, or None when any part of it is unknown."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
