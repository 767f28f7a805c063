"""The known traps of vendor usage that a normaliser or a stream reader can fall into, one test each.

The numbers are those of the public reports: Dify #40752 and #20855, Roo-Code #1227, camel #4217, langchainjs #8694,
tensorzero #5481, litellm #13245, sub2api #5771, vllm #9357.
"""

from __future__ import annotations

from typing import Any

import pytest

from exporter.model import Tokens
from exporter.vendor.usage import BadUsage, normalise, usage_of_stream
from tests.vendor.usage.stream_examples import (
    ANTHROPIC,
    MESSAGE_DELTA,
    MESSAGE_START,
    chat_chunk,
    closing_chunk,
    counted,
    gemini_chunk,
)


def final(events: list[dict[str, Any]]) -> Tokens:
    result = usage_of_stream(events)
    assert result.is_final
    assert result.usage is not None
    return normalise(result.usage, result.shape)


def test_trap_1_stream_without_include_usage_is_unknown_and_not_zero() -> None:
    result = usage_of_stream([chat_chunk(), chat_chunk(finish="stop")])
    assert result.usage is None


def test_trap_2_usage_repeated_in_every_chunk_is_not_summed() -> None:
    events = [chat_chunk(counted(1000, written)) for written in range(1, 101)]
    assert final([*events, chat_chunk(counted(1000, 100), "stop")]) == Tokens(1000, 100)


def test_trap_2_counts_that_fall_are_increments_and_flagged() -> None:
    events = [chat_chunk(counted(10, written)) for written in (2, 1, 2)]
    result = usage_of_stream([*events, chat_chunk(counted(10, 1), "stop")])
    assert result.usage is not None
    assert normalise(result.usage, result.shape) == Tokens(10, 6)
    assert result.is_estimated


def test_trap_3_gemini_chunks_are_cumulative() -> None:
    chunks = [
        gemini_chunk(promptTokenCount=20, candidatesTokenCount=n, totalTokenCount=20 + n) for n in (8, 40)
    ]
    last = gemini_chunk("STOP", promptTokenCount=20, candidatesTokenCount=61, totalTokenCount=81)
    assert final([*chunks, last]) == Tokens(20, 61)


def test_trap_4_anthropic_start_and_delta_are_not_added() -> None:
    assert MESSAGE_START["message"]["usage"]["output_tokens"] == 1
    assert final(ANTHROPIC).output == MESSAGE_DELTA["usage"]["output_tokens"]


def test_trap_5_aborted_stream_is_never_final() -> None:
    whole = [chat_chunk(), chat_chunk(finish="stop"), closing_chunk(counted(10, 20))]
    assert not usage_of_stream(whole[:-1]).is_final
    assert not usage_of_stream(ANTHROPIC[:-2]).is_final
    assert not usage_of_stream([chat_chunk(counted(10, 3)), chat_chunk(counted(10, 4))]).is_final


@pytest.mark.parametrize(
    ("usage", "shape"),
    [
        ({"input_tokens": 41, "cache_read_input_tokens": 16399, "output_tokens": 1}, "anthropic"),
        (
            {"inputTokens": 41, "cacheReadInputTokens": 16399, "outputTokens": 1, "totalTokens": 42},
            "bedrock",
        ),
        ({"inputTokenCount": 41, "cacheReadInputTokenCount": 16399, "outputTokenCount": 1}, "bedrock"),
    ],
)
def test_trap_6_input_that_excludes_the_cache_is_completed(usage: dict[str, Any], shape: str) -> None:
    assert normalise(usage, shape) == normalise(usage) == Tokens(16440, 1, 16399)


def test_trap_6_dashscope_uses_anthropics_names_for_parts_of_the_input() -> None:
    details = {"cached_tokens": 0, "cache_creation_input_tokens": 18613}
    usage = {"prompt_tokens": 18628, "completion_tokens": 344, "prompt_tokens_details": details}
    assert normalise(usage) == Tokens(18628, 344, 0, 18613)


