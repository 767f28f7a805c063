"""The first page: what the three readings add up to in a stretch of time, why they differ, and where to look."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from exporter.model import Micros
from exporter.state import browse, ledger
from exporter.state.browse import Order, Wanted
from exporter.state.sums import Group, Measures
from exporter.web import figures
from exporter.web.charts import Bar, columns
from exporter.web.figures import Cause
from exporter.web.language import Language
from exporter.web.overview import Pair, Share, TraceRow, shares, trace_row
from exporter.web.words import number, timestamp

_HOUR: Micros = 3600 * 1_000_000
READINGS = ("dify", "local", "vendor")
_CAUSES = 8
_APPS = 8
_ROWS = 6


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that ends now, in equal steps; `step` names one."""

    name: str
    steps: int
    step_length: Micros
    step: str

    @property
    def length(self) -> Micros:
        """The whole stretch."""
        return self.steps * self.step_length


PERIODS = {
    period.name: period
    for period in (
        Period("day", 24, _HOUR, "hour"),
        Period("week", 28, 6 * _HOUR, "quarter_day"),
        Period("month", 30, 24 * _HOUR, "day"),
    )
}


@dataclass(frozen=True, slots=True)
class ReadingTotal:
    """What one source says in sum; `share` is its tokens in percent of the largest of the three."""

    source: str
    tokens: Pair | None
    calls: str
    missing: str | None
    more: str | None
    cost: str | None
    share: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Vendor − dify over the calls that the vendor was heard of."""

    tokens: Pair
    is_equal: bool
    over: str
    percent: str | None
    rest: str


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One cause; `share` is in percent of the largest."""

    code: str
    title: str
    means: str
    calls: str
    tokens: Pair
    cost: str | None
    share: float


