"""One piece of work in plain data: the questions, answers and counts that every SDK and our own exporter are given.

A workflow asks the knowledge base, lets an agent use a tool, asks the model in four ways and embeds a text. The model's
answers are those of OpenAI's API; the counts hold cached and reasoning tokens.
"""

from __future__ import annotations

from typing import Any

CASES = ("workflow", "retrieval", "agent", "tool request", "tool", "chat", "streamed", "error", "embedding")
"""The spans of the work, in the order in which they begin; `tool request` is the model call that asks for the tool."""

APP, USER, SESSION = "Support bot", "user-17", "5eed0000-0000-4384-8000-000000001bd4"
VERSION = "2026-11-01 09:00:00"
TAGS = ["Support bot", "workflow"]
MODEL, EMBEDDING_MODEL = "gpt-4o-mini", "text-embedding-3-small"
TEMPERATURE, MAX_TOKENS, EMBEDDING_TOKENS = 0.2, 512, 6

SYSTEM = "You answer questions about invoices."
QUESTIONS = {
    "tool request": "Find my invoice.",
    "chat": "Why was I billed twice?",
    "streamed": "And in one sentence?",
    "error": "Once more, please.",
}
ANSWERS = {"chat": "The second request was a retry.", "streamed": "A retry was billed."}
USAGE = {"input": 120, "output": 42, "cached": 64, "reasoning": 12}
TOTAL = USAGE["input"] + USAGE["output"]
TOOL_ID, TOOL, TOOL_ARGUMENTS, TOOL_RESULT = "call_1", "search", '{"q":"invoice"}', "Invoice 7: 20 USD"
TOOL_SCHEMA = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": "Search the invoices.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    },
}
DOCUMENTS = [
    {"id": "segment-1", "content": "A failed request may be billed.", "score": 0.83, "title": "Billing"},
    {"id": "segment-2", "content": "Retries are off by default.", "score": 0.61, "title": "Settings"},
]
REFUSAL = "This model is not available."
START_SECONDS = 1_795_460_000


def prompt(case: str) -> list[dict[str, Any]]:
    """The messages of a model call."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTIONS[case]}]


def usage() -> dict[str, Any]:
    """The usage object of OpenAI's chat API."""
    return {
        "prompt_tokens": USAGE["input"],
        "completion_tokens": USAGE["output"],
        "total_tokens": TOTAL,
        "prompt_tokens_details": {"cached_tokens": USAGE["cached"], "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": USAGE["reasoning"], "audio_tokens": 0},
    }


def asked_tool() -> dict[str, Any]:
    """The tool call that the model asks for, as OpenAI writes it."""
    return {"id": TOOL_ID, "type": "function", "function": {"name": TOOL, "arguments": TOOL_ARGUMENTS}}
