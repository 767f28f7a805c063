"""Where the bars of a chart stand. Pure geometry in percent, so that charts fit any width and no text in them shrinks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

_GAP = 0.3
"""Share of a group's width that stays empty beside its bars."""

_THINNEST = 0.4
_ZOOM_BELOW = 0.4
"""Where all causes together are a smaller share of the whole, the axis does not begin at zero."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in percent of the chart; `kind` is its colour, `tip` what it says when pointed at."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    tip: str = ""


def columns(groups: Sequence[Sequence[tuple[str, int, str]]]) -> tuple[tuple[Bar, ...], int]:
    """Bars side by side for each group of (kind, value, tip), and the highest value, which is full height."""
    most = max((value for group in groups for _, value, _ in group), default=0)
    bars: list[Bar] = []
    width = 100 / max(1, len(groups))
    for place, group in enumerate(groups):
        each = width * (1 - _GAP) / max(1, len(group))
        for number, (kind, value, tip) in enumerate(group):
            if value <= 0:
                continue
            height = max(1.0, 100 * value / most)
            x = place * width + width * _GAP / 2 + number * each
            bars.append(
                Bar(kind, round(x, 3), round(100 - height, 3), round(each * 0.88, 3), round(height, 3), tip)
            )
    return tuple(bars), most


@dataclass(frozen=True, slots=True)
class Span:
    """One bar of a waterfall: from where to where, in percent of the axis."""

    x: float
    width: float


def waterfall(begins_at: int, changes: Sequence[int]) -> tuple[tuple[Span, ...], int]:
    """A bar for the beginning, one for each change from where the last ended, and one for the end; and where the axis
    begins, which is not zero when the changes would be too small to see."""
    levels = [begins_at]
    for change in changes:
        levels.append(levels[-1] + change)
    low, high = min(levels), max(levels)
    origin = 0
    if low > 0 and high - low < _ZOOM_BELOW * high:
        origin = max(0, low - max(1, (high - low)) // 2) if high > low else 0
    origin = min(origin, low)
    scale = max(1, high - origin)

    def span(left: int, right: int) -> Span:
        x = 100 * (min(left, right) - origin) / scale
        width = max(_THINNEST, 100 * abs(right - left) / scale)
        return Span(round(min(x, 100 - width), 3), round(width, 3))

    steps = [span(before, after) for before, after in itertools.pairwise(levels)]
    return (span(origin, levels[0]), *steps, span(origin, levels[-1])), origin
