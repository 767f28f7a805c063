"""The OpenInference dialect, which Phoenix and Arize AX read natively and W&B Weave reads too.

Names: Arize's openinference-semantic-conventions. Conversations are flat, numbered attributes there, so only the
newest messages of a long prompt and the first documents of a retrieval are spelled out, while `input.value` and
`output.value` hold them all. Usage sits on model calls only: the platforms sum the tree. Our readings are attributes and, in
words, the span's metadata.
"""

from __future__ import annotations

from typing import Any

import orjson

from exporter.model import AssessedTrace, Assessment, Call, Status, Step, StepKind, Tokens, Trace, chosen
from exporter.spans.attributes import Ours
from exporter.spans.content import Content
from exporter.spans.explain import explained, explained_trace
from exporter.spans.genai import parameters_json, provider_name
from exporter.spans.messages import chat_answer, chat_prompt, json_text
from exporter.spans.otlp import (
    CLIENT,
    INTERNAL,
    Add,
    begin,
    fail,
    piece,
    put_event,
    put_exception,
    put_float,
    put_int,
    put_link,
    put_text,
    put_texts,
    succeed,
)
from exporter.spans.plain import span_kind
from exporter.spans.readings import chosen_cost, tags
from exporter.spans.retrieved import Retrieved, retrieved
from exporter.spans.tree import Tree, tree

MESSAGES_SHOWN = 20
"""Messages of one prompt that are spelled out; each takes two attributes or more, and receivers count to 128."""
DOCUMENTS_SHOWN = 15
"""Documents of one retrieval that are spelled out; each takes up to four attributes."""

_MODEL_NAMES = {
    "LLM": "llm.model_name",
    "EMBEDDING": "embedding.model_name",
    "RERANKER": "reranker.model_name",
}
_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistralai",
    "moonshot_ai": "moonshot",
    "x_ai": "xai",
}
"""`llm.provider` in the conventions' own words; Phoenix knows by it how to ask the model again."""
_SYSTEMS = {
    "openai": "openai",
    "azure.ai.openai": "openai",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "mistral_ai": "mistralai",
    "gcp.vertex_ai": "vertexai",
}
"""`llm.system`: whose API a provider speaks, where the conventions have a value for it."""


class OpenInferenceProjector:
    """Trace to spans, root first. Pure: the same trace gives the same bytes."""

    def __init__(self, content: Content, messages_shown: int = MESSAGES_SHOWN) -> None:
        """With `messages_shown` 0 neither messages nor documents are spelled out."""
        self._content = content
        self._messages_shown = messages_shown
        self._ours = Ours()

    def __call__(self, assessed: AssessedTrace) -> list[bytes]:
        """The serialised spans of one trace."""
        of = tree(assessed)
        content = self._content.of(of.trace.app)
        shared = piece(lambda add: self._shared(add, of.trace))
        return [self._span(of, step, content).SerializeToString() + shared for step in of.trace.steps]

    def _span(self, of: Tree, step: Step, content: Content) -> Any:
        is_root = of.is_root(step)
        name = of.trace.name if is_root else step.name
        kind = CLIENT if step.call is not None or step.kind is StepKind.RETRIEVAL else INTERNAL
        parent = of.parents[step.span_id]
        span = begin(of.trace_id, step.span_id, parent, name, kind, step.started_at, step.ended_at)
        add = span.attributes.add
        put_text(add, "openinference.span.kind", span_kind(step))
        metadata: dict[str, Any] = {}
        if is_root:
            self._ours.root(add, of.assessed)
            put_texts(add, "tag.tags", tags(of.assessed))
            metadata.update(verdict=str(of.assessed.verdict), **explained_trace(of.assessed))
        if step.call is not None:
            _put_request(add, step.call, span_kind(step))
            self._ours.call(add, step.call)
            self._assessed(add, of.assessment(step), metadata)
        elif step.kind in (StepKind.TOOL, StepKind.AGENT):
            put_text(add, "tool.name" if step.kind is StepKind.TOOL else "agent.name", step.name)
        self._texts(add, step, content)
        self._ours.step(add, step, span.name)
        if metadata:
            put_text(add, "metadata", json_text(metadata))
        _put_outcome(span, step, content)
        return span

    def _assessed(self, add: Add, assessment: Assessment | None, metadata: dict[str, Any]) -> None:
        if assessment is None:
            return
        choice = chosen(assessment)
        if choice is not None:
            put_token_counts(add, choice[1])
            cost = chosen_cost(assessment)
            if cost is not None:
                put_float(add, "llm.cost.total", cost)
        self._ours.assessment(add, assessment)
        metadata.update(explained(assessment))

    def _texts(self, add: Add, step: Step, content: Content) -> None:
        prompt = chat_prompt(step.call, content) if step.call is not None else None
        answer = chat_answer(step.call, content) if step.call is not None else None
        if prompt is not None:
            _put_value(add, "input", json_text(prompt))
            self._messages(add, "llm.input_messages", prompt)
        elif (text := content(step.input)) is not None:
            _put_value(add, "input", text)
        if answer is not None:
            _put_value(add, "output", json_text(answer))
            self._messages(add, "llm.output_messages", [answer])
        elif (text := content(step.output)) is not None:
            _put_value(add, "output", text)
            if step.kind is StepKind.RETRIEVAL and self._messages_shown:
                _put_documents(add, retrieved(text)[:DOCUMENTS_SHOWN])

    def _messages(self, add: Add, name: str, messages: list[dict[str, Any]]) -> None:
        if not self._messages_shown:
            return
        left_out = len(messages) - self._messages_shown
        if left_out > 0:
            put_int(add, f"{self._ours.own}call.messages_left_out", left_out)
        for number, message in enumerate(messages[-self._messages_shown :]):
            _put_message(add, f"{name}.{number}.message.", message)

    def _shared(self, add: Add, trace: Trace) -> None:
        self._ours.trace(add, trace)
        if trace.user_id:
            put_text(add, "user.id", trace.user_id)
        if trace.session_id:
            put_text(add, "session.id", trace.session_id)


