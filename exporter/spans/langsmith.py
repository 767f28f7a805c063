"""The LangSmith dialect: explicit run ids, usage as one object, everything of ours as metadata.

LangSmith shows foreign attributes only under `langsmith.metadata.`, so all of ours carry that prefix. Thread and user
are on every run, else thread totals miss its tokens. `langsmith.usage_metadata` replaces the flat usage attributes,
which stay for servers that do not know it. An error is read from the exception event, not from the status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from exporter.model import App, AssessedTrace, Assessment, Call, Status, Step, StepKind, Trace, chosen
from exporter.spans.attributes import Ours
from exporter.spans.content import Content
from exporter.spans.explain import explained_trace, sentences
from exporter.spans.genai import call_operation, operation, provider_name, put_plain_usage, put_request
from exporter.spans.langsmith_runs import Run, runs
from exporter.spans.messages import chat_answer, chat_prompt, json_text
from exporter.spans.otlp import (
    CLIENT,
    INTERNAL,
    Add,
    begin,
    fail,
    piece,
    put,
    put_exception,
    put_flag,
    put_text,
)
from exporter.spans.readings import chosen_cost, tags
from exporter.spans.retrieved import retrieved
from exporter.spans.tree import Tree, tree

RUN_ID = "langsmith.span.id"
PROJECT = "langsmith.trace.session_name"
METADATA = "langsmith.metadata."
_KINDS = {
    StepKind.MESSAGE: "chain",
    StepKind.WORKFLOW: "chain",
    StepKind.MODEL: "llm",
    StepKind.AGENT: "chain",
    StepKind.ROUND: "chain",
    StepKind.TOOL: "tool",
    StepKind.RETRIEVAL: "retriever",
    StepKind.CONTAINER: "chain",
    StepKind.NODE: "chain",
}
_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "amazon_bedrock",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google_vertexai",
    "mistral_ai": "mistral",
    "x_ai": "xai",
}
"""`ls_provider` as LangSmith's own wrappers and LangChain write it: its price table is looked up by provider and model."""
_STANDARD_PARAMETERS = ("temperature", "max_tokens")
_UNTOLD = {Status.STOPPED: "stopped by the user", Status.UNFINISHED: "never finished in Dify"}