def test_trap_6_anthropic_counts_squeezed_into_openai_names_are_refused() -> None:
    """An input smaller than its cached part cannot include it; a wrong sum would be a wrong bill."""
    details = {"cached_tokens": 16399}
    with pytest.raises(BadUsage, match="cached tokens exceed the input"):
        normalise({"prompt_tokens": 41, "completion_tokens": 1, "prompt_tokens_details": details})


def test_trap_7_hidden_reasoning_is_told_as_a_part_so_that_a_recount_can_leave_it_out() -> None:
    tokens = normalise({**counted(30, 1200), "completion_tokens_details": {"reasoning_tokens": 1100}})
    assert (tokens.output, tokens.reasoning) == (1200, 1100)


def test_trap_8_gemini_candidates_that_hold_the_thoughts_are_told_by_the_total() -> None:
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 50, "thoughtsTokenCount": 40}
    assert normalise({**counts, "totalTokenCount": 60}).output == 50
    assert normalise({**counts, "totalTokenCount": 100}).output == 90


def test_trap_8_xai_reasoning_beside_the_completion_is_told_by_the_total() -> None:
    reasoning = {"completion_tokens_details": {"reasoning_tokens": 386}}
    beside = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 399, **reasoning}
    assert normalise(beside) == normalise(beside, "xai") == Tokens(12, 387, reasoning=386)
    inside = {"prompt_tokens": 12, "completion_tokens": 387, "total_tokens": 399, **reasoning}
    assert normalise(inside) == normalise(inside, "xai") == Tokens(12, 387, reasoning=386)


def test_trap_8_xai_without_a_total_adds_its_reasoning() -> None:
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "completion_tokens_details": {"reasoning_tokens": 386},
    }
    assert normalise(usage, "xai") == Tokens(12, 387, reasoning=386)


def test_trap_9_cohere_real_tokens_are_not_mixed_with_billed_units() -> None:
    usage = {
        "billed_units": {"input_tokens": 5, "output_tokens": 418},
        "tokens": {"input_tokens": 71, "output_tokens": 418},
    }
    assert normalise(usage) == Tokens(71, 418)


def test_trap_9_audio_images_and_provisioned_tokens_are_inside_the_input() -> None:
    details = {"audio_tokens": 100, "image_tokens": 200, "provisioned_tokens": 700}
    usage = {"prompt_tokens": 1000, "completion_tokens": 1, "prompt_tokens_details": details}
    assert normalise(usage) == Tokens(1000, 1)


def test_trap_10_error_body_has_no_usage() -> None:
    error = {"error": {"code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAI"}}}
    assert usage_of_stream([error]).usage is None


def test_trap_10_completion_cut_by_a_content_filter_has_usage() -> None:
    assert final([chat_chunk(finish="content_filter"), closing_chunk(counted(10, 3))]) == Tokens(10, 3)


def test_trap_13_a_stream_that_failed_over_to_another_model_is_never_called_exact() -> None:
    first = [chat_chunk(counted(10, written)) for written in (1, 2, 3)]
    second = [chat_chunk(counted(10, 1)), chat_chunk(counted(10, 2), "stop")]
    assert usage_of_stream([*first, *second]).is_estimated


def test_trap_16_counts_as_text_and_as_floats_are_the_same_numbers() -> None:
    text = {"prompt_tokens": "23", "completion_tokens": "8", "total_tokens": "31"}
    floats = {"prompt_tokens": 23.0, "completion_tokens": 8.0, "total_tokens": 31.0}
    assert normalise(text) == normalise(floats) == normalise(counted(23, 8)) == Tokens(23, 8)


def test_trap_16_a_part_of_a_token_is_no_count() -> None:
    with pytest.raises(BadUsage, match="prompt_tokens is not a possible token count"):
        normalise({"prompt_tokens": 22.5, "completion_tokens": 8})


def test_absent_parts_stay_unknown_and_are_never_zero() -> None:
    assert normalise(counted(23, 8)) == Tokens(23, 8, None, None, None)
    known = normalise({**counted(23, 8), "prompt_tokens_details": {"cached_tokens": 0}})
    assert (known.cache_read, known.cache_write) == (0, None)
