"""Counting text: right on the truth set, and unharmed by any string."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local import bpe, vocabulary
from exporter.local.vocabulary import LOADERS, Count, CountFailed, count, missing

VOCABULARIES = sorted(name for name in LOADERS if missing(name) is None)
FAST = [name for name in VOCABULARIES if not name.startswith("claude_")]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<|endoftext|>", 7),  # < | end of text | >
        ("<|im_start|>", 6),  # < | im _start | >
    ],
)
def test_text_that_spells_a_special_token_is_ordinary_text(text: str, tokens: int) -> None:
    assert count("cl100k_base", text).tokens == tokens


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_lone_surrogate_counts_like_the_replacement_character(name: str) -> None:
    assert count(name, "before \ud83d after") == count(name, "before \ufffd after")


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_pair_of_surrogates_counts_like_the_character_it_spells(name: str) -> None:
    assert count(name, "ok \ud83d\ude00 ok") == count(name, "ok \U0001f600 ok")


@pytest.mark.parametrize("name", VOCABULARIES)
def test_nul_bytes_are_counted(name: str) -> None:
    assert count(name, "a\0b").tokens >= count(name, "ab").tokens
    assert count(name, "\0" * 1000).tokens >= 1


@pytest.mark.parametrize("name", FAST)
def test_a_million_combining_marks_on_one_letter_are_counted(name: str) -> None:
    counted = count(name, "e" + "\u0301" * 1_000_000)
    assert not counted.sampled
    assert 0 < counted.tokens <= 2_000_100


@pytest.mark.parametrize("name", FAST)
def test_two_million_spaces_do_not_break_the_tokenizer(name: str) -> None:
    counted = count(name, " " * 2_000_000)
    assert not counted.sampled
    assert 0 < counted.tokens <= 2_000_000 * 1.05


def test_spaces_are_counted_in_the_long_tokens_that_a_vocabulary_has_for_them() -> None:
    for name, per_token in {"r50k_base": 1, "cl100k_base": 80, "o200k_base": 128}.items():
        counted = count(name, " " * 2_000_000).tokens
        assert 0 < counted <= 2_000_000 / per_token * 1.05 + 64


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" " * 200_000 + "x", id="spaces"),
        pytest.param("e" + "\u0301" * 200_000, id="combining marks"),
        pytest.param("\n" * 200_000, id="line breaks"),
        pytest.param("a" * 200_000, id="one letter"),
        pytest.param("<|endoftext|><|im_start|>[INST]</s><think>" * 5_000, id="special look-alikes"),
        pytest.param("\ud800" * 100_000, id="lone surrogates"),
        pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467" * 40_000, id="joined emoji"),
    ],
)
def test_hostile_text_is_counted_by_every_tokenizer(name: str, text: str) -> None:
    counted = count(name, text)
    repaired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert not counted.sampled
    assert 0 < counted.tokens <= len(repaired.encode()) + len(text) // vocabulary.SLICE_CHARS + 1


def test_empty_text_has_no_tokens() -> None:
    assert count("o200k_base", "") == Count(0)


def test_a_text_longer_than_one_slice_is_counted_as_the_whole(texts: dict[str, str]) -> None:
    """A line has the same tokens wherever it stands, so the truth is a multiplication."""
    line = "The quick brown fox jumps over the lazy dog.\n"
    per_line = count("o200k_base", line).tokens
    lines = 4 * vocabulary.SLICE_CHARS // len(line)
    assert count("o200k_base", line * lines) == Count(per_line * lines)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_very_long_text_is_sampled_and_says_so(name: str) -> None:
    line = "The quick brown fox jumps over the lazy dog.\n"
    longest = (vocabulary.FAST if name in FAST else vocabulary.SLOW).exact_chars
    lines = 2 * longest // len(line)
    counted = count(name, line * lines)
    per_line = (count(name, line * 101).tokens - count(name, line).tokens) / 100
    assert counted.sampled
    assert counted.tokens == pytest.approx(per_line * lines, rel=0.01)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_fifty_megabytes_take_bounded_memory(name: str) -> None:
    """The text itself is 50 MB; counting it may add some tens of MB, not a multiple of the text."""
    program = (
        "import resource, sys\n"
        "from exporter.local.vocabulary import count\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count(sys.argv[1], 'warm up ' * 10_000)\n"
        "text = ''.join(f'line {i} of a very long log file\\n' for i in range(1_600_000))\n"
        "assert len(text) > 50_000_000\n"
        "before = peak()\n"
        "assert count(sys.argv[1], text).sampled\n"
        "print(peak() - before)\n"
    )
    grown_kib = int(_run(program, name))
    assert grown_kib < 60 * 1024


def test_endless_words_do_not_fill_the_memory() -> None:
    """splintr remembers the pieces it has seen, however long; 48 million letters without a space would take 150 MB."""
    program = (
        "import random, resource\n"
        "from exporter.local.vocabulary import count\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "letters = (b'abcdefghijklmnopqrstuvwxyz' * 10)[:256]\n"
        "word = lambda: random.randbytes(4_000_000).translate(letters).decode()\n"
        "for _ in range(4): count('o200k_base', word())\n"
        "before = peak()\n"
        "for _ in range(8): count('o200k_base', word())\n"
        "print(peak() - before)\n"
    )
    assert int(_run(program)) < 25 * 1024


def test_threads_agree_with_one_thread(texts: dict[str, str]) -> None:
    asked = [(name, text) for name in ("o200k_base", "qwen", "gemma3", "claude2") for text in texts.values()]
    alone = [count(*pair).tokens for pair in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda pair: count(*pair).tokens, asked * 3)) == alone * 3


def test_a_repeated_text_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def load() -> Callable[[str], int]:
        def counting(text: str) -> int:
            counted.append(len(text))
            return len(text)

        return counting

    monkeypatch.setitem(vocabulary.LOADERS, "watched", load)
    prompt = "You are a careful assistant. " * 100
    assert {count("watched", prompt).tokens for _ in range(20)} == {len(prompt)}
    assert counted == [len(prompt)]


def test_remembered_counts_stay_within_their_bytes() -> None:
    """Each entry is measured as Python accounts for it; twice as many texts as fit take no more memory than those."""
    program = (
        "import tracemalloc\n"
        "from exporter.local import vocabulary\n"
        "vocabulary.LOADERS['characters'] = lambda: len\n"
        "tracemalloc.start()\n"
        "before = tracemalloc.get_traced_memory()[0]\n"
        "for i in range(2 * vocabulary.REMEMBERED_BYTES // 344):\n"
        "    vocabulary.count('characters', f'{i:09}' * 1000)\n"
        "print(tracemalloc.get_traced_memory()[0] - before, vocabulary.REMEMBERED_BYTES)\n"
    )
    taken, allowed = map(int, _run(program).split())
    assert allowed / 2 < taken <= allowed


def test_a_vocabulary_is_loaded_once_though_many_threads_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def load() -> Callable[[str], int]:
        loads.append("loaded")
        return len

    monkeypatch.setitem(vocabulary.LOADERS, "characters", load)
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: count("characters", "four").tokens, range(64)))
    assert counted == [4] * 64
    assert loads == ["loaded"]


def test_a_panic_inside_the_tokenizer_is_a_failed_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken panics with a BaseException on a whitespace run of more than a million characters."""
    real = bpe.load("o200k_base")
    monkeypatch.setitem(vocabulary.LOADERS, "panicking", lambda: lambda text: real(" " * 1_100_000 + text))
    with pytest.raises(CountFailed, match="PanicException") as failure:
        count("panicking", "my secret prompt")
    assert "secret" not in str(failure.value)
    assert failure.value.__cause__ is None


def test_a_vocabulary_that_cannot_be_loaded_is_a_failed_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Callable[[str], int]:
        raise OSError("file is gone")

    monkeypatch.setitem(vocabulary.LOADERS, "gone", load)
    with pytest.raises(CountFailed, match="file is gone"):
        count("gone", "text")


def test_an_unknown_vocabulary_is_a_failed_count() -> None:
    with pytest.raises(CountFailed, match="no vocabulary named"):
        count("klingon", "text")


@given(
    text=st.text(alphabet=st.characters(exclude_categories=()), max_size=400),
    name=st.sampled_from(FAST),
)
@settings(max_examples=300, deadline=None)
def test_any_string_has_no_more_tokens_than_bytes(text: str, name: str) -> None:
    """The space that sentencepiece puts in front is one more; NFKC of Claude 2 makes up to 18 letters of one."""
    counted = count(name, text)
    repaired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    composed = normalize("NFKC", repaired) if name == "claude2" else repaired
    assert (counted.tokens > 0) == bool(text)
    assert counted.tokens <= len(composed.encode()) + 1
    assert count(name, text) == counted


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
