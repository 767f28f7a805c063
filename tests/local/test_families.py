"""A model's name is enough to know how it counts, however a gateway spells it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.local import chat
from exporter.local.families import Reasoning, family
from exporter.local.vocabulary import LOADERS
from exporter.model import Accuracy


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("gpt-4-32k", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("GPT-4o", "o200k_base"),
        ("openai/gpt-4o", "o200k_base"),
        ("azure/gpt-4o-mini", "o200k_base"),
        ("openrouter/openai/gpt-4.1-nano", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:my-org:support:AbC123", "o200k_base"),
        ("ft:gpt-3.5-turbo:org::id", "cl100k_base"),
        ("gpt-3.5-turbo-instruct", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("text-embedding-ada-002", "cl100k_base"),
    ],
)
def test_openai_text_models_are_exact(model: str, vocabulary: str) -> None:
    found = family(model)
    assert (found.vocabulary, found.accuracy, found.error_pct) == (vocabulary, Accuracy.EXACT, 0.0)
    assert found.reasoning is Reasoning.NONE


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-instruct", "davinci-002", "text-embedding-3-large"])
def test_models_without_chat_have_no_frame(model: str) -> None:
    assert family(model).template == chat.PLAIN


@pytest.mark.parametrize(
    "model",
    ["o1", "o1-pro", "o3-mini", "o3-2025-04-16", "o4-mini", "gpt-5", "gpt-5-mini-2025-08-07", "gpt-5.4-nano"],
)
def test_openai_reasoning_models_are_counted_by_template_and_hide_reasoning(model: str) -> None:
    found = family(model)
    assert (found.vocabulary, found.accuracy) == ("o200k_base", Accuracy.TEMPLATE)
    assert (found.error_tokens, found.error_pct) == (5, 1.0)
    assert found.reasoning is Reasoning.HIDDEN


@pytest.mark.parametrize("model", ["gpt-5.1", "gpt-5.4-2026-03-05", "gpt-6-preview"])
def test_newer_openai_models_admit_a_hidden_prefix(model: str) -> None:
    found = family(model)
    assert found.accuracy is Accuracy.APPROXIMATE
    assert found.error_tokens == 100


@pytest.mark.parametrize("model", ["gpt-5-chat-latest", "gpt-5.2-chat-latest"])
def test_chat_variants_of_gpt_5_do_not_reason(model: str) -> None:
    assert (family(model).accuracy, family(model).reasoning) == (Accuracy.TEMPLATE, Reasoning.NONE)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-2.1", "claude-2"),
        ("claude-instant-1.2", "claude-2"),
        ("claude-3-5-sonnet-20240620", "claude-3"),
        ("claude-3.7-sonnet", "claude-3"),
        ("anthropic/claude-3.5-haiku", "claude-3"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-3"),
        ("claude-sonnet-4-5-20250929", "claude-3"),
        ("claude-haiku-4-5@20251001", "claude-3"),
        ("claude-opus-4-1-20250805", "claude-3"),
        ("claude-opus-4-6", "claude-3"),
        ("claude-opus-4-7", "claude-4.7"),
        ("claude-opus-4.8", "claude-4.7"),
        ("claude-sonnet-5", "claude-4.7"),
        ("claude-fable-5-1", "claude-4.7"),
        ("deepseek-chat", "deepseek"),
        ("deepseek-reasoner", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1"),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen"),
        ("qwen3:8b", "qwen"),
        ("models/gemini-2.5-pro", "gemini"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "llama"),
        ("mistral-large-latest", "mistral"),
        ("moonshot-v1-8k", "kimi"),
        ("us.amazon.nova-pro-v1:0", "other"),
    ],
)
def test_other_families_are_found_and_say_that_a_vocabulary_stands_in(model: str, name: str) -> None:
    found = family(model)
    assert found.name == name
    assert found.accuracy is Accuracy.APPROXIMATE
    assert found.error_pct >= 20
    assert found.note


@pytest.mark.parametrize(
    "model", ["grok-4", "x-ai/grok-4.5", "whisper-1", "gpt-4o-audio-preview", "dall-e-3"]
)
def test_what_nobody_can_recount_has_no_vocabulary_and_a_reason(model: str) -> None:
    found = family(model)
    assert (found.vocabulary, found.accuracy) == (None, Accuracy.NONE)
    assert found.note


def test_a_family_inside_a_deployments_name_is_a_guess() -> None:
    found = family("prod-gpt-4o-eu", "azure_openai")
    assert (found.vocabulary, found.accuracy) == ("o200k_base", Accuracy.APPROXIMATE)
    assert "guessed" in (found.note or "")


def test_the_provider_helps_where_the_name_says_nothing() -> None:
    assert family("my-model", "anthropic").name == "claude-3"
    assert "provider" in (family("my-model", "anthropic").note or "")
    assert family("my-model", "openai_api_compatible").name == "unknown"
    assert family("gpt-4o", "anthropic").name == "gpt-4o"


@pytest.mark.parametrize("model", [None, "", "whatever", "bge-reranker-v2"])
def test_an_unknown_model_is_approximate_with_a_stated_error(model: str | None) -> None:
    assert (family(model).name, family(model).accuracy, family(model).error_pct) == (
        "unknown",
        Accuracy.APPROXIMATE,
        30,
    )


@given(model=st.one_of(st.none(), st.text(max_size=80)), provider=st.one_of(st.none(), st.text(max_size=20)))
def test_any_name_gives_a_family_that_can_be_counted_or_says_why_not(
    model: str | None, provider: str | None
) -> None:
    found = family(model, provider)
    assert (found.vocabulary in LOADERS) != (found.accuracy is Accuracy.NONE)
    assert found.note or found.accuracy in (Accuracy.EXACT, Accuracy.TEMPLATE) or found.error_tokens
