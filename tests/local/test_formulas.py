"""Estimates of Dify's plugins, against numbers their own released code returned.

The expected numbers come from running dify_plugin 0.7.4 (`OAICompatLargeLanguageModel`) and the openai plugin's
token module of August 2026 on the same texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exporter.local.formulas import Formula, recognise_estimate
from exporter.model import Call

MakeCall = Callable[..., Call]

TERSE = "You are a terse assistant.\n"
TALK = (
    *("system", TERSE, "user", "请用三句话总结: what is an e-ink notepad?"),
    *("assistant", "A tablet.", "user", "And its price? 💶"),
)
PRICE = "It costs €299, 含税。"
SUPPORT = (
    "system",
    "You are a helpful support assistant of Aurora Devices.\n",
    "user",
    "How long is the warranty?",
)
WARRANTY = "The warranty covers parts and labour for twenty-four months."


@pytest.mark.parametrize(
    ("formula", "fields"),
    [
        (Formula.GPT2_FIRST_MESSAGE, {"prompt": TALK, "answer": PRICE, "recorded": (8, 12)}),
        (Formula.GPT2_ALL_MESSAGES, {"prompt": TALK, "answer": PRICE, "recorded": (62, 12)}),
        (
            Formula.FIVE_PER_CHARACTER,
            {
                "model": "step-1-8k",
                "prompt": ("system", TERSE, "user", "And the battery?"),
                "answer": "The battery lasts twelve hours.",
                "recorded": (141, 161),
            },
        ),
        (
            Formula.GPT2_FIRST_MESSAGE,
            {"prompt": ("system", ("abc " * 30_000)[:100_002]), "answer": PRICE, "recorded": (100_002, 12)},
        ),
        (
            Formula.GPT2_FIRST_MESSAGE,
            {"prompt": ("system", ("abc " * 30_000)[:99_999]), "answer": PRICE, "recorded": (49_999, 12)},
        ),
    ],
)
@pytest.mark.parametrize("provider", ["openai_api_compatible", "groq", "somebodys_plugin"])
def test_estimates_of_the_sdk_are_recognised(
    make_call: MakeCall, formula: Formula, fields: dict[str, Any], provider: str
) -> None:
    call = make_call(**{"model": "some-model", "provider": provider, **fields})
    assert recognise_estimate(call) is formula


@pytest.mark.parametrize("recorded", [(29, 11), (29, 19)])
def test_estimates_of_the_newer_openai_plugin_are_recognised(
    make_call: MakeCall, recorded: tuple[int, int]
) -> None:
    call = make_call(prompt=SUPPORT, answer=WARRANTY, recorded=recorded)
    assert recognise_estimate(call) is Formula.OPENAI_JOINED


def test_the_vendors_number_of_the_same_call_is_no_estimate(make_call: MakeCall) -> None:
    for output in (11, 12):
        assert recognise_estimate(make_call(prompt=SUPPORT, answer=WARRANTY, recorded=(27, output))) is None


def test_the_older_plugins_estimate_needs_both_numbers(make_call: MakeCall) -> None:
    estimated = make_call(prompt=SUPPORT, answer=WARRANTY, recorded=(27, 18))
    other_prompt = make_call(prompt=SUPPORT, answer=WARRANTY, recorded=(30, 18))
    assert recognise_estimate(estimated) is Formula.OPENAI_MESSAGES
    assert recognise_estimate(other_prompt) is None


def test_with_tools_in_the_prompt_the_completion_is_the_tell(make_call: MakeCall) -> None:
    call = make_call(prompt=SUPPORT, answer=WARRANTY, recorded=(120, 18), missing=("tool schemas",))
    assert recognise_estimate(call) is Formula.OPENAI_MESSAGES
    smaller = make_call(prompt=SUPPORT, answer=WARRANTY, recorded=(20, 18), missing=("tool schemas",))
    assert recognise_estimate(smaller) is None


def test_a_surplus_of_seven_proves_nothing_for_a_reasoning_model(make_call: MakeCall) -> None:
    assert (
        recognise_estimate(make_call(model="o3-mini", prompt=SUPPORT, answer=WARRANTY, recorded=(27, 18)))
        is None
    )


def test_azures_responses_streams_are_recognised_though_the_model_reasons(make_call: MakeCall) -> None:
    call = make_call(
        provider="azure_openai", model="gpt-5", prompt=SUPPORT, answer=WARRANTY, recorded=(27, 18)
    )
    assert recognise_estimate(call) is Formula.OPENAI_MESSAGES


def test_a_prompt_match_alone_is_enough_only_where_usage_depends_on_the_server(make_call: MakeCall) -> None:
    """A ReAct agent's stored answer is shorter than what was counted."""
    fields: dict[str, Any] = {"prompt": TALK, "answer": PRICE, "recorded": (8, 40), "model": "m"}
    assert (
        recognise_estimate(make_call(provider="openai_api_compatible", **fields))
        is Formula.GPT2_FIRST_MESSAGE
    )
    assert recognise_estimate(make_call(provider="ollama", **fields)) is None
    single = {**fields, "prompt": ("user", TERSE)}
    assert recognise_estimate(make_call(provider="openai_api_compatible", **single)) is None


@pytest.mark.parametrize("provider", ["anthropic", "tongyi", "hunyuan"])
def test_plugins_that_never_estimate_are_not_suspected(make_call: MakeCall, provider: str) -> None:
    call = make_call(provider=provider, model="m", prompt=TALK, answer=PRICE, recorded=(8, 12))
    assert recognise_estimate(call) is None
