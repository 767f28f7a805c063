"""Sums of the ledger over stretches of time, as the pages show them: the one place that asks for sums.

Stretches are widened to whole quarters of an hour, because sums are kept of these.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exporter.model import Micros, Verdict
from exporter.state import sums
from exporter.state.measures import finding_codes, units_of
from exporter.state.sums import QUARTER, Group, Measures
from exporter.web.language import Language
from exporter.web.overview import Pair
from exporter.web.words import amount, number, percent, signed

_PARTS = ("input", "output")
_FINDING = "finding."


@dataclass(frozen=True, slots=True)
class Tokens:
    """Input and output as numbers to reckon with; a difference may be negative."""

    input: int
    output: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.input + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.input - other.input, self.output - other.output)

    def shown(self) -> Pair:
        """As a pair of numbers."""
        return Pair(number(self.input), number(self.output))

    def shown_signed(self) -> Pair:
        """As a difference."""
        return Pair(signed(self.input), signed(self.output))


NOTHING = Tokens(0, 0)


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding code over all calls of a stretch; amounts are vendor − dify."""

    code: str
    calls: int
    tokens: Tokens
    cost: str | None


def between(connection: sqlite3.Connection, since: Micros, until: Micros) -> dict[Group, Measures]:
    """The sums of every group over the quarters that [since, until) touches."""
    first, last = since - since % QUARTER, until + -until % QUARTER
    return sums.between(connection, first, last)


def together(groups: Iterable[Measures]) -> Measures:
    """Several groups as one. Zeros and negative sums stay what they are."""
    found: Measures = Counter()
    for measures in groups:
        found.update(measures)
    return found


def tokens(measures: Measures, reading: str) -> Tokens:
    """`dify`, `local`, `vendor`, the same behind `verified.`, `unexplained`, or `finding.<code>`."""
    return Tokens(*(measures[f"{reading}.{part}"] for part in _PARTS))


def gap(measures: Measures) -> Tokens | None:
    """Vendor − dify over the calls that a vendor was heard of; None when there is none."""
    if not measures["verified.calls"]:
        return None
    return tokens(measures, "verified.vendor") - tokens(measures, "verified.dify")


def verdicts(measures: Measures) -> dict[str, int]:
    """Calls by verdict."""
    return {verdict.value: measures[f"verdict.{verdict.value}"] for verdict in Verdict}


def causes(measures: Measures) -> list[Cause]:
    """The findings that move tokens, the largest first."""
    found = [
        Cause(
            code,
            measures[f"{_FINDING}{code}.calls"],
            tokens(measures, f"{_FINDING}{code}"),
            money(measures, f"{_FINDING}{code}"),
        )
        for code in sorted(finding_codes(measures))
    ]
    moving = [cause for cause in found if cause.tokens != NOTHING]
    return sorted(moving, key=lambda cause: (-moved(cause), cause.code))


def moved(cause: Cause) -> int:
    """How many tokens a cause moves, up or down."""
    return abs(cause.tokens.input) + abs(cause.tokens.output)


def money(measures: Measures, reading: str) -> str | None:
    """`USD 1.23, CNY 0.40`; None when no price is known."""
    costs = costs_of(measures, reading)
    return ", ".join(f"{currency} {amount(value)}" for currency, value in costs.items()) or None


def costs_of(measures: Measures, reading: str) -> dict[str, Decimal]:
    """Money by currency."""
    return {
        currency: sums.money(units)
        for currency, units in units_of(measures, f"{reading}.cost.").items()
        if units
    }


def gap_percent(measures: Measures, say: Language) -> str | None:
    """The gap as a share of what Dify recorded for the same calls; None where Dify recorded nothing."""
    difference, recorded = gap(measures), tokens(measures, "verified.dify").total
    if difference is None or not difference.total or recorded <= 0:
        return None
    return say("gap.percent", percent=percent(difference.total, recorded))