@dataclass(frozen=True, slots=True)
class AppRow:
    """One app with one model."""

    app: str
    app_id: str
    model: str
    calls: str
    dify: Pair
    vendor: Pair | None
    difference: Pair | None
    is_equal: bool


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One step of the chart in numbers."""

    start: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Tokens over time, as bars and as a table."""

    bars: tuple[Bar, ...]
    most: str
    step: str
    first: str
    middle: str
    last: str
    rows: tuple[ChartRow, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """Everything on the first page. `old_until` is set when the time shown does not end now."""

    period: Period
    old_until: str | None
    calls: str
    readings: tuple[ReadingTotal, ...]
    gap: Gap | None
    verdicts: tuple[Share, ...]
    chart: Chart
    causes: tuple[CauseRow, ...]
    apps: tuple[AppRow, ...]
    largest: tuple[TraceRow, ...]
    newest: tuple[TraceRow, ...]


def home(connection: sqlite3.Connection, period: Period, now: Micros, say: Language) -> Home | None:
    """The first page up to now, or up to the newest trace where nothing happened since; None for an empty ledger."""
    newest = browse.newest_at(connection)
    if newest is None:
        return None
    until = _end(period, now)
    is_old = newest < until - period.length
    if is_old:
        until = _end(period, newest)
    since = until - period.length
    steps = [
        figures.between(connection, start, start + period.step_length)
        for start in range(since, until, period.step_length)
    ]
    by_group: dict[Group, Measures] = {}
    for step in steps:
        for group, measures in step.items():
            by_group[group] = figures.together([by_group.get(group, Measures()), measures])
    summed = figures.together(by_group.values())
    return Home(
        period=period,
        old_until=timestamp(newest)[:16] if is_old else None,
        calls=say.count("model_call", summed["calls"]),
        readings=_readings(summed, say),
        gap=_gap(summed, say),
        verdicts=shares(figures.verdicts(summed)),
        chart=_chart(since, period, [figures.together(step.values()) for step in steps], say),
        causes=cause_rows(figures.causes(summed)[:_CAUSES], say),
        apps=_apps(by_group, say),
        largest=_rows(connection, Wanted(_ROWS, since=since, until=until, order=Order.GAP), say),
        newest=_rows(connection, Wanted(_ROWS), say),
    )


def _end(period: Period, moment: Micros) -> Micros:
    """The end of the step in which this moment lies."""
    return moment - moment % period.step_length + period.step_length


def _readings(summed: Measures, say: Language) -> tuple[ReadingTotal, ...]:
    sizes = {name: figures.tokens(summed, name).total + summed[f"{name}.unsplit"] for name in READINGS}
    most = max(1, *sizes.values())
    return tuple(_reading(summed, name, 100 * sizes[name] / most, say) for name in READINGS)


def _reading(summed: Measures, name: str, share: float, say: Language) -> ReadingTotal:
    absent, calls = summed[f"{name}.absent"], summed["calls"]
    unsplit = summed[f"{name}.unsplit"]
    return ReadingTotal(
        source=name,
        tokens=figures.tokens(summed, name).shown() if absent < calls else None,
        calls=say("reading.of", calls=say.count("call", calls)),
        missing=say("reading.missing", n=number(absent)) if absent else None,
        more=say("more.in.total", n=number(unsplit)) if unsplit else None,
        cost=figures.money(summed, name),
        share=round(share, 2),
    )


def _gap(summed: Measures, say: Language) -> Gap | None:
    difference = figures.gap(summed)
    if difference is None:
        return None
    rest = abs(summed["unexplained.input"]) + abs(summed["unexplained.output"])
    return Gap(
        tokens=difference.shown_signed(),
        is_equal=difference == figures.NOTHING,
        over=say("gap.over", calls=say.count("call", summed["verified.calls"])),
        percent=figures.gap_percent(summed, say),
        rest=say("unexplained.rest", n=number(rest)) if rest else say("unexplained.none"),
    )


def cause_rows(causes: list[Cause], say: Language) -> tuple[CauseRow, ...]:
    """Causes in words."""
    most = max((figures.moved(cause) for cause in causes), default=1)
    return tuple(
        CauseRow(
            code=cause.code,
            title=say.title(cause.code),
            means=say.findings[cause.code].means if cause.code in say.findings else "",
            calls=number(cause.calls),
            tokens=cause.tokens.shown_signed(),
            cost=cause.cost,
            share=round(100 * figures.moved(cause) / most, 2),
        )
        for cause in causes
    )


def _apps(groups: dict[Group, Measures], say: Language) -> tuple[AppRow, ...]:
    """The pairs of app and model whose numbers are furthest apart; keys and kinds of calls together."""
    pairs: dict[tuple[str, str, str], Measures] = {}
    for group, measures in groups.items():
        name = (group.app_name, group.app_id, group.model)
        pairs[name] = figures.together([pairs.get(name, Measures()), measures])
    ordered = sorted(pairs.items(), key=lambda item: (-_apart(item[1]), -item[1]["calls"], item[0]))
    return tuple(_app_row(*name, measures, say) for name, measures in ordered[:_APPS])


def _apart(measures: Measures) -> int:
    difference = figures.gap(measures)
    return 0 if difference is None else abs(difference.input) + abs(difference.output)


def _app_row(app: str, app_id: str, model: str, measures: Measures, say: Language) -> AppRow:
    difference = figures.gap(measures)
    return AppRow(
        app=app,
        app_id=app_id,
        model=model or say("unknown.model"),
        calls=number(measures["calls"]),
        dify=figures.tokens(measures, "dify").shown(),
        vendor=figures.tokens(measures, "vendor").shown() if difference is not None else None,
        difference=difference.shown_signed() if difference is not None else None,
        is_equal=difference == figures.NOTHING,
    )


def _chart(since: Micros, period: Period, steps: list[Measures], say: Language) -> Chart:
    values = [[figures.tokens(step, name).total for name in READINGS] for step in steps]
    starts = [timestamp(since + place * period.step_length)[:16] for place in range(len(steps))]
    bars, most = columns(
        [
            [
                (name, value, f"{start}, {say(name)}: {number(value)}")
                for name, value in zip(READINGS, row, strict=True)
            ]
            for start, row in zip(starts, values, strict=True)
        ]
    )
    rows = tuple(
        ChartRow(start, tuple(number(value) for value in row))
        for start, row in zip(starts, values, strict=True)
        if any(row)
    )
    middle = starts[len(starts) // 2]
    return Chart(bars, number(most), say(f"chart.step.{period.step}"), starts[0], middle, starts[-1], rows)


def _rows(connection: sqlite3.Connection, wanted: Wanted, say: Language) -> tuple[TraceRow, ...]:
    found = (ledger.trace(connection, trace_id) for trace_id in browse.find(connection, wanted).trace_ids)
    return tuple(trace_row(document, say) for document in found if document is not None)
