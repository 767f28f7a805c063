"""Whatever a vendor, a gateway or an enemy sends: counts that hold together, or a refusal that repeats nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Money, Tokens
from exporter.vendor.usage import (
    SHAPES,
    BadUsage,
    charges,
    guess_shape,
    normalise,
    usage_of_body,
    usage_of_stream,
)
from tests.vendor.usage.stream_examples import STREAMS
from tests.vendor.usage.usage_examples import EXAMPLES

WORST = "s3cret"
KEYS = sorted(
    {key for example in EXAMPLES for key in example.usage}
    | {key for stream in STREAMS for event in stream.events for key in event}
    | {
        "cached_tokens",
        "cache_creation",
        "iterations",
        "type",
        "delta",
        "message",
        "embedding",
        "data",
        "results",
    }
)
numbers = st.one_of(
    st.integers(-2, 300),
    st.integers(),
    st.floats(),
    st.just(10**4000),
    st.sampled_from([f"{WORST}1", "", "7", "1e400", "-3", "nan", "0x10", "٣", "1_000", " 5 "]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner, max_size=6),
    ),
    max_leaves=25,
)
objects = st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), values, max_size=8)
shapes = st.one_of(st.none(), st.sampled_from(sorted(SHAPES)))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A documented usage with some of its numbers replaced."""
    usage = json.loads(json.dumps(draw(st.sampled_from(EXAMPLES)).usage))
    places = [usage, *(value for value in usage.values() if isinstance(value, dict))]
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(places))
        if place:
            place[draw(st.sampled_from(sorted(place)))] = draw(values)
    return usage


def answer(ask: Callable[[], Tokens | Money | None]) -> Tokens | Money | None:
    """What is said, or None for a refusal that repeats nothing; any other exception is a failure."""
    try:
        return ask()
    except BadUsage as refused:
        words = str(refused)
    assert WORST not in words
    assert len(words) < 400
    return None


def assert_holds_together(tokens: Tokens) -> None:
    parts = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.reasoning)
    assert all(part is None or (type(part) is int and part >= 0) for part in parts)
    assert (tokens.cache_read or 0) + (tokens.cache_write or 0) <= (tokens.input or 0)
    assert (tokens.reasoning or 0) <= (tokens.output or 0)


@settings(deadline=None, max_examples=250)
@given(usage=st.one_of(objects, mutated()), shape=shapes)
def test_any_usage_becomes_a_count_that_holds_together_or_is_refused(
    usage: dict[str, Any], shape: str | None
) -> None:
    assert guess_shape(usage) in SHAPES
    tokens = answer(lambda: normalise(usage, shape))
    if isinstance(tokens, Tokens):
        assert_holds_together(tokens)


@settings(deadline=None, max_examples=200)
@given(usage=st.one_of(objects, mutated()))
def test_any_usage_states_a_cost_or_none_or_is_refused(usage: dict[str, Any]) -> None:
    money = answer(lambda: charges(usage))
    assert not isinstance(money, Money) or money.amount >= 0


events = st.one_of(
    values,
    objects,
    st.builds(lambda stream, usage: _with_usage(stream.events[-1], usage), st.sampled_from(STREAMS), objects),
    st.sampled_from([event for stream in STREAMS for event in stream.events]),
)


def _with_usage(event: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    return {key: usage if "usage" in key.lower() else value for key, value in event.items()}


@settings(deadline=None, max_examples=250)
@given(st.lists(events, max_size=8))
def test_any_events_give_a_result_whose_usage_is_counted_or_refused(chunks: list[Any]) -> None:
    result = usage_of_stream(chunks)
    assert usage_of_stream(chunks) == result or _has_nan(result.usage)
    if result.usage is None:
        assert not result.is_final
        return
    usage, shape = result.usage, result.shape
    tokens = answer(lambda: normalise(usage, shape))
    if isinstance(tokens, Tokens):
        assert_holds_together(tokens)


@settings(deadline=None, max_examples=200)
@given(values)
def test_any_body_gives_a_result(body: object) -> None:
    result = usage_of_body(body)
    assert result.is_final == (result.usage is not None)


def _has_nan(value: object) -> bool:
    return "NaN" in json.dumps(value)


counts = st.integers(min_value=0, max_value=10**6)


@settings(deadline=None)
@given(fresh=counts, read=counts, written=counts, output=counts)
def test_the_same_request_counts_the_same_in_every_language(
    fresh: int, read: int, written: int, output: int
) -> None:
    whole = fresh + read + written
    languages: list[dict[str, Any]] = [
        {
            "input_tokens": fresh,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": output,
        },
        {
            "prompt_tokens": whole,
            "completion_tokens": output,
            "total_tokens": whole + output,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        },
        {
            "input_tokens": whole,
            "output_tokens": output,
            "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        },
        {
            "input_tokens": whole,
            "output_tokens": output,
            "prompt_tokens_details": {"cached_tokens": read, "cache_creation_input_tokens": written},
        },
        {
            "inputTokens": fresh,
            "outputTokens": output,
            "cacheReadInputTokens": read,
            "cacheWriteInputTokens": written,
        },
    ]
    assert {normalise(usage) for usage in languages} == {Tokens(whole, output, read, written)}
