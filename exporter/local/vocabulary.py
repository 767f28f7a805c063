"""Counts tokens of any text in a named vocabulary: the one door to every tokenizer.

Promises a count, or `CountFailed`, for every string there is: lone surrogates, NUL bytes, look-alikes of special
tokens, endless whitespace, 50 MB. Safe to call from several threads. Never downloads; never keeps a text: recent
counts are remembered by a hash of it, because system prompts and histories repeat on every call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock

from exporter.errors import ExporterError
from exporter.local import bpe, bundled, claude, llama4
from exporter.local.slices import slices

Tokenizer = Callable[[str], int]

LOADERS: dict[str, Callable[[], Tokenizer]] = {
    **{name: partial(bundled.load_openai, name) for name in bundled.OPENAI},
    **{name: partial(bpe.load, name) for name in ("r50k_base", "claude2")},
    **{name: partial(bundled.load, name) for name in bundled.BUNDLED},
    **{name: partial(claude.load, name) for name in claude.VERSIONS},
    "llama4": llama4.load,
}
"""Vocabulary name → how to get its tokenizer. Called once, when the vocabulary is first needed."""

_EXTRAS: dict[str, Callable[[], str | None]] = {
    **dict.fromkeys(claude.VERSIONS, claude.missing),
    "llama4": llama4.missing,
}

SLICE_CHARS = 65_536
"""Longer text is counted in slices. That bounds memory, keeps whitespace runs below the million characters at which
tiktoken's splitter gives up (tiktoken issue 245), and lets other threads run in between: splintr holds Python's lock
for the 1 to 30 ms that a slice takes."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a tokenizer's speed allows. Text longer than `exact_chars` is sampled, because an exact count could take
    many seconds; text shorter than `remember_from_chars` is counted again faster than it is looked up."""

    exact_chars: int
    remember_from_chars: int


FAST = Pace(exact_chars=4_000_000, remember_from_chars=256)
SLOW = Pace(exact_chars=400_000, remember_from_chars=16)
"""For tokenizers written in Python."""

SAMPLES = 16
_SAMPLED_SHARE = 4
"""The samples together are this part of what would be counted exactly."""

REMEMBERED_BYTES = 4 * 2**20
_ENTRY_BYTES = 344
"""What one remembered count takes, key and number included (measured; a test watches it)."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number of tokens. `sampled` is True where it was extrapolated from parts of a very long text."""

    tokens: int
    sampled: bool = False


class CountFailed(ExporterError):
    """A tokenizer could not be loaded or broke on a text. The message never holds the text."""


def count(vocabulary: str, text: str) -> Count:
    """The tokens of `text` as ordinary text (no special tokens), in one of `LOADERS`.

    Exact up to `SLICE_CHARS` characters; exact beyond where the slices could be cut at word or line boundaries,
    else off by a few tokens per slice (see `slices`); extrapolated from evenly spaced samples, and marked
    `sampled`, beyond `Pace.exact_chars`. Raises `CountFailed`.
    """
    pace = SLOW if vocabulary in claude.VERSIONS else FAST
    if len(text) > pace.exact_chars:
        return Count(_extrapolated(vocabulary, text, pace), sampled=True)
    if len(text) < pace.remember_from_chars:
        return Count(_counted(vocabulary, text)) if text else Count(0)
    key = (vocabulary, len(text), hash(text))
    tokens = _recent.get(key)
    if tokens is None:
        parts = (text,) if len(text) <= SLICE_CHARS else slices(text, SLICE_CHARS)
        tokens = sum([_counted(vocabulary, part) for part in parts])
        _recent.put(key, tokens)
    return Count(tokens)


def missing(vocabulary: str) -> str | None:
    """What must be installed before this vocabulary can count, or None when nothing is missing."""
    extra = _EXTRAS.get(vocabulary)
    return extra() if extra else None


def _extrapolated(vocabulary: str, text: str, pace: Pace) -> int:
    sample_chars = pace.exact_chars // (SAMPLES * _SAMPLED_SHARE)
    stride = (len(text) - sample_chars) // (SAMPLES - 1)
    tokens = sum(
        _counted(vocabulary, text[start : start + sample_chars])
        for start in range(0, SAMPLES * stride, stride)
    )
    return round(tokens * len(text) / (SAMPLES * sample_chars))


def _counted(vocabulary: str, text: str) -> int:
    tokenizer = _loaded.get(vocabulary) or _load(vocabulary)
    try:
        return tokenizer(text if text.isascii() else _repaired(text))
    except BaseException as error:
        # A fault inside a Rust tokenizer arrives as PanicException, which is not an Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise CountFailed(
                f"the tokenizer {vocabulary} failed on a text of {len(text)} characters ({type(error).__name__})"
            ) from None
        raise


def _repaired(text: str) -> str:
    """Surrogate pairs joined, lone surrogates replaced: what an encoder on the way to the vendor would do."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


_loaded: dict[str, Tokenizer] = {}
_loading = Lock()


def _load(vocabulary: str) -> Tokenizer:
    with _loading:
        if vocabulary not in _loaded:
            if vocabulary not in LOADERS:
                raise CountFailed(f"there is no vocabulary named {vocabulary}")
            try:
                _loaded[vocabulary] = LOADERS[vocabulary]()
            except Exception as error:
                raise CountFailed(f"the tokenizer {vocabulary} could not be loaded: {error}") from error
        return _loaded[vocabulary]


Key = tuple[str, int, int]
"""Vocabulary, length and Python's hash of a text: SipHash under a key that is new in every process. Two texts of one
length have the same one with a probability of 1 in 2^64, and nobody outside can look for such texts."""


class _Recent:
    """The counts used last, within a bounded number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes // _ENTRY_BYTES
        self._counts: OrderedDict[Key, int] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> int | None:
        with self._lock:
            tokens = self._counts.get(key)
            if tokens is not None:
                self._counts.move_to_end(key)
            return tokens

    def put(self, key: Key, tokens: int) -> None:
        with self._lock:
            self._counts[key] = tokens
            if len(self._counts) > self._limit:
                self._counts.popitem(last=False)


_recent = _Recent(REMEMBERED_BYTES)
