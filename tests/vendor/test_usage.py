"""Every documented usage shape becomes one count: cached inside input, reasoning inside output, absent is None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Tokens
from exporter.vendor.usage import BadUsage, normalise
from tests.vendor import recorded_calls as recorded

OPENAI = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 192, "rejected_prediction_tokens": 0},
}
ANTHROPIC = {
    "input_tokens": 41,
    "cache_creation_input_tokens": 2089,
    "cache_read_input_tokens": 16399,
    "cache_creation": {"ephemeral_5m_input_tokens": 2089, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 445,
    "output_tokens_details": {"thinking_tokens": 310},
}
GEMINI = {
    "promptTokenCount": 1200,
    "cachedContentTokenCount": 1000,
    "candidatesTokenCount": 58,
    "thoughtsTokenCount": 862,
    "toolUsePromptTokenCount": 30,
    "totalTokenCount": 2150,
}
DASHSCOPE_COMPATIBLE = {
    "prompt_tokens": 18628,
    "completion_tokens": 344,
    "total_tokens": 18972,
    "prompt_tokens_details": {
        "text_tokens": 18628,
        "cached_tokens": 0,
        "cache_creation_input_tokens": 18613,
        "cache_type": "ephemeral",
    },
    "completion_tokens_details": {"reasoning_tokens": 170, "text_tokens": 174},
}

CASES: list[tuple[str, dict[str, Any], str | None, Tokens]] = [
    ("openai chat", OPENAI, "openai", Tokens(2006, 300, 1920, 0, 192)),
    ("openai chat by its keys", OPENAI, None, Tokens(2006, 300, 1920, 0, 192)),
    ("openai without details", {"prompt_tokens": 8, "completion_tokens": 1}, None, Tokens(8, 1)),
    ("openai embedding", {"prompt_tokens": 8, "total_tokens": 8}, None, Tokens(8, 0)),
    (
        "openai responses",
        {
            "input_tokens": 75,
            "input_tokens_details": {"cached_tokens": 32, "cache_write_tokens": 11},
            "output_tokens": 1186,
            "output_tokens_details": {"reasoning_tokens": 1024},
        },
        None,
        Tokens(75, 1186, 32, 11, 1024),
    ),
    ("anthropic adds its cache to the input", ANTHROPIC, None, Tokens(18529, 445, 16399, 2089, 310)),
    ("anthropic without cache keys", {"input_tokens": 12, "output_tokens": 7}, "anthropic", Tokens(12, 7)),
    (
        "anthropic compaction is billed beside the counters",
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "iterations": [
                {"type": "message", "input_tokens": 10, "output_tokens": 5},
                {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
            ],
        },
        "anthropic",
        Tokens(110, 25),
    ),
    ("gemini adds tool use and thoughts", GEMINI, None, Tokens(1230, 920, 1000, None, 862)),
    (
        "gemini candidates that already hold the thoughts",
        {"promptTokenCount": 10, "candidatesTokenCount": 50, "thoughtsTokenCount": 40, "totalTokenCount": 60},
        None,
        Tokens(10, 50, None, None, 40),
    ),
    (
        "dashscope native, parts are subsets",
        {
            "input_tokens": 3019,
            "output_tokens": 104,
            "total_tokens": 3123,
            "prompt_tokens_details": {"cached_tokens": 2048},
            "output_tokens_details": {"reasoning_tokens": 60, "text_tokens": 44},
        },
        "dashscope",
        Tokens(3019, 104, 2048, None, 60),
    ),
    (
        "dashscope compatible, cache creation is a subset",
        DASHSCOPE_COMPATIBLE,
        None,
        Tokens(18628, 344, 0, 18613, 170),
    ),
    (
        "dashscope spells cache creation one level deeper",
        {
            "prompt_tokens": 900,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cache_creation": {"cache_creation_input_tokens": 800}},
        },
        None,
        Tokens(900, 1, None, 800),
    ),
    (
        "hunyuan sends cached tokens as text",
        {
            "PromptTokens": 20,
            "CompletionTokens": 5,
            "TotalTokens": 25,
            "PromptTokensDetails": {"CachedTokens": "16"},
        },
        None,
        Tokens(20, 5, 16),
    ),
    ("hunyuan embedding", {"PromptTokens": 9, "TotalTokens": 9}, None, Tokens(9, 0)),
    (
        "deepseek hit and miss",
        {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "total_tokens": 140,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        None,
        Tokens(100, 40, 64, None, 30),
    ),
    (
        "bedrock converse adds its cache to the input",
        {
            "inputTokens": 100,
            "outputTokens": 50,
            "totalTokens": 150,
            "cacheReadInputTokens": 900,
            "cacheWriteInputTokens": 30,
        },
        None,
        Tokens(1030, 50, 900, 30),
    ),
    (
        "bedrock invocation log",
        {"inputTokenCount": 100, "outputTokenCount": 50, "cacheReadInputTokenCount": 7},
        None,
        Tokens(107, 50, 7),
    ),
    (
        "xai reports reasoning beside the completion",
        {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 130,
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        "xai",
        Tokens(10, 120, None, None, 100),
    ),
    (
        "moonshot has the cached count on top",
        {"prompt_tokens": 100, "completion_tokens": 2, "cached_tokens": 64},
        None,
        Tokens(100, 2, 64),
    ),
    (
        "cohere counts tokens, not billed units, in floats",
        {
            "billed_units": {"input_tokens": 5.0, "output_tokens": 4.0},
            "tokens": {"input_tokens": 71.0, "output_tokens": 4.0},
        },
        None,
        Tokens(71, 4),
    ),
    ("ollama", {"prompt_eval_count": 26, "eval_count": 298}, None, Tokens(26, 298)),
    ("rerank is all input", {"total_tokens": 275}, "rerank", Tokens(275, 0)),
    ("embeddings is all input", {"total_tokens": 13}, "embeddings", Tokens(13, 0)),
]


@pytest.mark.parametrize(
    ("usage", "shape", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_documented_usage_becomes_one_count(
    usage: dict[str, Any], shape: str | None, expected: Tokens
) -> None:
    assert normalise(usage, shape) == expected


@pytest.mark.parametrize(
    ("usage", "shape", "words"),
    [
        ({}, None, "no token count"),
        ({"total_tokens": 12}, None, "no token count"),
        ({"prompt_tokens": 1, "completion_tokens": 1}, "martian", "usage_shape is none of"),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": 1.5, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": True, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": "many", "completion_tokens": 1}, None, "usage.prompt_tokens is not a number"),
        ({"prompt_tokens": float("nan"), "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": 10**12, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": [1], "completion_tokens": 1}, None, "usage.prompt_tokens"),
    ],
)
def test_unusable_usage_is_refused_by_field_name(
    usage: dict[str, Any], shape: str | None, words: str
) -> None:
    with pytest.raises(BadUsage, match=words) as refused:
        normalise(usage, shape)
    assert "many" not in str(refused.value)


def test_exclusive_input_read_as_inclusive_is_refused() -> None:
    with pytest.raises(BadUsage, match="usage_shape does not fit"):
        normalise({"input_tokens": 41, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 16399}})


counts = st.integers(min_value=0, max_value=10**6)


@settings(deadline=None)
@given(fresh=counts, read=counts, written=counts, output=counts)
def test_the_same_request_counts_the_same_in_anthropic_and_openai_shape(
    fresh: int, read: int, written: int, output: int
) -> None:
    exclusive = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": output,
    }
    inclusive = {
        "prompt_tokens": fresh + read + written,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
    }
    assert normalise(exclusive) == normalise(inclusive)


@pytest.mark.parametrize(
    ("instance", "billed"),
    [
        (
            recorded.V1_12,
            Tokens(135_870, 14_129, cache_read=32_384 + 2 * 2_139, cache_write=2_139, reasoning=1_169),
        ),
        (
            recorded.V1_14,
            Tokens(399_196, 9_797, cache_read=30_720 + 2 * 2_139, cache_write=2_139, reasoning=611),
        ),
    ],
    ids=["1.12.1", "1.14.0"],
)
def test_all_recorded_requests_add_up_to_what_the_vendor_billed(
    shared: Path, instance: recorded.Instance, billed: Tokens
) -> None:
    counted = [call.tokens for call in recorded.evidence(shared, instance) if call.tokens]
    names = ("input", "output", "cache_read", "cache_write", "reasoning")
    assert Tokens(**{name: sum(getattr(tokens, name) or 0 for tokens in counted) for name in names}) == billed
