"""The work itself, in the order of `scenario.CASES`, for any SDK: model calls go through the client that the SDK watches, the
other spans through the one function that makes a span with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import openai

from docs.sdk import scenario

MakeSpan = Callable[[str, str, Any, Callable[[], Any]], Any]
"""(case, name, input, work) → what the work returned; the span's output is that."""


def ask_all(client: openai.OpenAI, span: MakeSpan, embed: Callable[[], Any] | None = None) -> None:
    """Do everything once. `embed` stands in where the SDK does not watch the client's embeddings."""

    def work() -> str:
        span("retrieval", "Knowledge", scenario.QUESTIONS["chat"], lambda: scenario.DOCUMENTS)
        span("agent", "Agent", scenario.QUESTIONS["tool request"], lambda: _use_tool(client, span))
        _chat(client, "chat")
        for _ in _chat(client, "streamed", stream=True, stream_options={"include_usage": True}):
            pass
        with suppress(openai.BadRequestError):
            _chat(client, "error")
        if embed is not None:
            embed()
        else:
            client.embeddings.create(
                model=scenario.EMBEDDING_MODEL, input=scenario.QUESTIONS["chat"], encoding_format="float"
            )
        return scenario.ANSWERS["chat"]

    span("workflow", scenario.APP, scenario.QUESTIONS["chat"], work)


def _use_tool(client: openai.OpenAI, span: MakeSpan) -> Any:
    _chat(client, "tool request", tools=[scenario.TOOL_SCHEMA])
    return span("tool", scenario.TOOL, {"q": "invoice"}, lambda: scenario.TOOL_RESULT)


def _chat(client: openai.OpenAI, case: str, **more: Any) -> Any:
    return client.chat.completions.create(
        model=scenario.MODEL,
        messages=scenario.prompt(case),
        temperature=scenario.TEMPERATURE,
        max_tokens=scenario.MAX_TOKENS,
        **more,
    )
