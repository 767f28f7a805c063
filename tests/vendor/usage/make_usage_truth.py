"""Ask the independent library genai-prices what it reads in usage bodies, and keep its answers as data for the tests.

    python tests/vendor/usage/make_usage_truth.py FOLDER_OF_RECORDINGS      (with genai-prices installed, which the tests are not)

Writes tests/data/vendor/usage-genai-prices.json (the documented bodies of `BODIES`) and usage-recorded.json (every line
of the recorded vendor logs whose vendor the library knows).
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "data" / "vendor"
LOGS = ("vendor-calls.jsonl", "vendor-calls-1.14.0.jsonl")
FLAVOURS = {
    "/v1/chat/completions": ("openai", "chat", "gpt-4o"),
    "/v1/embeddings": ("openai", "embeddings", "text-embedding-3-small"),
    "/v1/messages": ("anthropic", "default", "claude-sonnet-4-6"),
}
"""Provider, form and a model the library knows, by path; the model changes nothing in what is read."""

FIELDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_reasoning_tokens",
)


def chat(given: int, written: int, read: int | None = None, reasoning: int | None = None, **more: Any) -> Any:
    """A Chat Completions usage."""
    usage: dict[str, Any] = {
        "prompt_tokens": given,
        "completion_tokens": written,
        "total_tokens": given + written,
        **more,
    }
    if read is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": read, **usage.get("prompt_tokens_details", {})}
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


ANTHROPIC = {
    "input_tokens": 41,
    "cache_creation_input_tokens": 2089,
    "cache_read_input_tokens": 16399,
    "cache_creation": {"ephemeral_5m_input_tokens": 2089, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 445,
    "output_tokens_details": {"thinking_tokens": 310},
}
RESPONSES = {
    "input_tokens": 75,
    "input_tokens_details": {"cached_tokens": 32, "cache_write_tokens": 11},
    "output_tokens": 1186,
    "output_tokens_details": {"reasoning_tokens": 1024},
    "total_tokens": 1261,
}
GEMINI = {
    "promptTokenCount": 1200,
    "cachedContentTokenCount": 1000,
    "candidatesTokenCount": 58,
    "thoughtsTokenCount": 862,
    "toolUsePromptTokenCount": 30,
    "totalTokenCount": 2150,
}
CONVERSE = {
    "inputTokens": 40,
    "outputTokens": 100,
    "totalTokens": 140,
    "cacheReadInputTokens": 1000,
    "cacheWriteInputTokens": 60,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 60}],
}
COHERE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 418.0},
    "tokens": {"input_tokens": 71.0, "output_tokens": 418.0},
    "cached_tokens": 64.0,
}
WRITES = {"prompt_tokens_details": {"cache_write_tokens": 50}}
XAI = {**chat(10120, 1499, 128, 2809), "total_tokens": 14428}

BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("openai", "chat", {"model": "gpt-5-mini", "usage": chat(2006, 300, 1920, 192, **WRITES)}),
    (
        "openai",
        "embeddings",
        {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8}},
    ),
    ("openai", "responses", {"model": "gpt-5", "usage": RESPONSES}),
    ("azure", "chat", {"model": "gpt-4o", "usage": chat(8, 1)}),
    ("azure", "responses", {"model": "gpt-5", "usage": RESPONSES}),
    ("azure", "anthropic", {"model": "claude-sonnet-4-6", "usage": ANTHROPIC}),
    ("anthropic", "default", {"model": "claude-sonnet-4-6", "usage": ANTHROPIC}),
    (
        "anthropic",
        "default",
        {"model": "claude-sonnet-4-6", "usage": {"input_tokens": 12, "output_tokens": 7}},
    ),
    ("anthropic", "chat", {"model": "claude-sonnet-4-6", "usage": {**chat(30, 9), "cached_tokens": 20}}),
    ("google", "default", {"modelVersion": "gemini-2.5-flash", "usageMetadata": GEMINI}),
    (
        "google",
        "default",
        {
            "modelVersion": "gemini-2.5-flash",
            "usageMetadata": {"promptTokenCount": 10, "thoughtsTokenCount": 40, "totalTokenCount": 50},
        },
    ),
    ("google", "anthropic", {"model": "claude-sonnet-4-6", "usage": ANTHROPIC}),
    ("google", "chat", {"model": "gemini-2.5-flash", "usage": chat(20, 30, 5, 25)}),
    ("aws", "default", {"usage": CONVERSE}),
    ("aws", "anthropic", {"model": "claude-sonnet-4-6", "usage": ANTHROPIC}),
    ("cohere", "tokens", {"usage": COHERE}),
    ("cohere", "embeddings", {"meta": {"billed_units": {"input_tokens": 6.0}}}),
    ("deepseek", "chat", {"model": "deepseek-chat", "usage": chat(100, 40, 64, 30)}),
    ("groq", "default", {"model": "llama-3.3-70b-versatile", "usage": chat(78, 70, 64, queue_time=0.02)}),
    ("mistral", "default", {"model": "mistral-large-latest", "usage": chat(5, 8, prompt_audio_seconds=0)}),
    ("x-ai", "chat", {"model": "grok-4", "usage": XAI}),
    ("x-ai", "responses", {"model": "grok-4", "usage": {**RESPONSES, "cost_in_usd_ticks": 1}}),
    ("moonshotai", "chat", {"model": "kimi-k2.5", "usage": chat(900, 10, 768)}),
    ("zhipuai", "chat", {"model": "glm-4-plus", "usage": chat(500, 90, 448, 70)}),
    ("openrouter", "chat", {"model": "openai/gpt-4o", "usage": chat(194, 2, 100, 0, cost=0.1, **WRITES)}),
    ("openrouter", "default", {"model": "openai/gpt-4o", "usage": RESPONSES}),
    ("fireworks", "chat", {"model": "accounts/fireworks/models/deepseek-v3p2", "usage": chat(11, 12, 4, 6)}),
]


def extracted(provider: str, flavour: str, body: dict[str, Any]) -> list[int]:
    """What genai-prices reads: input, output, cache read, cache write, reasoning. It says 0 for what is absent."""
    from genai_prices import extract_usage

    usage = extract_usage(body, provider_id=provider, api_flavor=flavour).usage
    return [int(getattr(usage, field)) for field in FIELDS]


def documented() -> dict[str, Any]:
    """The answers for the documented bodies."""
    answers = [
        {"provider": provider, "flavour": flavour, "body": body, "counts": extracted(provider, flavour, body)}
        for provider, flavour, body in BODIES
    ]
    return {"genai-prices": version("genai-prices"), "answers": answers}


def recorded(folder: Path) -> dict[str, Any]:
    """The answers for the recorded logs: file -> [line number, counts]."""
    answers: dict[str, list[Any]] = {}
    for name in LOGS:
        for text in (folder / name).read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line["usage"] and line["path"] in FLAVOURS:
                provider, flavour, model = FLAVOURS[line["path"]]
                counts = extracted(provider, flavour, {"model": model, "usage": line["usage"]})
                answers.setdefault(name, []).append([line["seq"], *counts])
    return {"genai-prices": version("genai-prices"), "answers": answers}


def write(name: str, answers: dict[str, Any]) -> None:
    """One answer a line, so that a change is easy to see."""
    text = (
        json.dumps(answers, separators=(",", ":")).replace("],[", "],\n[").replace('},{"prov', '},\n{"prov')
    )
    (DATA / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write("usage-genai-prices.json", documented())
    write("usage-recorded.json", recorded(Path(sys.argv[1])))