def put_token_counts(add: Add, tokens: Tokens) -> None:
    """`llm.token_count.*` of the chosen reading: the two counts with their sum, and the parts inside them."""
    for name, count in (
        ("prompt", tokens.input),
        ("completion", tokens.output),
        ("total", tokens.total),
        ("prompt_details.cache_read", tokens.cache_read),
        ("prompt_details.cache_write", tokens.cache_write),
        ("completion_details.reasoning", tokens.reasoning),
    ):
        if count is not None:
            put_int(add, f"llm.token_count.{name}", count)


def _put_outcome(span: Any, step: Step, content: Content) -> None:
    if step.link:
        put_link(span, step.link)
    call = step.call
    if call is not None and call.first_token_at is not None and call.first_token_at >= call.started_at:
        put_event(span, "First Token Stream Event", call.first_token_at)
    if step.status is Status.OK:
        succeed(span)
    if step.status is Status.ERROR:
        error = content(step.error)
        fail(span, error)
        if error:
            put_exception(span, error)


def _put_request(add: Add, call: Call, kind: str) -> None:
    if call.model:
        put_text(add, _MODEL_NAMES[kind], call.model)
        if kind != "LLM":
            put_text(add, "llm.model_name", call.model)
    if call.provider:
        provider = provider_name(call.provider)
        put_text(add, "llm.provider", _PROVIDERS.get(provider, provider))
        if provider in _SYSTEMS:
            put_text(add, "llm.system", _SYSTEMS[provider])
    if call.parameters:
        put_text(add, "llm.invocation_parameters", parameters_json(call))
    if call.finish_reason:
        put_text(add, "llm.finish_reason", call.finish_reason)
    if call.first_token_at is not None and call.first_token_at >= call.started_at:
        seconds = (call.first_token_at - call.started_at) / 1_000_000
        put_float(add, "gen_ai.response.time_to_first_chunk", seconds)


def _put_value(add: Add, side: str, text: str) -> None:
    put_text(add, f"{side}.value", text)
    put_text(add, f"{side}.mime_type", "application/json" if _is_json(text) else "text/plain")


def _put_documents(add: Add, documents: list[Retrieved]) -> None:
    for number, document in enumerate(documents):
        at = f"retrieval.documents.{number}.document."
        put_text(add, f"{at}content", document.content)
        if document.id is not None:
            put_text(add, f"{at}id", document.id)
        if document.score is not None:
            put_float(add, f"{at}score", document.score)
        if document.told:
            put_text(add, f"{at}metadata", json_text(document.told))


def _put_message(add: Add, at: str, message: dict[str, Any]) -> None:
    put_text(add, f"{at}role", message["role"])
    if message["content"]:
        put_text(add, f"{at}content", message["content"])
    for name in ("tool_call_id", "name"):
        if message.get(name):
            put_text(add, at + name, message[name])
    for number, asked in enumerate(message.get("tool_calls", ())):
        inner = f"{at}tool_calls.{number}.tool_call."
        if asked["id"]:
            put_text(add, f"{inner}id", asked["id"])
        put_text(add, f"{inner}function.name", asked["function"]["name"])
        put_text(add, f"{inner}function.arguments", asked["function"]["arguments"])


def _is_json(text: str) -> bool:
    if text[:1] not in ("{", "["):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
