"""Which traces were going on at a moment, among those that share a word: an index instead of trying all with all."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from exporter.model import Micros
from exporter.vendor.hidden.traces import TracePrint

MOST_ALIKE = 512
"""Traces looked at for one request: where more share the words and the time, nothing tells them apart."""

Window = tuple[Micros, Micros]
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stretches:
    """Traces in the order their windows open; `longest` is the latest close of all windows up to each."""

    opens: tuple[Micros, ...]
    closes: tuple[Micros, ...]
    longest: tuple[Micros, ...]
    traces: tuple[TracePrint, ...]

    def at(self, moment: Micros) -> list[TracePrint] | None:
        """The traces whose window holds this moment, the latest opened first; None when they are too many to tell."""
        found: list[TracePrint] = []
        behind = bisect_right(self.opens, moment)
        for place in range(behind - 1, -1, -1):
            if self.longest[place] < moment:
                break
            if behind - place > MOST_ALIKE:
                return None
            if self.closes[place] >= moment:
                found.append(self.traces[place])
        return found


def stretches(
    traces: Iterable[TracePrint],
    keys: Callable[[TracePrint], Sequence[Key]],
    window: Callable[[TracePrint], Window],
) -> dict[Key, Stretches]:
    """The index: for each key the traces that have it, with their windows."""
    grouped: dict[Key, list[tuple[Window, str, TracePrint]]] = {}
    for trace in traces:
        for key in dict.fromkeys(keys(trace)):
            grouped.setdefault(key, []).append((window(trace), trace.trace_id, trace))
    return {key: _stretch(group) for key, group in grouped.items()}


def _stretch(group: list[tuple[Window, str, TracePrint]]) -> Stretches:
    ordered = sorted(group, key=lambda entry: entry[:2])
    closes = tuple(window[1] for window, _, _ in ordered)
    return Stretches(
        tuple(window[0] for window, _, _ in ordered),
        closes,
        tuple(accumulate(closes, max)),
        tuple(trace for _, _, trace in ordered),
    )
