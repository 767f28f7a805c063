"""The fast engine may count OpenAI's vocabularies because it counts them as tiktoken does, whatever the text."""

from __future__ import annotations

from collections.abc import Callable
from unicodedata import normalize

import pytest
import splintr
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local import bpe, bundled

PIECES = [
    "Hello", "HELLO", "hello", "don't", "x'LL", "it'S", "they're", "'s", "'S", "'ſ", "’s", "ſ", "ǅ", "ʰ", "º", "ß", "İ",
    "世界", "こんにちは", "한국어", "مرحبا", "हिन्दी", "ไทย", "שלום", "e\u0301", "\u0301", "\u0301" * 5, "👨‍👩‍👧", "🇩🇪", "①", "½",
    "1", "12", "123", "1234", "１２３", "٣", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\r", " \n ", "\u00a0", "\u3000",
    "\u2028", "\u0085", "\u200b", "\ufeff", "\x0b", "\x0c", "\0", "<|endoftext|>", "<|im_start|>", "<|think|>", "<|plan|>",
    "[INST]", "<think>", "</s>", "/", "//", "...", "—", "!!!", "_", "def f(x):\n    return x", '{"a": [1, 2]}', "http://a.b/c?d=e",
]  # fmt: skip

mixed = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.tuples(st.sampled_from(PIECES), st.integers(2, 300)).map(lambda pair: pair[0] * pair[1]),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    ),
    max_size=30,
).map("".join)


@pytest.fixture(scope="module")
def engines() -> dict[str, tuple[Callable[[str], int], Callable[[str], int]]]:
    """Vocabulary → (reference, what counts)."""
    return {name: (bpe.load(name), bundled.load_openai(name)) for name in bundled.OPENAI}


Engines = dict[str, tuple[Callable[[str], int], Callable[[str], int]]]


@given(text=mixed)
@settings(max_examples=500, deadline=None)
def test_random_text_in_mixed_scripts_counts_as_in_tiktoken(engines: Engines, text: str) -> None:
    for name, (reference, counted) in engines.items():
        assert counted(text) == reference(text), name


def test_every_character_counts_as_in_tiktoken(engines: Engines) -> None:
    """Each stands between letters of both cases, spaces, digits, an apostrophe and line breaks. Planes that Unicode has
    not begun to fill are left out."""
    for first in (*range(0, 0x33000, 64), *range(0xE0000, 0xE0200, 64), 0xF0000, 0x10FFC0):
        characters = [chr(code) for code in range(first, first + 64) if not 0xD800 <= code < 0xE000]
        text = "".join(f"a{c}B {c}1{c}\n{c} \n{c}'{c}s{c}  x" for c in characters)
        for name, (reference, counted) in engines.items():
            assert counted(text) == reference(text), (name, hex(first))


@pytest.mark.parametrize("piece", ["a", " ", "\n", "世", "\u0301", "-", "1", "é", "ab", "\t ", "字\n", "X"])
@pytest.mark.parametrize("times", [1, 2, 127, 128, 129, 499, 500, 501, 512, 4096, 50_000])
def test_long_repeats_count_as_in_tiktoken(engines: Engines, piece: str, times: int) -> None:
    for name, (reference, counted) in engines.items():
        assert counted(piece * times) == reference(piece * times), name


def test_the_engines_differ_in_the_long_s_which_therefore_goes_to_tiktoken(engines: Engines) -> None:
    """Where splintr starts to agree, the detour can go."""
    text = "x''ſ'ſ'LLe"
    reference, counted = engines["o200k_base"]
    alone = len(splintr.Tokenizer.from_pretrained("o200k_base").encode_ordinary(text))
    assert alone != reference(text) == counted(text)


@pytest.mark.parametrize(
    "text", ["e\u0301", "Zu\u0308rich cafe\u0301", "\u1112\u1161\u11ab\u1100\u116e\u11a8"]
)
def test_qwen_composes_characters_first(text: str) -> None:
    qwen = bundled.load("qwen")
    assert qwen(text) == qwen(normalize("NFC", text))


@pytest.mark.parametrize("name", bundled.BUNDLED)
def test_tokens_that_only_the_engine_has_are_ordinary_text(name: str) -> None:
    """splintr gives every vocabulary some fifty tokens of its own, such as <|think|>."""
    counted = bundled.load(name)
    assert all(counted(text) > 2 for text in ("<|think|>", "<|plan|>", "<|endoftext|>", "<|im_start|>"))
