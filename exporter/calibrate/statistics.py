"""How sure a mean of a few runs is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t, two-sided 95 %, for 1 to 30 degrees of freedom (any table of the distribution)."""
_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval; without a spread to go by (one value) the interval is unknown."""

    count: int
    mean: float
    low: float | None
    high: float | None


def interval(values: Sequence[float]) -> Interval | None:
    """Of independent values; None of none."""
    if not values:
        return None
    mean = fmean(values)
    if len(values) == 1:
        return Interval(1, mean, None, None)
    freedom = len(values) - 1
    t = _T_95[freedom - 1] if freedom <= len(_T_95) else _Z_95
    half = t * stdev(values) / sqrt(len(values))
    return Interval(len(values), mean, mean - half, mean + half)


def standing(found: Interval | None, tolerance_percent: float) -> str:
    """in | out | undecided | unknown: whether a ratio's whole interval lies within the tolerance around 1."""
    if found is None:
        return "unknown"
    low, high = (
        (found.low, found.high)
        if found.low is not None and found.high is not None
        else (found.mean, found.mean)
    )
    most = tolerance_percent / 100
    if low >= 1 - most and high <= 1 + most:
        return "in"
    if high < 1 - most or low > 1 + most:
        return "out"
    return "undecided"


@dataclass(frozen=True, slots=True)
class Fit:
    """vendor = offset + factor × local, by least squares, and the largest distance of a point from the line."""

    offset: float
    factor: float
    largest_rest: float


def line(pairs: Sequence[tuple[float, float]]) -> Fit | None:
    """Through (local, vendor) pairs; None unless there are two different local counts."""
    if len({x for x, _ in pairs}) < 2:
        return None
    mean_x, mean_y = fmean(x for x, _ in pairs), fmean(y for _, y in pairs)
    spread = sum((x - mean_x) ** 2 for x, _ in pairs)
    factor = sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread
    offset = mean_y - factor * mean_x
    return Fit(offset, factor, max(abs(y - offset - factor * x) for x, y in pairs))
