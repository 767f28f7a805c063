"""From Dify's number to the vendor's, day by day: each cause as a step of a waterfall, and the rest that none explains."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from exporter.model import Micros
from exporter.state.sums import Measures
from exporter.web import figures
from exporter.web.asked import Days, NotUnderstood, app_ids, begin_of, day_at
from exporter.web.charts import Span, waterfall
from exporter.web.figures import NOTHING, Cause, Tokens
from exporter.web.language import Language
from exporter.web.overview import Pair, Share, shares
from exporter.web.words import number, signed

MOST_DAYS = 31
USUAL_DAYS = 7
_DAY: Micros = 86_400 * 1_000_000
_STEPS = 12
"""Causes with a bar of their own; the smaller ones are one bar together."""


@dataclass(frozen=True, slots=True)
class Step:
    """One bar: the beginning, a cause, the rest, or the end."""

    kind: str  # dify | more | less | rest | vendor
    title: str
    means: str
    tokens: Pair
    total: str
    calls: str | None
    cost: str | None
    bar: Span


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All bars; `axis` is set when they do not begin at zero."""

    steps: tuple[Step, ...]
    axis: str | None


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day; numbers are those of the calls that the vendor was heard of."""

    day: str
    calls: str
    verified: str
    dify: Pair | None
    local: Pair | None
    vendor: Pair | None
    difference: Pair | None
    is_equal: bool
    explained: str
    unexplained: str
    has_rest: bool
    verdicts: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The page. `total` is the row of all days together."""

    first: str
    last: str
    waterfall: Waterfall | None
    days: tuple[DayRow, ...]
    total: DayRow
    notes: tuple[str, ...]


def chosen_days(asked: Days, newest: Micros | None, now: Micros) -> tuple[date, date]:
    """The days asked for; else the last week, or the one up to the newest trace. Raises NotUnderstood."""
    today = day_at(now)
    latest = today if newest is None else min(today, day_at(newest) + timedelta(days=USUAL_DAYS - 1))
    last = asked.last or (asked.first + timedelta(days=USUAL_DAYS - 1) if asked.first else latest)
    first = asked.first or last - timedelta(days=USUAL_DAYS - 1)
    if (last - first).days >= MOST_DAYS:
        raise NotUnderstood("error.days", most=MOST_DAYS)
    return first, last


def reconciliation(
    connection: sqlite3.Connection, days: tuple[date, date], app: str, model: str, say: Language
) -> Reconciliation:
    """The page of these days, the last included, of one app and model or (empty) of all."""
    first, last = days
    apps = app_ids(connection, app)
    found = {
        str(first + timedelta(days=place)): _day(connection, begin_of(first) + place * _DAY, apps, model)
        for place in range((last - first).days + 1)
    }
    summed = figures.together(found.values())
    rows = tuple(_row(day, measures) for day, measures in reversed(found.items()) if measures["calls"])
    return Reconciliation(
        first=str(first),
        last=str(last),
        waterfall=_waterfall(summed, say),
        days=rows,
        total=_row(say("totals"), summed),
        notes=_notes(summed, say),
    )


def _day(connection: sqlite3.Connection, since: Micros, apps: tuple[str, ...], model: str) -> Measures:
    groups = figures.between(connection, since, since + _DAY)
    return figures.together(
        measures
        for group, measures in groups.items()
        if (not apps or group.app_id in apps) and model in ("", group.model)
    )


def _waterfall(summed: Measures, say: Language) -> Waterfall | None:
    """The bars add up to the token: the findings and the unexplained rest of a call are its difference."""
    if not summed["verified.calls"]:
        return None
    begins, ends = (figures.tokens(summed, f"verified.{name}") for name in ("dify", "vendor"))
    changes = [*_causes(figures.causes(summed), say)]
    rest = ends - begins - sum((tokens for _, tokens in changes), NOTHING)
    if rest != NOTHING:
        changes.append((replace(_change(rest, say("unexplained")), kind="rest"), rest))
    bars, origin = waterfall(begins.total, [tokens.total for _, tokens in changes])
    steps = [
        _end("dify", begins, say("starts.dify"), summed),
        *(step for step, _ in changes),
        _end("vendor", ends, say("ends.vendor"), summed),
    ]
    placed = (replace(step, bar=bar) for step, bar in zip(steps, bars, strict=True))
    return Waterfall(tuple(placed), say("waterfall.axis", n=number(origin)) if origin else None)


def _causes(causes: list[Cause], say: Language) -> Iterator[tuple[Step, Tokens]]:
    """A step for each of the larger causes, and one for the smaller ones together."""
    larger = causes if len(causes) <= _STEPS + 1 else causes[:_STEPS]
    for cause in larger:
        step = _change(cause.tokens, say.title(cause.code))
        yield (
            replace(step, means=_means(cause.code, say), calls=number(cause.calls), cost=cause.cost),
            cause.tokens,
        )
    smaller = causes[len(larger) :]
    if smaller:
        tokens = sum((cause.tokens for cause in smaller), NOTHING)
        yield _change(tokens, say("smaller.causes", n=len(smaller))), tokens


def _means(code: str, say: Language) -> str:
    return say.findings[code].means if code in say.findings else ""


def _change(tokens: Tokens, title: str) -> Step:
    kind = "more" if tokens.total >= 0 else "less"
    return Step(kind, title, "", tokens.shown_signed(), signed(tokens.total), None, None, Span(0.0, 0.0))


def _end(name: str, tokens: Tokens, title: str, summed: Measures) -> Step:
    return Step(
        kind=name,
        title=title,
        means="",
        tokens=tokens.shown(),
        total=number(tokens.total),
        calls=number(summed["verified.calls"]),
        cost=figures.money(summed, f"verified.{name}"),
        bar=Span(0.0, 0.0),
    )


def _row(day: str, measures: Measures) -> DayRow:
    difference = figures.gap(measures)
    rest = figures.tokens(measures, "unexplained")
    is_known = difference is not None
    return DayRow(
        day=day,
        calls=number(measures["calls"]),
        verified=number(measures["verified.calls"]),
        dify=figures.tokens(measures, "verified.dify").shown() if is_known else None,
        local=figures.tokens(measures, "verified.local").shown() if is_known else None,
        vendor=figures.tokens(measures, "verified.vendor").shown() if is_known else None,
        difference=difference.shown_signed() if difference is not None else None,
        is_equal=difference == NOTHING,
        explained=signed((difference - rest).total) if difference is not None else number(None),
        unexplained=signed(rest.total) if is_known else number(None),
        has_rest=rest != NOTHING,
        verdicts=shares(figures.verdicts(measures)) if measures["calls"] else (),
    )


def _notes(summed: Measures, say: Language) -> tuple[str, ...]:
    notes = []
    alone = summed["calls"] - summed["verified.calls"]
    if alone:
        recorded = figures.tokens(summed, "dify") - figures.tokens(summed, "verified.dify")
        shown = recorded.shown()
        notes.append(
            say("unverified.calls", calls=say.count("call", alone), input=shown.input, output=shown.output)
        )
    if summed["verified.dify.unsplit"]:
        notes.append(say("kept.total", n=number(summed["verified.dify.unsplit"])))
    return tuple(notes)
