"""The Langfuse dialect.

What shapes it (measured against Langfuse 4.16 in its three modes): every filter works per span, so whatever belongs
to the trace is on every span; `usage_details` needs an explicit `total`, integers, and `input`/`output` without the
cached and reasoning parts; a model span without usage and cost makes Langfuse count tokens by itself, so a call with
no known count names its model in the metadata only; a span whose operation is invoke_agent loses its usage.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from exporter.model import (
    AssessedTrace,
    Assessment,
    Call,
    Micros,
    Status,
    Step,
    StepKind,
    Trace,
    chosen,
)
from exporter.spans.attributes import Ours
from exporter.spans.content import Content
from exporter.spans.explain import explained, explained_trace
from exporter.spans.genai import call_operation, parameters_json, provider_name
from exporter.spans.messages import chat_answer, chat_prompt, json_text
from exporter.spans.otlp import CLIENT, INTERNAL, Add, begin, fail, piece, put_text, put_texts
from exporter.spans.readings import chosen_cost, own_readings, tags, total_of, usd
from exporter.spans.text import clean
from exporter.spans.tree import Tree, tree

_TYPES = {
    StepKind.MESSAGE: "chain",
    StepKind.WORKFLOW: "chain",
    StepKind.MODEL: "generation",
    StepKind.AGENT: "agent",
    StepKind.ROUND: "chain",
    StepKind.TOOL: "tool",
    StepKind.RETRIEVAL: "retriever",
    StepKind.CONTAINER: "chain",
    StepKind.NODE: "span",
}
_LEVELS = {Status.ERROR: "ERROR", Status.STOPPED: "WARNING", Status.UNFINISHED: "WARNING"}
_NO_ENVIRONMENT = re.compile(r"[^a-z0-9_-]+")
_OBSERVATION = "langfuse.observation."

USAGE = _OBSERVATION + "usage_details"


class LangfuseProjector:
    """Trace to spans, root first. Pure: the same trace gives the same bytes."""

    def __init__(self, content: Content, environment: str | None = None) -> None:
        self._content = content
        self._environment = environment_name(environment) if environment else None
        self._ours = Ours()
        self._types = {name: _type_piece(name) for name in (*_TYPES.values(), "embedding")}

    def __call__(self, assessed: AssessedTrace) -> list[bytes]:
        """The serialised spans of one trace."""
        of = tree(assessed)
        content = self._content.of(of.trace.app)
        shared = piece(lambda add: self._shared(add, assessed))
        return [
            self._span(of, step, content).SerializeToString() + self._types[_type(step)] + shared
            for step in of.trace.steps
        ]

    def _span(self, of: Tree, step: Step, content: Content) -> Any:
        name = of.trace.name if of.is_root(step) else step.name
        kind = CLIENT if step.call is not None else INTERNAL
        parent = of.parents[step.span_id]
        span = begin(of.trace_id, step.span_id, parent, name, kind, step.started_at, step.ended_at)
        add = span.attributes.add
        metadata: dict[str, Any] = {}
        if of.is_root(step):
            self._ours.root(add, of.assessed)
            metadata.update(explained_trace(of.assessed))
        if step.call is not None:
            self._call(add, step.call, of.assessment(step), metadata)
        self._texts(add, step, content)
        self._ours.step(add, step, span.name)
        if step.link:
            metadata["child_trace"] = step.link
        if metadata:
            put_text(add, f"{_OBSERVATION}metadata", json_text(metadata))
        self._outcome(span, add, step, content)
        return span

    def _call(self, add: Add, call: Call, assessment: Assessment | None, metadata: dict[str, Any]) -> None:
        put_text(add, "gen_ai.operation.name", call_operation(call.kind))
        if call.provider:
            put_text(add, "gen_ai.provider.name", provider_name(call.provider))
        if call.parameters:
            put_text(add, f"{_OBSERVATION}model.parameters", parameters_json(call))
        if call.first_token_at is not None:
            put_text(add, f"{_OBSERVATION}completion_start_time", iso(call.first_token_at))
        if call.finish_reason:
            metadata["finish_reason"] = clean(call.finish_reason)
        self._ours.call(add, call)
        usage = usage_details(assessment) if assessment is not None else None
        if call.model and usage:
            put_text(add, f"{_OBSERVATION}model.name", call.model)
        elif call.model:
            metadata["model"] = call.model
        if assessment is None:
            return
        if usage:
            put_text(add, USAGE, json_text(usage))
            costs = cost_details(assessment)
            if costs:
                put_text(add, f"{_OBSERVATION}cost_details", json_text(costs))
        self._ours.assessment(add, assessment)
        metadata.update(explained(assessment))

    def _texts(self, add: Add, step: Step, content: Content) -> None:
        prompt: Any = chat_prompt(step.call, content) if step.call is not None else None
        answer: Any = chat_answer(step.call, content) if step.call is not None else None
        text_in = json_text(prompt) if prompt is not None else content(step.input)
        text_out = json_text(answer) if answer is not None else content(step.output)
        if text_in is not None:
            put_text(add, f"{_OBSERVATION}input", text_in)
        if text_out is not None:
            put_text(add, f"{_OBSERVATION}output", text_out)

    def _outcome(self, span: Any, add: Add, step: Step, content: Content) -> None:
        level = _LEVELS.get(step.status)
        if level is None:
            return
        put_text(add, f"{_OBSERVATION}level", level)
        error = content(step.error)
        if error:
            put_text(add, f"{_OBSERVATION}status_message", error)
        if step.status is Status.ERROR:
            fail(span, None)

    def _shared(self, add: Add, assessed: AssessedTrace) -> None:
        trace = assessed.trace
        put_text(add, "langfuse.trace.name", trace.name)
        if trace.user_id:
            put_text(add, "langfuse.user.id", trace.user_id)
        if trace.session_id:
            put_text(add, "langfuse.session.id", trace.session_id)
        put_texts(add, "langfuse.trace.tags", tags(assessed))
        put_text(add, "langfuse.environment", self._environment or _environment(trace))
        if trace.workflow_version:
            put_text(add, "langfuse.version", trace.workflow_version)
        self._ours.trace(add, trace)


def usage_details(assessment: Assessment) -> dict[str, int] | None:
    """`usage_details`: the chosen reading split into Langfuse's own keys, the totals of the readings under their bare
    names, and an explicit total. None when no total is known. A relayed vendor reading has no key: it would look
    like a second witness."""
    totals = {
        source: total
        for source, reading in own_readings(assessment)
        if (total := total_of(reading)) is not None
    }
    if not totals:
        return None
    choice = chosen(assessment)
    if choice is None:
        best = next(source for source in ("vendor", "dify", "local") if source in totals)
        return {"total": totals[best], **totals}
    tokens = choice[1]
    usage = {
        **_split(
            "input",
            tokens.input or 0,
            input_cached_tokens=tokens.cache_read,
            input_cache_creation=tokens.cache_write,
        ),
        **_split("output", tokens.output or 0, output_reasoning_tokens=tokens.reasoning),
    }
    return {**usage, "total": totals[choice[0]], **totals}


def _split(whole_name: str, whole: int, **parts: int | None) -> dict[str, int]:
    """A whole without its known parts beside them; the whole alone when the parts cannot be parts of it."""
    known = {name: count for name, count in parts.items() if count}
    rest = whole - sum(known.values())
    return {whole_name: rest, **known} if rest >= 0 else {whole_name: whole}


def cost_details(assessment: Assessment) -> dict[str, float] | None:
    """`cost_details` in US dollars: the chosen reading's cost as the total, each reading's under its bare name. None
    when the chosen reading has no cost in dollars; Langfuse then prices the tokens from its own list."""
    total = chosen_cost(assessment)
    if total is None:
        return None
    costs = {
        source: cost
        for source, reading in own_readings(assessment)
        if (cost := usd(reading.cost)) is not None
    }
    return {"total": total, **costs}


def environment_name(name: str) -> str:
    """An environment that Langfuse accepts: another name silently becomes `default` there."""
    slug = _NO_ENVIRONMENT.sub("-", name.lower()).strip("-")[:40]
    return slug.removeprefix("langfuse").lstrip("-_") or "default"


def iso(moment: Micros) -> str:
    """ISO 8601 UTC with microseconds."""
    return (
        datetime.fromtimestamp(moment // 1_000_000, UTC).replace(microsecond=moment % 1_000_000).isoformat()
    )


def _environment(trace: Trace) -> str:
    return "debug" if trace.is_debug else "production"


def _type(step: Step) -> str:
    if step.call is None:
        return _TYPES[step.kind]
    return "embedding" if call_operation(step.call.kind) == "embeddings" else "generation"


def _type_piece(name: str) -> bytes:
    return piece(lambda add: put_text(add, f"{_OBSERVATION}type", name))
