"""The OpenTelemetry GenAI names (conventions 0.1.0), with the older aliases that destinations still read.

The names are development status and change between releases, so they are written here and nowhere else. Usage is
only ever put on the span of one model call: every platform sums children.
"""

from __future__ import annotations

from functools import lru_cache

from exporter.model import Call, Status, Step, StepKind, Tokens
from exporter.spans.messages import json_text
from exporter.spans.otlp import Add, put, put_float, put_int, put_text, put_texts
from exporter.spans.text import clean

_PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "azure_ai_studio": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "watsonx": "ibm.watsonx.ai",
    "x": "x_ai",
    "xai": "x_ai",
}
_PARAMETERS = frozenset(
    ("temperature", "top_p", "top_k", "max_tokens", "frequency_penalty", "presence_penalty", "seed")
)
_OPERATIONS = {
    StepKind.MESSAGE: "invoke_agent",
    StepKind.WORKFLOW: "invoke_workflow",
    StepKind.AGENT: "invoke_agent",
    StepKind.TOOL: "execute_tool",
    StepKind.RETRIEVAL: "retrieval",
}


@lru_cache(maxsize=1024)
def provider_name(provider: str) -> str:
    """`gen_ai.provider.name` of a Dify provider id such as `langgenius/openai/openai`: its last part, mapped to the
    conventions' well-known values where there is one."""
    last = clean(provider).rsplit("/", 1)[-1].lower()
    return _PROVIDERS.get(last, last)


def operation(step: Step) -> str | None:
    """`gen_ai.operation.name`; None where the conventions have no name for what the step does."""
    return _OPERATIONS.get(step.kind) if step.call is None else call_operation(step.call.kind)


def call_operation(kind: str) -> str:
    """The operation of a call by its kind, hidden calls included (`hidden:query_embedding` is an embedding)."""
    if "embedding" in kind:
        return "embeddings"
    if "rerank" in kind:
        return "rerank"
    return "text_completion" if kind == "completion" else "chat"


def span_name(step: Step, name: str | None) -> str:
    """The conventions' span name: the operation, then the model, tool or agent; else type and title of the node."""
    if name is None:
        return step.name
    if step.call is not None:
        return f"{name} {step.call.model}" if step.call.model else name
    return f"{name} {step.name}"


def put_request(add: Add, call: Call) -> None:
    """Who was asked, for which model, with which parameters, and how it ended. Model absent when unknown."""
    put_text(add, "gen_ai.operation.name", call_operation(call.kind))
    if call.provider:
        put_text(add, "gen_ai.provider.name", provider_name(call.provider))
    if call.model:
        put_text(add, "gen_ai.request.model", call.model)
    for key, value in call.parameters:
        if key in _PARAMETERS:
            put(add, f"gen_ai.request.{key}", value)
    if any(key not in _PARAMETERS for key, _ in call.parameters):
        put_text(add, "llm.invocation_parameters", parameters_json(call))
    if call.finish_reason:
        put_texts(add, "gen_ai.response.finish_reasons", (call.finish_reason,))
    if call.first_token_at is not None and call.first_token_at >= call.started_at:
        put_float(
            add, "gen_ai.response.time_to_first_chunk", (call.first_token_at - call.started_at) / 1_000_000
        )
    if call.status is Status.ERROR:
        put_text(add, "error.type", "_OTHER")


def put_usage(add: Add, tokens: Tokens) -> None:
    """The chosen reading with its parts, as far as they are known."""
    put_plain_usage(add, tokens)
    if tokens.cache_read is not None:
        put_int(add, "gen_ai.usage.cache_read.input_tokens", tokens.cache_read)
    if tokens.cache_write is not None:
        put_int(add, "gen_ai.usage.cache_write.input_tokens", tokens.cache_write)
        put_int(add, "gen_ai.usage.cache_creation.input_tokens", tokens.cache_write)
    if tokens.reasoning is not None:
        put_int(add, "gen_ai.usage.reasoning.output_tokens", tokens.reasoning)


def put_plain_usage(add: Add, tokens: Tokens) -> None:
    """The two counts alone. Input includes cached tokens, output includes reasoning, as the conventions say."""
    if tokens.input is not None:
        put_int(add, "gen_ai.usage.input_tokens", tokens.input)
    if tokens.output is not None:
        put_int(add, "gen_ai.usage.output_tokens", tokens.output)


def parameters_json(call: Call) -> str:
    """All parameters of a call as a JSON object."""
    return json_text(
        {clean(key): clean(value) if isinstance(value, str) else value for key, value in call.parameters}
    )
