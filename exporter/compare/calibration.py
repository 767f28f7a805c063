"""How our own count has compared with the vendor's: the observed ratio of a model, shown beside its stated class.

Only shown, never applied: a count that was bent towards the vendor's could no longer contradict it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

FEW = 5
"""With fewer calls a spread says nothing."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Local ÷ vendor over `calls` calls: the median, and what nine of ten lie between (None for a few calls). `exact`: how
    many were equal to the token."""

    calls: int
    exact: int
    ratio: float
    low: float | None
    high: float | None


def observed(pairs: Sequence[tuple[int, int]]) -> Observed | None:
    """From (local, vendor) counts of single calls; None when there is no pair with a vendor's count above 0."""
    known = [(local, vendor) for local, vendor in pairs if vendor > 0]
    if not known:
        return None
    ratios = sorted(local / vendor for local, vendor in known)
    is_few = len(ratios) < FEW
    return Observed(
        calls=len(ratios),
        exact=sum(local == vendor for local, vendor in known),
        ratio=median(ratios),
        low=None if is_few else ratios[round(0.05 * (len(ratios) - 1))],
        high=None if is_few else ratios[round(0.95 * (len(ratios) - 1))],
    )
