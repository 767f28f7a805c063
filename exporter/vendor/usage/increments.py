"""Whether the counts of a stream are totals up to here or increments, told from the numbers alone.

Counts up to here never fall. Where the written tokens fall, every event held an increment, and their sum is the best
that can be said; the caller must call that an estimate. Keeps one sum per count, whatever the length of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exporter.vendor.usage.numbers import ABSURD_TOKENS

Path = tuple[str, ...]
_DEEPEST, _MOST_COUNTS = 3, 64


class Increments:
    """What was counted over the usages of one stream, each given to `add` in order."""

    __slots__ = ("_has_fallen", "_last", "_read", "_written")

    def __init__(self) -> None:
        self._last: dict[Path, int] = {}
        self._read: dict[Path, int] = {}
        self._written: dict[Path, int] = {}
        self._has_fallen = False

    def add(self, usage: Mapping[str, Any]) -> None:
        """Take the next usage of the stream."""
        for path, number in _counts(usage):
            if _is_written(path):
                self._has_fallen |= len(path) == 1 and number < self._last.get(path, 0)
                self._written[path] = self._written.get(path, 0) + number
                self._last[path] = number
            elif _is_read(path) and number:
                self._read[path] = number

    def applied_to(self, usage: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The last usage with what it no longer says: the input (read once, so some vendors count it once and write 0
        later) and, where the output fell, the sum of its increments. True when a sum was made."""
        right = {**self._read, **(self._written if self._has_fallen else {})}
        wrong = {path: right[path] for path, number in _counts(usage) if number != right.get(path, number)}
        result = _with(usage, wrong)
        if wrong:
            result = {key: value for key, value in result.items() if "total" not in key.lower()}
        return result, self._has_fallen


def is_placeholder(usage: Mapping[str, Any]) -> bool:
    """True for a usage of nothing but zeros: no request reads nothing, so it stands for a number that is unknown."""
    return not any(number for _, number in _numbers(usage))


def _counts(usage: Mapping[str, Any]) -> Iterator[tuple[Path, int]]:
    for path, number in _numbers(usage):
        if number == int(number) and 0 <= number <= ABSURD_TOKENS:
            yield path, int(number)


def _numbers(usage: Mapping[str, Any]) -> Iterator[tuple[Path, float]]:
    """The finite numbers of a usage with their paths, at most so many as a real one can hold."""
    waiting: list[tuple[Path, Mapping[str, Any]]] = [((), usage)]
    left = _MOST_COUNTS
    while waiting:
        path, place = waiting.pop()
        for key, value in place.items():
            if left <= 0:
                return
            if isinstance(value, Mapping) and len(path) < _DEEPEST:
                waiting.append(((*path, key), value))
            elif (number := _number(value)) is not None:
                left -= 1
                yield (*path, key), number


def _number(value: object) -> float | None:
    if isinstance(value, str) and len(value) < 12 and value.isascii() and value.isdigit():
        return int(value)  # Tencent writes cached tokens as text
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if value - value == 0 else None


def _is_written(path: Path) -> bool:
    name = path[0].lower()
    return "completion" in name or "output" in name or "reasoning" in name


def _is_read(path: Path) -> bool:
    name = path[0].lower()
    return "prompt" in name or "input" in name or "cache" in name


def _with(usage: Mapping[str, Any], numbers: Mapping[Path, int]) -> dict[str, Any]:
    result = dict(usage)
    for path, number in numbers.items():
        place = result
        for key in path[:-1]:
            place[key] = dict(place[key])
            place = place[key]
        place[path[-1]] = number
    return result
