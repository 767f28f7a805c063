"""Pictures: what the vendors' own guides say of a size, and what no size may do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.local.images import Image, count_images, rule_of


def cost(model: str, width: int, height: int, detail: str | None = None) -> int:
    found = count_images(model, [Image(width, height, detail)])
    assert found.counted == 1
    return found.tokens


@pytest.mark.parametrize(
    ("model", "width", "height", "detail", "tokens"),
    [
        # OpenAI, "Images and vision": the worked examples of the guide
        ("gpt-4o", 1024, 1024, "high", 765),
        ("gpt-4o", 2048, 4096, "high", 1105),
        ("gpt-4o", 4096, 8192, "low", 85),
        ("gpt-4o", 512, 512, None, 255),
        ("openai/gpt-4.1", 1024, 1024, "auto", 765),
        ("gpt-4o-mini", 1024, 1024, "high", 2833 + 4 * 5667),
        ("gpt-4o-mini-2024-07-18", 4096, 8192, "low", 2833),
        ("o1", 1024, 1024, "high", 75 + 4 * 150),
        ("gpt-5", 1024, 1024, "high", 70 + 4 * 140),
        ("gpt-4.1-mini", 1024, 1024, None, 1659),
        ("gpt-4.1-mini", 1800, 2400, None, 2353),
        ("o4-mini", 1024, 1024, None, 1762),
        # Anthropic, "Vision": one token per 28 x 28 pixels; larger pictures are shrunk first
        ("claude-sonnet-4-5", 1000, 1000, None, 1296),
        ("claude-sonnet-4-5", 200, 200, None, 64),
        ("claude-opus-4-7", 2000, 1500, None, 72 * 54),
        # Google, "Image understanding"
        ("gemini-2.5-flash", 384, 384, None, 258),
        ("gemini-2.5-flash", 960, 540, None, 6 * 258),
        # Alibaba Cloud, "Visual understanding": cells of 28 x 28 and two marks
        ("qwen2.5-vl-72b-instruct", 280, 560, None, 202),
        ("qwen-vl-max", 28, 28, None, 6),
    ],
)
def test_a_size_costs_what_the_vendors_guide_says(
    model: str, width: int, height: int, detail: str | None, tokens: int
) -> None:
    assert cost(model, width, height, detail) == tokens


def test_the_older_rule_of_anthropics_guide_is_met_within_the_stated_error() -> None:
    for width, height, tokens in ((1000, 1000, 1334), (1092, 1092, 1590)):
        assert cost("claude-3-7-sonnet", width, height) == pytest.approx(tokens, rel=0.05)


def test_measured_pictures_of_claude_are_met_within_the_stated_error() -> None:
    """Large pictures, counted with Anthropic's API by a third party: 1,558 to 1,561 tokens with their question."""
    assert cost("claude-opus-4-6", 2576, 1704) == pytest.approx(1560, rel=0.05)


def test_a_picture_without_a_size_is_not_counted_but_low_detail_needs_none() -> None:
    assert count_images("gpt-4o", [Image(), Image(detail="low")]).counted == 1
    assert count_images("claude-opus-4-6", [Image(), Image(detail="low")]).counted == 0
    assert count_images("gpt-4o", [Image(0, 5), Image(5, -1), Image(10**9, 5)]).counted == 0


@pytest.mark.parametrize(
    "model", ["deepseek-chat", "grok-4", "gpt-3.5-turbo", "o3-mini", "an-unknown-model", ""]
)
def test_a_model_without_a_documented_rule_has_none(model: str) -> None:
    assert rule_of(model) is None


CAPS = {
    "gpt-4o": 85 + 8 * 170,
    "gpt-4.1-mini": 2489,
    "claude-sonnet-4-5": 1568,
    "claude-opus-4-8": 4784,
    "qwen3-vl-plus": 2562,
    "qwen-vl-max": 1282,
}


@given(
    model=st.sampled_from(sorted(CAPS)),
    width=st.integers(1, 1_000_000),
    height=st.integers(1, 1_000_000),
)
def test_no_size_costs_nothing_or_more_than_the_model_can_take(model: str, width: int, height: int) -> None:
    assert 1 <= cost(model, width, height) <= CAPS[model]
    assert cost(model, width, height) > 0


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_turning_a_picture_changes_nothing(width: int, height: int) -> None:
    for model in ("gpt-4o", "gpt-4.1-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "qwen-vl-max"):
        assert cost(model, width, height) == cost(model, height, width)
