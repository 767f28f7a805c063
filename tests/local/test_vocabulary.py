"""Counting text: right on the truth set, and unharmed by any string."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local import bpe, vocabulary
from exporter.local.vocabulary import Count, CountFailed, count

VOCABULARIES = sorted(bpe.PATTERNS)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_text_of_the_truth_set_is_counted_exactly(
    name: str, texts: dict[str, str], true_counts: list[tuple[str, str, int]]
) -> None:
    truth = {text_id: tokens for text_id, family, tokens in true_counts if family == name}
    counted = {text_id: count(name, texts[text_id]).tokens for text_id in truth}
    assert len(truth) == 203
    assert counted == truth


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
    one = count(name, "\0").tokens
    assert one >= 1
    assert count(name, "a\0b").tokens == count(name, "a").tokens + one + count(name, "b").tokens


@pytest.mark.parametrize("name", VOCABULARIES)
def test_two_million_spaces_do_not_break_the_tokenizer(name: str) -> None:
    per_token = {"r50k_base": 1, "cl100k_base": 80, "o200k_base": 128}
    counted = count(name, " " * 2_000_000)
    assert not counted.sampled
    assert 0 < counted.tokens <= 2_000_000 / per_token[name] * 1.05 + 16


def test_empty_text_has_no_tokens() -> None:
    assert count("o200k_base", "") == Count(0)


def test_a_text_longer_than_one_slice_is_counted_as_the_whole(texts: dict[str, str]) -> None:
    """A line has the same tokens wherever it stands, so the truth is a multiplication."""
    line = "The quick brown fox jumps over the lazy dog.\n"
    per_line = count("o200k_base", line).tokens
    lines = 4 * vocabulary.SLICE_CHARS // len(line)
    assert count("o200k_base", line * lines) == Count(per_line * lines)


def test_a_very_long_text_is_sampled_and_says_so() -> None:
    line = "The quick brown fox jumps over the lazy dog.\n"
    lines = 2 * vocabulary.EXACT_CHARS // len(line)
    counted = count("o200k_base", line * lines)
    assert counted.sampled
    assert counted.tokens == pytest.approx(count("o200k_base", line).tokens * lines, rel=0.01)


def test_fifty_megabytes_take_bounded_memory() -> None:
    """The text itself is 50 MB; counting it may add some tens of MB, not a multiple of the text."""
    program = (
        "import resource\n"
        "from exporter.local.vocabulary import count\n"
        "count('o200k_base', 'warm up')\n"
        "text = ''.join(f'line {i} of a very long log file\\n' for i in range(1_600_000))\n"
        "assert len(text) > 50_000_000\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert count('o200k_base', text).sampled\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown_kib = int(_run(program))
    assert grown_kib < 40 * 1024


def test_nothing_touches_the_network() -> None:
    """Sockets are forbidden in a fresh process; every vocabulary still loads and counts."""
    program = (
        "import sys\n"
        "def forbid(event, args):\n"
        "    if event.startswith('socket.'):\n"
        "        raise RuntimeError('a socket was used: ' + event)\n"
        "sys.addaudithook(forbid)\n"
        "from exporter.local.vocabulary import LOADERS, count\n"
        "print(*(count(name, 'Hello world').tokens for name in sorted(LOADERS)))\n"
    )
    assert _run(program).split() == ["2"] * len(vocabulary.LOADERS)


def test_threads_agree_with_one_thread(
    texts: dict[str, str], true_counts: list[tuple[str, str, int]]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda row: count(row[1], texts[row[0]]).tokens, true_counts * 3))
    assert counted == [tokens for _, _, tokens in true_counts * 3]


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
    name=st.sampled_from(VOCABULARIES),
)
@settings(max_examples=200, deadline=None)
def test_any_string_has_between_no_tokens_and_one_per_byte(text: str, name: str) -> None:
    counted = count(name, text)
    repaired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert (counted.tokens > 0) == bool(text)
    assert counted.tokens <= len(repaired.encode())
    assert count(name, text) == counted


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
