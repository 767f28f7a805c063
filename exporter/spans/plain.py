"""The dialect for any OTLP platform: GenAI conventions, OpenInference's span kind and texts, and our own attributes.

Roots and other containers carry totals only under our own names. A child run (a workflow used as a tool) is a span
link, so that platforms with links can jump to it.
"""

from __future__ import annotations

from typing import Any

from exporter.model import AssessedTrace, Assessment, Status, Step, StepKind, Trace, chosen
from exporter.spans.attributes import Ours
from exporter.spans.content import Content
from exporter.spans.genai import operation, provider_name, put_request, put_usage, span_name
from exporter.spans.messages import parts_answer, parts_prompt
from exporter.spans.otlp import CLIENT, INTERNAL, Add, begin, fail, piece, put_float, put_link, put_text
from exporter.spans.readings import chosen_cost
from exporter.spans.tree import Tree, tree

_KINDS = {
    StepKind.MESSAGE: "CHAIN",
    StepKind.WORKFLOW: "CHAIN",
    StepKind.MODEL: "LLM",
    StepKind.AGENT: "AGENT",
    StepKind.ROUND: "CHAIN",
    StepKind.TOOL: "TOOL",
    StepKind.RETRIEVAL: "RETRIEVER",
    StepKind.CONTAINER: "CHAIN",
    StepKind.NODE: "CHAIN",
}
_CALL_KINDS = {"embeddings": "EMBEDDING", "rerank": "RERANKER"}


class PlainProjector:
    """Trace to spans, root first. Pure: the same trace gives the same bytes."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._ours = Ours()
        self._kinds = {kind: _kind_piece(kind) for kind in (*_KINDS.values(), *_CALL_KINDS.values())}

    def __call__(self, assessed: AssessedTrace) -> list[bytes]:
        """The serialised spans of one trace."""
        of = tree(assessed)
        content = self._content.of(of.trace.app)
        shared = piece(lambda add: self._shared(add, of.trace))
        return [
            self._span(of, step, content).SerializeToString() + self._kinds[span_kind(step)] + shared
            for step in of.trace.steps
        ]

    def _span(self, of: Tree, step: Step, content: Content) -> Any:
        name = operation(step)
        kind = CLIENT if step.call is not None or step.kind is StepKind.RETRIEVAL else INTERNAL
        parent = of.parents[step.span_id]
        span = begin(
            of.trace_id, step.span_id, parent, span_name(step, name), kind, step.started_at, step.ended_at
        )
        add = span.attributes.add
        if step.call is not None:
            put_request(add, step.call)
            if step.call.provider:
                put_text(add, "gen_ai.system", provider_name(step.call.provider))
            self._ours.call(add, step.call)
            self._assessed(add, of.assessment(step))
        elif name is not None:
            _put_operation(add, name, step)
        self._texts(add, step, content)
        self._ours.step(add, step, span.name)
        if of.is_root(step):
            self._ours.root(add, of.assessed)
        if step.status is Status.ERROR:
            fail(span, content(step.error))
        if step.link:
            put_link(span, step.link)
        return span

    def _assessed(self, add: Add, assessment: Assessment | None) -> None:
        if assessment is None:
            return
        choice = chosen(assessment)
        if choice is not None:
            put_usage(add, choice[1])
            cost = chosen_cost(assessment)
            if cost is not None:
                put_float(add, "gen_ai.usage.cost", cost)
        self._ours.assessment(add, assessment)

    def _texts(self, add: Add, step: Step, content: Content) -> None:
        prompt = answer = None
        if step.call is not None:
            prompt, answer = parts_prompt(step.call, content), parts_answer(step.call, content)
        if prompt is not None:
            put_text(add, "gen_ai.input.messages", prompt)
        elif (text := content(step.input)) is not None:
            put_text(add, "input.value", text)
        if answer is not None:
            put_text(add, "gen_ai.output.messages", answer)
        elif (text := content(step.output)) is not None:
            put_text(add, "output.value", text)

    def _shared(self, add: Add, trace: Trace) -> None:
        self._ours.trace(add, trace)
        if trace.user_id:
            put_text(add, "user.id", trace.user_id)
        if trace.session_id:
            put_text(add, "session.id", trace.session_id)
            put_text(add, "gen_ai.conversation.id", trace.session_id)


def span_kind(step: Step) -> str:
    """OpenInference's kind of a step: what its call does, else what the step is."""
    if step.call is None:
        return _KINDS[step.kind]
    return _CALL_KINDS.get(operation(step) or "", "LLM")


def _kind_piece(kind: str) -> bytes:
    return piece(lambda add: put_text(add, "openinference.span.kind", kind))


def _put_operation(add: Add, name: str, step: Step) -> None:
    put_text(add, "gen_ai.operation.name", name)
    if step.kind is StepKind.TOOL:
        put_text(add, "gen_ai.tool.name", step.name)
    elif step.kind is StepKind.RETRIEVAL:
        dataset = dict(step.facts).get("dataset.id")
        if dataset is not None:
            put_text(add, "gen_ai.data_source.id", str(dataset))
    else:
        put_text(add, "gen_ai.agent.name", step.name)
