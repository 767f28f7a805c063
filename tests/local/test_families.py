"""A model's name is enough to know how it counts, however a gateway spells it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
        ("anthropic.claude-v2:1", "claude-2"),
        ("claude-instant-1.2", "claude-2"),
        ("claude-3-5-sonnet-20240620", "claude-3"),
        ("claude-3-7-sonnet@20250219", "claude-3"),
        ("claude-3.7-sonnet", "claude-3"),
        ("anthropic/claude-3.5-haiku:beta", "claude-3"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-3"),
        ("claude-sonnet-4-5-20250929", "claude-3"),
        ("claude-haiku-4-5@20251001", "claude-3"),
        ("claude-opus-4-1-20250805", "claude-3"),
        ("claude-opus-4-6", "claude-3"),
        ("databricks-claude-3-7-sonnet", "claude-3"),
        ("claude-opus-4-7", "claude-4.7"),
        ("global.anthropic.claude-opus-4-7-v1:0", "claude-4.7"),
        ("claude-opus-4.8", "claude-4.8"),
        ("claude-opus-4-10", "claude-4.8"),
        ("claude-sonnet-5", "claude-4.8"),
        ("claude-fable-5-1", "claude-4.8"),
        ("claude", "claude"),
        ("gemini-1.5-pro-002", "gemini-1"),
        ("gemini-2.0-flash", "gemini-2"),
        ("models/gemini-2.5-pro", "gemini-2.5"),
        ("publishers/google/models/gemini-2.5-flash", "gemini-2.5"),
        ("gemini-3-pro-preview", "gemini-2.5"),
        ("gemini-3.1-pro", "gemini-3.1"),
        ("gemma3:27b", "gemma-3"),
        ("google/gemma-2-9b-it", "gemma-2"),
        ("deepseek-chat", "deepseek"),
        ("DeepSeek-V3-250324", "deepseek"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-3.1"),
        ("deepseek-v4", "deepseek-4"),
        ("deepseek-reasoner", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1-qwen"),
        ("deepseek-r1:70b", "deepseek-r1-llama"),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen-2.5"),
        ("qwen2.5vl:7b", "qwen-2.5-vl"),
        ("qwen3:8b", "qwen-3"),
        ("Qwen3-235B-A22B-Thinking-2507", "qwen-3-thinking"),
        ("qwen3.5-plus", "qwen-3.5"),
        ("qwen-max-latest", "qwen"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "llama-3"),
        ("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", "llama-3"),
        ("@cf/meta/llama-3-8b-instruct", "llama-3"),
        ("meta.llama4-maverick-17b-instruct-v1:0", "llama-4"),
        ("llama2:13b", "llama-2"),
        ("open-mistral-7b", "mistral-v1"),
        ("ft:open-mistral-7b:org:id", "mistral-v1"),
        ("open-mixtral-8x22b", "mistral-v3"),
        ("mistral-large-2411", "mistral-large-2411"),
        ("open-mistral-nemo", "mistral-nemo"),
        ("mistral-large-latest", "mistral"),
        ("glm-4-plus", "glm-4"),
        ("glm-4.6", "glm-4.6"),
        ("kimi-k2-0905-preview", "kimi-k2"),
        ("moonshot-v1-8k", "kimi"),
        ("command-r-plus", "command-r"),
        ("grok-3-mini", "grok"),
        ("x-ai/grok-4.5", "grok-4"),
        ("us.amazon.nova-pro-v1:0", "nova"),
        ("hunyuan-turbos-latest", "hunyuan"),
        ("ernie-4.0-8k", "ernie"),
        ("doubao-1.5-pro-32k", "doubao"),
        ("MiniMax-M2", "minimax"),
        ("gpt-oss:20b", "gpt-oss"),
        ("gpt-4o-2024-08-06.ft-0e208cf33a6a466994aff31a08aba678", "gpt-4o"),
        ("openrouter/openai/gpt-4o:free", "gpt-4o"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3",
        ),
    ],
)
def test_a_name_tells_its_family_however_a_gateway_spells_it(model: str, name: str) -> None:
    assert family(model).name == name


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("claude-2.1", "claude2"),
        ("gemini-1.5-pro", "gemma2"),
        ("gemini-2.5-flash", "gemma3"),
        ("gemini-3.1-pro", "gemma4"),
        ("llama-2-70b-chat", "llama2"),
        ("llama-3.3-70b-instruct", "llama3"),
        ("mixtral-8x7b-instruct", "mistral_v1"),
        ("codestral-2405", "mistral_v2"),
        ("mistral-small-2506", "mistral_tekken"),
        ("qwen2.5-7b-instruct", "qwen"),
        ("deepseek-v3", "deepseek_v3"),
        ("glm-4-air", "glm4"),
        ("kimi-k2-instruct", "kimi_k2"),
    ],
)
def test_models_with_a_published_vocabulary_are_counted_in_it(model: str, vocabulary: str) -> None:
    found = family(model)
    assert (found.vocabulary, found.accuracy, found.scale) == (vocabulary, Accuracy.TEMPLATE, 1.0)
    assert found.error_pct == 1.0
    assert found.error_tokens > 0


@pytest.mark.parametrize("model", ["glm-4", "kimi-k2", "gemini-3.1-pro"])
def test_a_vocabulary_from_one_source_says_so(model: str) -> None:
    assert "one source" in (family(model).note or "")


@pytest.mark.parametrize(
    "model",
    [
        "hunyuan-pro",
        "doubao-pro",
        "ernie-bot",
        "minimax-text-01",
        "grok-3",
        "nova-lite",
        "deepseek-v4",
        "qwen-plus",
    ],
)
def test_what_has_no_known_vocabulary_is_approximate_with_a_stated_error(model: str) -> None:
    found = family(model)
    assert found.accuracy is Accuracy.APPROXIMATE
    assert found.error_pct >= 20
    assert "counted with" in (found.note or "")


def test_claude_is_near_where_its_package_is_installed(tmp_path: Path) -> None:
    """A package of that name is enough: what it counts is proven with the real one, on Python 3.12 and later."""
    (tmp_path / "ctok.py").write_text("")
    program = (
        "from exporter.local.families import family\n"
        "for model in ('claude-3-haiku', 'claude-opus-4-7', 'claude-sonnet-5'):\n"
        "    found = family(model)\n"
        "    print(found.vocabulary, found.accuracy, found.error_pct, found.scale, found.note)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "claude_v3 near 2.0 1.0 None",
        "claude_v4_7 near 2.0 1.0 None",
        "claude_v4_8 near 2.0 1.0 None",
    ]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-audio-preview", "dall-e-3"])
def test_what_is_billed_by_media_has_no_vocabulary_and_a_reason(model: str) -> None:
    found = family(model)
    assert (found.vocabulary, found.accuracy) == (None, Accuracy.NONE)
    assert found.note


def test_grok_4_admits_its_hidden_prompts() -> None:
    assert family("grok-4").error_tokens == 700
    assert "hidden prompts" in (family("grok-4").note or "")


def test_a_family_inside_a_deployments_name_is_a_guess() -> None:
    found = family("prod-gpt-4o-eu", "azure_openai")
    assert (found.vocabulary, found.accuracy) == ("o200k_base", Accuracy.APPROXIMATE)
    assert "guessed" in (found.note or "")


def test_the_provider_helps_where_the_name_says_nothing() -> None:
    assert family("my-model", "anthropic").name == "claude"
    assert "provider" in (family("my-model", "anthropic").note or "")
    assert family("my-model", "openai_api_compatible").name == "unknown"
    assert family("gpt-4o", "anthropic").name == "gpt-4o"


@pytest.mark.parametrize("model", [None, "", "whatever", "bge-reranker-v2"])
def test_an_unknown_model_is_approximate_with_a_stated_error(model: str | None) -> None:
    assert (family(model).name, family(model).accuracy, family(model).error_pct) == (
        "unknown",
        Accuracy.APPROXIMATE,
        35,
    )


@given(model=st.one_of(st.none(), st.text(max_size=80)), provider=st.one_of(st.none(), st.text(max_size=20)))
def test_any_name_gives_a_family_that_can_be_counted_or_says_why_not(
    model: str | None, provider: str | None
) -> None:
    found = family(model, provider)
    assert (found.vocabulary in LOADERS) != (found.accuracy is Accuracy.NONE)
    assert found.note or found.accuracy is not Accuracy.APPROXIMATE or found.error_tokens
    assert family(model, provider) is found
