"""Vendors with words of their own: Google, Tencent Hunyuan, Cohere, Ollama, and requests that only read."""

from __future__ import annotations

from exporter.model import Tokens
from exporter.vendor.usage.numbers import Usage, count, first, part, total


def gemini(usage: Usage) -> Tokens:
    """Gemini and Vertex (API reference, UsageMetadata): the prompt includes cached content, tool-use tokens lie outside
    it, thoughts outside the candidates. Some surfaces write candidates that hold the thoughts; then the total, which is
    the sum of all parts, shows it (the test LiteLLM uses). Zeros are left out of the JSON, the total tells them."""
    prompt = total(count(usage, "promptTokenCount"), count(usage, "toolUsePromptTokenCount"))
    candidates, thoughts = count(usage, "candidatesTokenCount"), count(usage, "thoughtsTokenCount")
    whole = count(usage, "totalTokenCount")
    output = total(candidates, thoughts)
    if candidates is not None and whole == total(prompt, candidates):
        output = candidates
    if output is None and prompt is not None and whole == prompt:
        output = 0
    return Tokens(
        input=prompt, output=output, cache_read=count(usage, "cachedContentTokenCount"), reasoning=thoughts
    )


def hunyuan(usage: Usage) -> Tokens:
    """Tencent Hunyuan's native form (API 2023-09-01, Usage); its SDK types `CachedTokens` as text. Embeddings have no
    completion, and their total says so."""
    given, output = count(usage, "PromptTokens"), count(usage, "CompletionTokens")
    if output is None and given is not None and count(usage, "TotalTokens") == given:
        output = 0
    return Tokens(input=given, output=output, cache_read=count(usage, "PromptTokensDetails", "CachedTokens"))


def cohere(usage: Usage) -> Tokens:
    """Cohere (API reference, Usage and ApiMeta): `tokens` is what the model read and wrote. `billed_units` leaves the
    prompt scaffolding out and serves only where `tokens` is absent (embeddings, which write nothing). Rerank is billed
    in searches and has no tokens, which is an answer, not damage."""
    where = "tokens" if part(usage, "tokens") else "billed_units"
    given, output = count(usage, where, "input_tokens"), count(usage, where, "output_tokens")
    if output is None and given is not None and where == "billed_units":
        output = 0
    return Tokens(input=given, output=output, cache_read=count(usage, "cached_tokens"))


def ollama(usage: Usage) -> Tokens:
    """Ollama (API reference): the counts beside the answer; no cache, no reasoning. Old versions leave the input out
    when their prompt cache answered it, and it stays unknown."""
    return Tokens(input=count(usage, "prompt_eval_count"), output=count(usage, "eval_count"))


def only_read(usage: Usage) -> Tokens:
    """Embeddings and rerank (OpenAI, Jina, Voyage, DashScope, Hunyuan, Gemini, Ollama): one number, all of it read,
    nothing written. Only the operation can tell this shape: a total alone could be anything."""
    whole = first(*(count(usage, name) for name in _READ))
    return Tokens(input=whole, output=None if whole is None else 0)


_READ = (
    "prompt_tokens",
    "input_tokens",
    "PromptTokens",
    "promptTokenCount",
    "prompt_eval_count",
    "total_tokens",
    "TotalTokens",
)
