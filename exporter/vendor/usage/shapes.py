"""One count from whatever usage object a vendor sends: `input` with cached tokens, `output` with reasoning tokens.

`SHAPES` names the readers by vendor; without a name, or where a vendor speaks another's language, the keys decide.
Absent stays None. A usage whose parts do not fit into its totals is refused, because it was read with the wrong shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.model import Tokens
from exporter.vendor.usage import exclusive, inclusive, native
from exporter.vendor.usage.numbers import BadUsage, Usage, count

Reader = Callable[[Usage], Tokens]


def normalise(usage: Usage, shape: str | None = None) -> Tokens:
    """The count in a usage object. `shape` names the vendor's form; without it the keys decide, and they also do when
    the named form finds nothing (Claude on Vertex, DashScope's compatible mode).

    Raises BadUsage for an unknown shape, a usage without any known count, numbers that cannot be counts, and parts
    that exceed their total.
    """
    by_keys = guess_shape(usage)
    name = shape or by_keys
    if name not in SHAPES:
        raise BadUsage(f"usage_shape is none of {', '.join(sorted(SHAPES))}")
    if by_keys == "anthropic" and any(usage.get(key) is not None for key in _ANTHROPIC_CACHE):
        name = (
            by_keys  # a vendor that speaks Anthropic's language; read as inclusive, the cache would be lost
        )
    tokens = SHAPES[name](usage)
    if _is_unknown(tokens):
        tokens = SHAPES[by_keys](usage)
    if _is_unknown(tokens) and not _is_billed_in_searches(usage):
        raise BadUsage("usage holds no token count of the shape it is read with")
    return _checked(tokens)


def guess_shape(usage: Usage) -> str:
    """The shape whose telling key is present.

    Shapes that share their keys count alike, so the first is as good: Chat Completions is written alike by a score of
    vendors, and plain `input_tokens` and `output_tokens` by Anthropic, Responses and DashScope, which agree as long as
    no key tells of a cache. A `total_tokens` alone has no shape: embeddings and rerank are known by their operation.
    """
    return next((shape for key, shape in _TELLING if usage.get(key) is not None), "openai")


def _checked(tokens: Tokens) -> Tokens:
    if (tokens.cache_read or 0) + (tokens.cache_write or 0) > (tokens.input or 0):
        raise BadUsage("cached tokens exceed the input; usage_shape does not fit")
    if (tokens.reasoning or 0) > (tokens.output or 0):
        raise BadUsage("reasoning tokens exceed the output; usage_shape does not fit")
    return tokens


def _is_unknown(tokens: Tokens) -> bool:
    return tokens.input is None and tokens.output is None


def _is_billed_in_searches(usage: Usage) -> bool:
    return count(usage, "billed_units", "search_units") is not None


SHAPES: Mapping[str, Reader] = {
    "openai": inclusive.chat_completions,
    "azure": inclusive.chat_completions,
    "mistral": inclusive.chat_completions,
    "groq": inclusive.chat_completions,
    "moonshot": inclusive.chat_completions,
    "zhipu": inclusive.chat_completions,
    "volcengine": inclusive.chat_completions,
    "openrouter": inclusive.chat_completions,
    "vllm": inclusive.chat_completions,
    "xai": inclusive.xai,
    "deepseek": inclusive.deepseek,
    "openai_responses": inclusive.responses,
    "responses": inclusive.responses,
    "dashscope": inclusive.responses,
    "anthropic": exclusive.anthropic,
    "bedrock": exclusive.bedrock,
    "gemini": native.gemini,
    "vertex_ai": native.gemini,
    "hunyuan": native.hunyuan,
    "cohere": native.cohere,
    "ollama": native.ollama,
    "jina": native.only_read,
    "voyage": native.only_read,
    "embeddings": native.only_read,
    "rerank": native.only_read,
}
"""How each shape is read, by the name a record gives in `usage_shape`."""

_ANTHROPIC_CACHE = ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation")
_TELLING = (
    ("promptTokenCount", "gemini"),
    ("candidatesTokenCount", "gemini"),
    ("PromptTokens", "hunyuan"),
    ("inputTokens", "bedrock"),
    ("outputTokens", "bedrock"),
    ("inputTokenCount", "bedrock"),
    ("outputTokenCount", "bedrock"),
    ("prompt_eval_count", "ollama"),
    ("eval_count", "ollama"),
    ("prompt_cache_hit_tokens", "deepseek"),
    ("billed_units", "cohere"),
    ("prompt_tokens", "openai"),
    ("input_tokens_details", "openai_responses"),
    ("x_details", "openai_responses"),
    *((key, "anthropic") for key in _ANTHROPIC_CACHE),
    ("prompt_tokens_details", "dashscope"),
    ("models", "dashscope"),
    ("total_tokens", "openai_responses"),  # Anthropic writes no total
    ("input_tokens", "anthropic"),
    ("output_tokens", "anthropic"),
    ("tokens", "cohere"),
    ("input", "bedrock"),
    ("output", "bedrock"),
)
"""Keys that tell the shape, the most telling first."""
