"""Every documented usage shape becomes one count: cached inside input, reasoning inside output, absent is None."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.model import Tokens
from exporter.vendor.usage import SHAPES, BadUsage, guess_shape, normalise
from tests.vendor.usage.usage_examples import EXAMPLES, Example


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_documented_usage_becomes_one_count(example: Example) -> None:
    assert normalise(example.usage, example.shape) == example.tokens


@pytest.mark.parametrize(
    "example", [example for example in EXAMPLES if example.by_keys], ids=lambda example: example.title
)
def test_documented_usage_is_read_alike_without_its_vendor(example: Example) -> None:
    assert normalise(example.usage) == example.tokens


@pytest.mark.parametrize(
    "usage",
    [example.usage for example in EXAMPLES if "total_tokens" in example.usage and not example.by_keys],
)
def test_a_total_alone_is_never_split_by_guessing(usage: dict[str, Any]) -> None:
    """Only the operation tells that all of it was read; a chat's total could be anything."""
    with pytest.raises(BadUsage, match="no token count"):
        normalise({"total_tokens": usage["total_tokens"]})


def test_an_output_that_nobody_states_stays_unknown() -> None:
    assert normalise({"prompt_eval_count": 8}) == Tokens(8, None)


def test_every_vendor_name_has_an_example() -> None:
    aliases = {"responses", "rerank"}
    assert {example.shape for example in EXAMPLES} | aliases == set(SHAPES)


@pytest.mark.parametrize("shape", ["anthropic", "openai_responses", "dashscope"])
def test_plain_totals_count_alike_for_the_vendors_that_share_their_names(shape: str) -> None:
    usage = {"input_tokens": 12, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}}
    assert normalise(usage, shape) == normalise(usage) == Tokens(12, 7, reasoning=3)


def test_keys_that_a_client_library_filled_with_null_do_not_tell_a_shape() -> None:
    usage = {
        "input_tokens": 5,
        "output_tokens": 2,
        "cache_read_input_tokens": None,
        "prompt_tokens": None,
        "total_tokens": 7,
    }
    assert guess_shape(usage) == "openai_responses"
    assert normalise(usage) == Tokens(5, 2)


def test_zeros_of_another_language_beside_the_real_counts_are_ignored() -> None:
    """new-api writes both languages, the unused one with zeros."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": None,
    }
    assert normalise(usage) == Tokens(10, 5, 4)


@pytest.mark.parametrize(
    ("usage", "shape", "words"),
    [
        ({}, None, "no token count"),
        ({"total_tokens": 12}, None, "no token count"),
        ({"total_tokens": 12}, "openai", "no token count"),
        ({"iterations": 7}, "anthropic", "no token count"),
        ({"billed_units": {}}, "cohere", "no token count"),
        ({"prompt_tokens": 1, "completion_tokens": 1}, "martian", "usage_shape is none of"),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": 1.5, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": True, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": "many", "completion_tokens": 1}, None, "usage.prompt_tokens is not a number"),
        ({"prompt_tokens": "1e999999", "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": "sNaN", "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": float("nan"), "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": 10**12, "completion_tokens": 1}, None, "usage.prompt_tokens"),
        ({"prompt_tokens": [1], "completion_tokens": 1}, None, "usage.prompt_tokens"),
        (
            {"PromptTokens": 1, "CompletionTokens": 1, "PromptTokensDetails": {"CachedTokens": "a few"}},
            None,
            "usage.PromptTokensDetails.CachedTokens is not a number",
        ),
    ],
)
def test_unusable_usage_is_refused_by_field_name(
    usage: dict[str, Any], shape: str | None, words: str
) -> None:
    with pytest.raises(BadUsage, match=words) as refused:
        normalise(usage, shape)
    assert not any(value in str(refused.value) for value in ("many", "a few", "999999"))


def test_exclusive_input_read_as_inclusive_is_refused() -> None:
    with pytest.raises(BadUsage, match="usage_shape does not fit"):
        normalise({"input_tokens": 41, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 16399}})
