"""The operator's word on how a model counts wins over what its name tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import config
from exporter.errors import Misconfigured
from exporter.local import chat, mapping, table
from exporter.local.families import family
from exporter.local.mapping import Rule
from exporter.local.vocabulary import LOADERS
from exporter.model import Accuracy


@pytest.fixture(autouse=True)
def no_rules_are_left() -> Iterator[None]:
    yield
    mapping.use(())


def test_a_deployments_own_name_is_counted_as_the_settings_say() -> None:
    assert family("prod-chat-eu", "azure_openai").name == "unknown"
    mapping.use([Rule("prod-chat-*", family="gpt-4o", note="Azure, Sweden")])
    found = family("Prod-Chat-EU", "azure_openai")
    assert (found.name, found.accuracy, found.note) == (
        "gpt-4o",
        Accuracy.EXACT,
        "chosen in the settings: Azure, Sweden",
    )


def test_the_first_rule_that_matches_wins_also_over_a_known_name() -> None:
    mapping.use([Rule("gpt-4*", family="qwen-3"), Rule("gpt-4o", family="llama-3")])
    assert family("gpt-4o").name == "qwen-3"
    assert family("gpt-5").name == "gpt-5"


def test_taking_the_rules_away_gives_the_names_back() -> None:
    mapping.use([Rule("*", family="qwen-3")])
    assert family("gpt-4o").name == "qwen-3"
    mapping.use(())
    assert family("gpt-4o").name == "gpt-4o"


@pytest.mark.parametrize(
    ("tokenizer", "name", "vocabularies"),
    [
        ("OpenAiTokenizer", "gpt-4o", {"o200k_base"}),
        ("AnthropicTokenizer", "claude", {"claude_v4_8", "claude2"}),
        ("GeminiTokenizer", "gemini-2.5", {"gemma3"}),
        ("Llama3Tokenizer", "llama-3", {"llama3"}),
        ("MistralTokenizer", "mistral", {"mistral_tekken"}),
        ("QwenTokenizer", "qwen-3", {"qwen"}),
    ],
)
def test_every_name_of_difys_list_can_be_chosen_for_a_custom_model(
    tokenizer: str, name: str, vocabularies: set[str]
) -> None:
    mapping.use([Rule("our-model", tokenizer=tokenizer)])
    found = family("our-model")
    assert found.name == name
    assert found.vocabulary in vocabularies
    assert "chosen in the settings" in (found.note or "")


@pytest.mark.parametrize(
    ("model", "tokenizer", "name"),
    [
        ("claude-3-5-sonnet", "AnthropicTokenizer", "claude-3"),
        ("gpt-4", "OpenAiTokenizer", "gpt-4"),
        ("qwen2.5-7b-our-tune", "QwenTokenizer", "qwen-2.5"),
        ("mixtral-8x7b", "MistralTokenizer", "mistral-v1"),
        ("gpt-4", "QwenTokenizer", "qwen-3"),
        ("our-qwen2-tune", "QwenTokenizer", "qwen-2.5"),
    ],
)
def test_a_name_of_difys_list_leaves_the_version_that_the_model_tells(
    model: str, tokenizer: str, name: str
) -> None:
    mapping.use([Rule("*", tokenizer=tokenizer)])
    assert family(model).name == name
    assert "guessed" not in (family(model).note or "")


def test_a_vocabulary_can_be_chosen_by_its_own_name() -> None:
    mapping.use([Rule("our-model", tokenizer="kimi_k2", template="plain")])
    found = family("our-model")
    assert (found.vocabulary, found.template) == ("kimi_k2", chat.PLAIN)


def test_a_template_alone_changes_only_the_format() -> None:
    mapping.use([Rule("qwen3*", template="plain")])
    found = family("qwen3:8b")
    assert (found.name, found.vocabulary, found.template) == ("qwen-3", "qwen", chat.PLAIN)


def test_a_chosen_family_with_a_missing_extra_says_what_counts() -> None:
    mapping.use([Rule("our-llama", family="llama-4")])
    found = family("our-llama")
    assert (found.vocabulary == "llama4") or "dify-exporter[llama4]" in (found.note or "")


def test_every_vocabulary_of_a_model_can_be_chosen() -> None:
    """GPT-2's is there only to recognise what Dify estimated."""
    assert set(mapping.VOCABULARIES) == set(LOADERS) - {"r50k_base"}


@pytest.mark.parametrize("name", mapping.VOCABULARIES)
def test_a_vocabulary_goes_with_a_family_that_has_it(name: str) -> None:
    assert mapping.problem(Rule("x", tokenizer=name)) is None
    assert table.BY_NAME[mapping.VOCABULARIES[name]].vocabulary == name
    mapping.use([Rule("x", tokenizer=name)])
    found = family("x")
    assert found.vocabulary == name or "stands in" in (found.note or "")


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{match: x}", "one of family, tokenizer and template is needed"),
        ("{match: x, family: gpt-4o, tokenizer: QwenTokenizer}", "exclude each other"),
        ("{match: x, family: klingon}", "'klingon' is none of"),
        ("{match: x, tokenizer: KlingonTokenizer}", "MistralTokenizer"),
        ("{match: x, family: gpt-4o, template: klingon}", "chatml"),
        ("{match: '', family: gpt-4o}", "models"),
        ("{family: gpt-4o}", "match"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_start(tmp_path: Path, entry: str, complaint: str) -> None:
    file = tmp_path / "dify-exporter.yaml"
    file.write_text(f"models: [{entry}]\n")
    with pytest.raises(Misconfigured) as refused:
        config.load(file, {})
    assert complaint in str(refused.value)


def test_settings_become_rules(tmp_path: Path) -> None:
    file = tmp_path / "dify-exporter.yaml"
    file.write_text("models:\n- {match: our-*, tokenizer: QwenTokenizer, template: chatml, note: tuned}\n")
    (entry,) = config.load(file, {}).settings.models
    assert entry.rule() == Rule("our-*", None, "QwenTokenizer", "chatml", "tuned")