class LangSmithProjector:
    """Trace to spans, root first. Pure: the same trace gives the same bytes."""

    def __init__(self, content: Content, project: Callable[[App], str] | None = None) -> None:
        """The project of an app is written on every span; without it the request's header names the project."""
        self._content = content
        self._project = project
        self._ours = Ours(METADATA)
        self._kinds = {kind: _kind_piece(kind) for kind in (*_KINDS.values(), "embedding")}

    def __call__(self, assessed: AssessedTrace) -> list[bytes]:
        """The serialised spans of one trace."""
        of = tree(assessed)
        content = self._content.of(of.trace.app)
        placed = runs(of)
        root = placed[of.trace.steps[0].span_id]
        shared = piece(lambda add: self._shared(add, of.trace, root))
        return [
            self._span(of, step, placed[step.span_id], content).SerializeToString()
            + self._kinds[_kind(step)]
            + shared
            for step in of.trace.steps
        ]

    def _span(self, of: Tree, step: Step, run: Run, content: Content) -> Any:
        name = of.trace.name if of.is_root(step) else step.name
        kind = CLIENT if step.call is not None else INTERNAL
        parent = of.parents[step.span_id]
        span = begin(of.trace_id, step.span_id, parent, name, kind, run.started_at, step.ended_at)
        add = span.attributes.add
        put_text(add, RUN_ID, run.id)
        put_text(add, "langsmith.span.dotted_order", run.dotted_order)
        if run.parent_id is not None:
            put_text(add, "langsmith.span.parent_id", run.parent_id)
        if of.is_root(step):
            self._root(add, of.assessed)
        if step.call is not None:
            self._call(add, step, of.assessment(step))
        elif (what := operation(step)) is not None:
            put_text(add, "gen_ai.operation.name", what)
            if step.kind is StepKind.TOOL:
                put_text(add, "gen_ai.tool.name", step.name)
        self._texts(add, step, content)
        self._ours.step(add, step, span.name)
        self._outcome(span, step, content)
        return span

    def _root(self, add: Add, assessed: AssessedTrace) -> None:
        put_flag(add, "langsmith.root_span", True)
        put_text(add, "langsmith.span.tags", ",".join(tag.replace(",", " ") for tag in tags(assessed)))
        self._ours.root(add, assessed)
        told = explained_trace(assessed)
        if told:
            put_text(add, f"{METADATA}explanation", json_text(told))

    def _call(self, add: Add, step: Step, assessment: Assessment | None) -> None:
        call = step.call
        if call is None:
            return
        put_request(add, call)
        if call.provider:
            provider = provider_name(call.provider)
            put_text(add, f"{METADATA}ls_provider", _PROVIDERS.get(provider, provider))
        if call.model:
            put_text(add, f"{METADATA}ls_model_name", call.model)
        self._standard(add, call)
        self._ours.call(add, call)
        if assessment is None:
            return
        choice = chosen(assessment)
        if choice is not None:
            put_plain_usage(add, choice[1])
            put_text(add, "langsmith.usage_metadata", json_text(usage_metadata(assessment)))
        self._ours.assessment(add, assessment)
        if assessment.findings:
            put_text(add, f"{METADATA}explanation", json_text(sentences(assessment)))

    def _standard(self, add: Add, call: Call) -> None:
        """The parameters that LangSmith's filters know by its own names."""
        what = call_operation(call.kind)
        if what in ("chat", "text_completion"):
            put_text(add, f"{METADATA}ls_model_type", "chat" if what == "chat" else "llm")
        for name, value in call.parameters:
            if name in _STANDARD_PARAMETERS:
                put(add, f"{METADATA}ls_{name}", value)

    def _texts(self, add: Add, step: Step, content: Content) -> None:
        prompt = chat_prompt(step.call, content) if step.call is not None else None
        answer = chat_answer(step.call, content) if step.call is not None else None
        text_in = (
            json_text({"messages": prompt}) if prompt is not None else _object(content(step.input), "input")
        )
        text_out = (
            json_text({"messages": [answer]}) if answer is not None else _output(step, content(step.output))
        )
        if text_in is not None:
            put_text(add, "gen_ai.prompt", text_in)
        if text_out is not None:
            put_text(add, "gen_ai.completion", text_out)

    def _outcome(self, span: Any, step: Step, content: Content) -> None:
        if step.status is Status.OK:
            return
        error = content(step.error)
        if step.status is Status.ERROR:
            fail(span, error)
            put_exception(span, error or "error")
        else:
            put_exception(span, error or _UNTOLD[step.status])

    def _shared(self, add: Add, trace: Trace, root: Run) -> None:
        put_text(add, "langsmith.trace.id", root.id)
        if self._project is not None:
            put_text(add, PROJECT, self._project(trace.app))
        if trace.session_id:
            put_text(add, f"{METADATA}thread_id", trace.session_id)
        if trace.user_id:
            put_text(add, f"{METADATA}user_id", trace.user_id)
        self._ours.trace(add, trace)


def usage_metadata(assessment: Assessment) -> dict[str, Any]:
    """LangSmith's usage object of the chosen reading; input and output include their details. The cost is there only
    when it is known in US dollars, else LangSmith prices the tokens from the workspace's list."""
    choice = chosen(assessment)
    if choice is None:
        return {}
    tokens = choice[1]
    inputs = _known(cache_read=tokens.cache_read, cache_creation=tokens.cache_write)
    outputs = _known(reasoning=tokens.reasoning)
    return {
        **_known(input_tokens=tokens.input, output_tokens=tokens.output, total_tokens=tokens.total),
        **({"input_token_details": inputs} if inputs else {}),
        **({"output_token_details": outputs} if outputs else {}),
        **_known(total_cost=chosen_cost(assessment)),
    }


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _output(step: Step, text: str | None) -> str | None:
    """A retrieval's documents in the form that LangSmith draws; any other output as it is."""
    documents = retrieved(text) if step.kind is StepKind.RETRIEVAL else []
    if not documents:
        return _object(text, "output")
    return json_text({
        "documents": [
            {
                "page_content": document.content,
                "type": "Document",
                "metadata": {**document.told, **_known(id=document.id, score=document.score)},
            }
            for document in documents
        ]
    })  # fmt: skip


def _object(text: str | None, name: str) -> str | None:
    """A JSON object as it is; any other text as the value of `name`, because runs take objects."""
    if text is None:
        return None
    if text.startswith("{"):
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            return json_text({name: text})
        return text
    return json_text({name: text})


def _kind(step: Step) -> str:
    if step.call is None:
        return _KINDS[step.kind]
    return "embedding" if call_operation(step.call.kind) == "embeddings" else "llm"


def _kind_piece(kind: str) -> bytes:
    return piece(lambda add: put_text(add, "langsmith.span.kind", kind))
