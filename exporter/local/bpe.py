"""Byte-pair vocabularies that tiktoken counts, built from the rank data inside this package (`ranks/`): OpenAI's, and
Claude 2's.

Promises the same tokens as tiktoken's own encodings for ordinary text. Never touches tiktoken's downloader, its
cache directory or the network.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from importlib import resources
from itertools import accumulate, pairwise
from unicodedata import is_normalized, normalize

_LETTERS_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LETTERS_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

PATTERNS = {
    "r50k_base": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UPPER}*{_LETTERS_LOWER}+{_CONTRACTION}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UPPER}+{_LETTERS_LOWER}*{_CONTRACTION}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "claude2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
"""How each vocabulary splits text into pieces before merging (sources: tiktoken, tiktoken_ext/openai_public.py; for
Claude 2 Anthropic's package @anthropic-ai/tokenizer, claude.json)."""

_LONG_TOKEN = 255


def load(vocabulary: str) -> Callable[[str], int]:
    """A function that counts the tokens of a text. Takes 0.05 to 0.25 s and keeps 20 to 45 MB, so call it once.

    Text that looks like a special token is counted as ordinary text, as OpenAI's hosted models count user text.
    Raises OSError, zlib.error or ValueError when the rank data is damaged.
    """
    ordered = tokens(vocabulary)
    ranks = dict(zip(ordered, range(len(ordered)), strict=True))
    counted = counter(vocabulary, PATTERNS[vocabulary], ranks)
    return (lambda text: counted(_compatible(text))) if vocabulary == "claude2" else counted


def counter(name: str, pattern: str, ranks: dict[bytes, int]) -> Callable[[str], int]:
    """A function that counts the tokens of a text in the vocabulary of these ranks, which it empties."""
    import tiktoken

    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    ranks.clear()  # tiktoken's core holds its own copy; only decoding tables of the wrapper would read ours
    return lambda text: len(encoding.encode_ordinary(text))


def _compatible(text: str) -> str:
    """Claude 2 replaces characters by their compatibility forms (NFKC) before it splits."""
    return text if is_normalized("NFKC", text) else normalize("NFKC", text)


def tokens(vocabulary: str) -> list[bytes]:
    """The tokens of a vocabulary in the order of their ranks."""
    return unpacked(
        vocabulary, resources.files("exporter.local").joinpath("ranks", f"{vocabulary}.ranks").read_bytes()
    )


def unpacked(vocabulary: str, packed: bytes) -> list[bytes]:
    """The tokens in rank data (its format: `ranks/README.md`). Raises zlib.error or ValueError when it is damaged."""
    raw = zlib.decompress(packed)
    count = int.from_bytes(raw[:4], "little")
    lengths, start = _lengths(raw, count)
    found = [raw[start + first : start + end] for first, end in pairwise(accumulate(lengths, initial=0))]
    if len(found) != count or start + sum(lengths) != len(raw):
        raise ValueError(f"the rank data of {vocabulary} is damaged; install dify-exporter again")
    return found


def _lengths(raw: bytes, count: int) -> tuple[list[int], int]:
    """The lengths of that many tokens, and where the first token starts."""
    lengths: list[int] = []
    place, length = 4, 0
    while len(lengths) < count and place < len(raw):
        length += raw[place]
        if raw[place] < _LONG_TOKEN:
            lengths.append(length)
            length = 0
        place += 1
    return lengths, place
