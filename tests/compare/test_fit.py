"""The tokenizer that gives Dify's number is named; the counts are those of two independent implementations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.compare.fit import fitting
from exporter.model import Accuracy, Call, Confidence, DifyKind, LocalReading, Tokens, Verdict
from tests.compare.judged_calls import attempt, call, codes, dify, judged, only, texts, vendor

DATA = Path(__file__).parents[1] / "data" / "tokenizers"
TEXTS = {
    row["id"]: row["text"] for row in map(json.loads, (DATA / "texts.jsonl").read_text("utf-8").splitlines())
}
COUNTS = {
    (row["id"], row["family"]): row["n"]
    for row in map(json.loads, (DATA / "counts.jsonl").read_text("utf-8").splitlines())
}
SYSTEM, USER, ANSWER, LARGE = "en-09", "zh-03", "zh-09", "en-para-3"
NAMES = {
    "r50k_base": "GPT-2 (r50k_base)",
    "cl100k_base": "tiktoken's cl100k_base",
    "o200k_base": "tiktoken's o200k_base",
}


def kept(**changes: object) -> Call:
    """A call of a model whose own tokenizer is none of the tried ones."""
    chosen = {"model": "qwen-plus", "provider": "tongyi", **changes}
    return call(**chosen, **texts(TEXTS[SYSTEM], TEXTS[USER], answer=TEXTS[ANSWER]))


def counted(family: str) -> tuple[int, int]:
    return COUNTS[SYSTEM, family] + COUNTS[USER, family], COUNTS[ANSWER, family]


@pytest.mark.parametrize("family", NAMES)
def test_the_tokenizer_that_gives_both_numbers_is_named(family: str) -> None:
    recorded = counted(family)
    found = judged(kept(), dify(*recorded), vendor(attempt(300, 200)))
    assert codes(found) == [("wrong_tokenizer", 300 - recorded[0], 200 - recorded[1])]
    assert (found.verdict, only(found).confidence) == (Verdict.EXPLAINED, Confidence.LIKELY)
    assert NAMES[family] in only(found).evidence


@pytest.mark.parametrize(
    ("first", "framing"), [(True, 0), (False, 3 + 2 * 4)], ids=["first message", "chat form"]
)
def test_the_first_message_alone_and_the_chat_form_are_tried_too(first: bool, framing: int) -> None:
    given = COUNTS[SYSTEM, "cl100k_base"] if first else counted("cl100k_base")[0] + framing
    fit = fitting(kept(), (given, COUNTS[ANSWER, "cl100k_base"]))
    assert fit is not None
    assert (fit.counter, fit.both) == (NAMES["cl100k_base"], True)


def test_characters_taken_for_tokens_are_named() -> None:
    about = kept()
    given = len(TEXTS[SYSTEM]) + len(TEXTS[USER])
    found = judged(about, dify(given, len(TEXTS[ANSWER])), vendor(attempt(300, 200)))
    assert "the number of characters" in only(found).evidence


def test_one_number_alone_only_counts_beside_the_vendor_s_and_when_it_is_large() -> None:
    large = call(model="qwen-plus", provider="tongyi", **texts(TEXTS[LARGE], answer="Yes."))
    given = COUNTS[LARGE, "r50k_base"]
    fit = fitting(large, (given, 2_000), (False, True))
    assert fit is not None
    assert (fit.counter, fit.both) == (NAMES["r50k_base"], False)
    found = judged(large, dify(given, 2_000), vendor(attempt(3_000, 2_000)))
    assert (codes(found), only(found).confidence) == (
        [("wrong_tokenizer", 3_000 - given, 0)],
        Confidence.POSSIBLE,
    )
    assert fitting(large, (given, 2_000)) is None
    assert fitting(kept(), (counted("cl100k_base")[0], 2_000), (False, True)) is None  # too small


def test_the_model_s_own_tokenizer_is_never_the_wrong_one() -> None:
    own = kept(model="gpt-4o", provider="openai")
    assert fitting(own, counted("o200k_base")) is None
    assert judged(own, dify(*counted("o200k_base")), vendor(attempt(300, 200))).findings == ()
    assert fitting(own, counted("cl100k_base")) is not None


def test_a_number_that_nothing_gives_stays_unexplained() -> None:
    given, written = counted("cl100k_base")
    found = judged(kept(), dify(given + 5, written), vendor(attempt(300, 200)))
    assert (found.verdict, found.findings) == (Verdict.UNEXPLAINED, ())


def test_without_vendor_evidence_the_fit_stands_beside_the_difference() -> None:
    own = LocalReading(Tokens(900, 7), "qwen3", Accuracy.EXACT, 0.0)
    found = judged(kept(), dify(*counted("r50k_base"), DifyKind.UNKNOWN), None, own)
    assert [item.code for item in found.findings] == ["local_differs", "wrong_tokenizer"]
    assert NAMES["r50k_base"] in found.findings[1].evidence


def test_a_very_long_prompt_is_not_tried() -> None:
    long = call(model="qwen-plus", **texts("a" * 1_000_001, answer="yes"))
    assert fitting(long, (1_000_001, 3)) is None
