"""Every vocabulary counts what two independent implementations agree on, and where they do not, it is known why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from exporter.local.vocabulary import LOADERS, count, missing

DATA = Path(__file__).parents[1] / "data" / "tokenizers"

AGREED = {
    "cl100k_base": ("cl100k_base", 203),
    "o200k_base": ("o200k_base", 203),
    "r50k_base": ("r50k_base", 203),
    "claude2": ("claude2", 201),
    "llama2": ("llama2", 203),
    "llama3": ("llama3", 203),
    "qwen": ("qwen", 201),
    "deepseek_v3": ("deepseek_v3", 201),
    "mistral_sp_32000": ("mistral_v1", 203),
    "mistral_sp_32768": ("mistral_v2", 203),
    "mistral_tekken": ("mistral_tekken", 203),
    "gemma2": ("gemma2", 198),
    "gemma3": ("gemma3", 200),
}
"""Name in the truth set → (our vocabulary, texts on which its two sources agree)."""

ONE_SOURCE = {
    "glm4": ("glm4", 0),
    "kimi_k2": ("kimi_k2", 0),
    "gemma4": ("gemma4", 0),
    "llama4": ("llama4", 0),
    "claude_v3_ctok": ("claude_v3", 7),
    "claude_v4_7_ctok": ("claude_v4_7", 11),
    "claude_v4_8_ctok": ("claude_v4_8", 6),
}
"""Name among the counts of one source → (our vocabulary, tokens of a frame that the count includes)."""

NOT_FLAGGED = "the other source takes a mark such as <think>, </s> or [INST] in a text for a special token"
HTML = "the other source takes HTML tags in a text for tokens of their own, so a page of HTML has fewer there"
SPACES = "a run of 64 or more spaces or line breaks is cut into tokens in another way"
NEWER_UNICODE = "NFKC of another version of Unicode"
DISAGREEMENTS = {
    ("qwen", "special-04"): ("a", NOT_FLAGGED),
    ("qwen", "special-20"): ("a", NOT_FLAGGED),
    ("deepseek_v3", "special-12"): ("a", NOT_FLAGGED),
    ("deepseek_v3", "special-13"): ("a", NOT_FLAGGED),
    ("claude2", "special-16"): ("a", NOT_FLAGGED),
    ("claude2", "rand-bmp-2k"): ("a", NEWER_UNICODE),
    ("gemma3", "code-04"): ("b", HTML),
    ("gemma3", "special-09"): ("b", NOT_FLAGGED),
    ("gemma3", "special-17"): ("b", NOT_FLAGGED),
    ("gemma2", "special-09"): ("b", NOT_FLAGGED),
    ("gemma2", "special-17"): ("b", NOT_FLAGGED),
    ("gemma2", "ws-04"): ("b", SPACES),
    ("gemma2", "ws-05"): ("b", SPACES),
    ("gemma2", "rep-sp-5000"): ("b", SPACES),
}
"""Every text on which the sources of a vocabulary differ: which of the two counts is ours, and why there are two."""


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def of(name: str, vocabulary: str) -> dict[str, int]:
    return {str(row["id"]): int(str(row["n"])) for row in rows(name) if row["family"] == vocabulary}


@pytest.mark.parametrize("name", AGREED)
def test_what_two_implementations_agree_on_is_counted_exactly(name: str, texts: dict[str, str]) -> None:
    vocabulary, agreed = AGREED[name]
    truth = of("counts.jsonl", name)
    assert len(truth) == agreed
    assert {text_id: count(vocabulary, texts[text_id]).tokens for text_id in truth} == truth


@pytest.mark.parametrize("name", [name for name in ONE_SOURCE if missing(ONE_SOURCE[name][0]) is None])
def test_counts_of_a_single_source_have_not_changed(name: str, texts: dict[str, str]) -> None:
    """Regression values, not truth. The frame is taken off; an empty text has no tokens of its own."""
    vocabulary, frame = ONE_SOURCE[name]
    known = {
        text_id: tokens - frame
        for text_id, tokens in of("single_source.jsonl", name).items()
        if texts[text_id]
    }
    assert len(known) == 202
    assert {text_id: count(vocabulary, texts[text_id]).tokens for text_id in known} == known


def test_every_disagreement_of_the_sources_is_known_with_its_reason(texts: dict[str, str]) -> None:
    found = {(str(row["family"]), str(row["id"])): row for row in rows("disagreements.jsonl")}
    assert found.keys() == DISAGREEMENTS.keys()
    for (name, text_id), (side, reason) in DISAGREEMENTS.items():
        vocabulary = AGREED[name][0]
        assert count(vocabulary, texts[text_id]).tokens == found[name, text_id][side], (name, text_id, reason)


def test_agreed_and_disagreed_texts_are_all_there_are(texts: dict[str, str]) -> None:
    apart = Counter(name for name, _ in DISAGREEMENTS)
    assert {name: agreed + apart[name] for name, (_, agreed) in AGREED.items()} == dict.fromkeys(
        AGREED, len(texts)
    )


def test_every_vocabulary_stands_before_a_truth_or_is_marked_as_single_source() -> None:
    proven = {vocabulary for vocabulary, _ in AGREED.values()}
    marked = {vocabulary for vocabulary, _ in ONE_SOURCE.values()}
    assert proven | marked == set(LOADERS)
    assert not proven & marked


def test_the_sources_of_every_count_are_named() -> None:
    sources = json.loads((DATA / "sources.json").read_text("utf-8"))
    assert {name: entry["agree"] for name, entry in sources["families"].items()} == {
        name: agreed for name, (_, agreed) in AGREED.items()
    }
    assert all(entry["a"] and entry["b"] for entry in sources["families"].values())
    assert ONE_SOURCE.keys() <= sources["single_source"].keys()
