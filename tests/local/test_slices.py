"""Cutting long text: nothing lost, and the sum of the slices is the count of the whole."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local import claude
from exporter.local.slices import slices
from exporter.local.vocabulary import LOADERS, missing

WORDS = [
    "Hello",
    "l'été",
    "don't",
    "WORLD",
    "世界",
    "こんにちは",
    "한국어",
    "مرحبا",
    "v2",
    "3",
    "１２",
    "naïve",
    "हिन्दी",
    "½",
]
MARKS = [
    " ",
    " ",
    " ",
    ", ",
    ". ",
    ".",
    "\n",
    "\n\n",
    "\r\n",
    "  ",
    "\t",
    "、",
    "。",
    "/",
    " (",
    "-",
    "'",
    "\u3000",
    " 🎉 ",
]
UNSAFE_CUT_TOKENS = 4


LEADING_SPACE = ("llama2", "mistral_v1", "mistral_v2")
"""Vocabularies that put a space in front of every text, so that each slice may have one token more."""


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Callable[[str], int]]:
    """Those that cut safely. Claude's (ctok) are left out: they are slow, and only near anyway."""
    names = (name for name in LOADERS if missing(name) is None and name not in claude.VERSIONS)
    return {name: LOADERS[name]() for name in names}


prose = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(MARKS)), max_size=120).map(
    lambda pairs: "".join(word + mark for word, mark in pairs)
)


@given(text=st.one_of(prose, st.text(max_size=300)), limit=st.integers(2, 80))
@settings(max_examples=300, deadline=None)
def test_slices_are_the_text_in_order_and_within_the_limit(text: str, limit: int) -> None:
    cut = list(slices(text, limit))
    assert "".join(cut) == text
    assert all(len(piece) <= limit + 1 for piece in cut)


@given(text=prose, limit=st.integers(40, 80))
@settings(max_examples=150, deadline=None)
def test_prose_counts_the_same_in_slices(
    tokenizers: dict[str, Callable[[str], int]], text: str, limit: int
) -> None:
    cut = list(slices(text, limit))
    unsafe = sum(not _is_safe(left, right) for left, right in pairwise(cut))
    for name, tokenizer in tokenizers.items():
        apart = sum(map(tokenizer, cut)) - tokenizer(text)
        allowed = UNSAFE_CUT_TOKENS * unsafe + (len(cut) - 1 if name in LEADING_SPACE else 0)
        assert abs(apart) <= allowed, (name, cut)


@given(text=st.text(max_size=200), limit=st.integers(20, 60))
@settings(max_examples=150, deadline=None)
def test_any_text_is_off_by_no_more_than_a_few_tokens_per_cut(
    tokenizers: dict[str, Callable[[str], int]], text: str, limit: int
) -> None:
    cut = list(slices(text, limit))
    for name, tokenizer in tokenizers.items():
        apart = sum(map(tokenizer, cut)) - tokenizer(text)
        assert abs(apart) <= UNSAFE_CUT_TOKENS * (len(cut) - 1), (name, cut)


def _is_safe(left: str, right: str) -> bool:
    """Told independently of the module: between two words, or after a line break between two lines."""
    if left[-1].isalnum() and right[0] in " ,.;:!?，。；：！？、" and len(right) > 1:
        return right[1].isalpha()
    return len(left) > 1 and left[-1] == "\n" and not left[-2].isspace() and right[0].isalnum()
