"""The one table of findings is complete, plain, and used up by the rules and their tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.compare.catalog import ESTIMATE_RULES, FINDINGS, Level, Words
from exporter.compare.wording import listed, rule_words, split
from exporter.local.estimates import Rule

HERE = Path(__file__).parent
RULES = Path(__file__).parents[2] / "exporter" / "compare"


def sources(folder: Path, *without: str) -> str:
    return "\n".join(
        path.read_text("utf-8") for path in sorted(folder.glob("*.py")) if path.name not in without
    )


@pytest.mark.parametrize(("code", "words"), FINDINGS.items(), ids=list(FINDINGS))
def test_every_row_is_written_for_people(code: str, words: Words) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", code)
    assert 2 <= len(words.title.split()) <= 5
    for sentence in filter(None, (words.means, words.evidence, words.advice, words.unseen)):
        assert sentence[0].isupper() or sentence[0] == "{"
        assert sentence.endswith(".")
        assert "|" not in sentence
        assert "  " not in sentence
    assert "{" not in words.means + words.advice
    assert set(re.findall(r"{(\w+)}", words.unseen)) <= {
        "kept",
        "why",
        "total",
        "recorded",
        "rule",
        "counter",
    }


def test_titles_are_told_apart() -> None:
    assert len({words.title for words in FINDINGS.values()}) == len(FINDINGS)


def test_every_code_is_found_by_a_rule_and_proved_by_a_test() -> None:
    rules, tests = sources(RULES, "catalog.py"), sources(HERE)
    assert [code for code in FINDINGS if f'"{code}"' not in rules] == []
    assert [code for code in FINDINGS if f'"{code}"' not in tests] == []


def test_no_rule_names_a_code_that_the_table_lacks() -> None:
    named = set(
        re.findall(r'(?:finding\(\s*|return |: )"([a-z]+(?:_[a-z]+)+)"', sources(RULES, "catalog.py"))
    )
    assert "retry_billed" in named
    assert named - set(FINDINGS) == set()


def test_there_are_few_enough_codes_for_a_metric_label() -> None:
    assert len([code for code, words in FINDINGS.items() if words.level is Level.CALL]) <= 50


def test_every_rule_of_an_estimate_has_its_words() -> None:
    assert set(ESTIMATE_RULES) == {*Rule, "unknown"}
    assert rule_words(Rule.OPENAI_MESSAGES, "o200k_base").startswith("tiktoken (o200k_base)")
    assert all("{" not in rule_words(rule, "o200k_base") for rule in (*Rule, None))


def test_lists_and_numbers_read_like_prose() -> None:
    assert [listed(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert split(12, None) == "12 + ? tokens"
