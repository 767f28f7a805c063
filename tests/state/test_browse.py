from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.model import Verdict
from exporter.state import browse
from exporter.state.browse import Found, Order, Place, Wanted
from exporter.state.store import Store

NOON = 1_795_435_200_000_000
APPS, MODELS = ("app-1", "app-2", "app-3"), ("gpt-4o-mini", "qwen-plus", "rare-model")
Row = tuple[str, str, str, int, int | None, tuple[tuple[str, int], ...]]
"""Trace id, app, verdict, start, gap, and (model, start) of each call."""


def made(seed: int, count: int) -> list[Row]:
    """Traces at random, with many equal times and equal gaps."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        started_at = NOON + rng.randrange(count // 3) * 1_000_000
        gap = rng.choice([None, 0, 0, 5, -5, 12, -700, rng.randrange(-1000, 1000)])
        calls = tuple(
            (
                rng.choices(MODELS, (10, 5, 0.2))[0],
                started_at + rng.randrange(3) * 1_000_000,
            )
            for _ in range(rng.randrange(4))
        )
        rows.append(
            (f"{number:032x}", rng.choice(APPS), rng.choice(list(Verdict)).value, started_at, gap, calls)
        )
    return rows


def insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    for trace_id, app, verdict, started_at, gap, calls in rows:
        connection.execute(
            "INSERT INTO traces (trace_id, kind, record_id, created_at, app_id, app_name, app_mode, name, status, verdict,"
            " started_at, ended_at, document, gap) VALUES (?, 'message', ?, ?, ?, ?, 'chat', 'n', 'ok', ?, ?, ?, '{}', ?)",
            (trace_id, trace_id, started_at, app, app, verdict, started_at, started_at, gap),
        )
        for place, (model, called_at) in enumerate(calls):
            connection.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?, 'openai', ?, ?, ?, ?, 1, x'', '{}')",
                (f"{trace_id}:{place}", trace_id, place, app, app, model, verdict, called_at, called_at),
            )


ROWS = made(7, 900)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    store = Store(tmp_path_factory.mktemp("state") / "state.db")
    with store.transaction("test") as writer:
        insert(writer, ROWS)
    with store.read() as reader:
        yield reader
    store.close()


def every_page(connection: sqlite3.Connection, wanted: Wanted) -> list[str]:
    found: list[str] = []
    after: Place | None = None
    while True:
        page: Found = browse.find(
            connection,
            Wanted(
                wanted.limit, wanted.apps, wanted.model, wanted.verdict, wanted.since, wanted.until,
                wanted.order, after,
            ),
        )  # fmt: skip
        assert len(page.trace_ids) <= wanted.limit
        found += page.trace_ids
        if page.further is None:
            return found
        after = Place.parse(str(page.further))


def expected(wanted: Wanted) -> list[str]:
    """The same by going through every row."""
    keys: list[tuple[object, str]] = []
    for trace_id, app, verdict, started_at, gap, calls in ROWS:
        times = [
            (at, f"{trace_id}:{place}") for place, (model, at) in enumerate(calls) if model == wanted.model
        ]
        if wanted.model is not None and not times:
            continue
        if wanted.apps and app not in wanted.apps:
            continue
        if wanted.verdict is not None and verdict != wanted.verdict:
            continue
        by_model = wanted.model is not None and wanted.order is Order.NEWEST
        at, identity = max(times) if by_model else (started_at, trace_id)
        if not (wanted.since or 0) <= at < (wanted.until or 2**62):
            continue
        number = int(trace_id, 16)
        if wanted.order is Order.NEWEST:
            keys.append(((at, identity), trace_id))
        elif gap:
            keys.append(((abs(gap), gap, number if gap > 0 else -number), trace_id))
    return [trace_id for _, trace_id in sorted(keys, reverse=True)]  # type: ignore[type-var]


NARROWED = [
    Wanted(7, apps=apps, model=model, verdict=verdict, since=since, until=until, order=order)
    for order in Order
    for apps in ((), ("app-2",), ("app-1", "app-3"), ("no-such-app",))
    for model in (None, "gpt-4o-mini", "rare-model")
    for verdict in (None, "explained")
    for since, until in ((None, None), (NOON + 60_000_000, NOON + 200_000_000))
]


@pytest.mark.parametrize("wanted", NARROWED, ids=str)
def test_every_trace_that_matches_stands_once_and_in_order_whatever_the_page(
    connection: sqlite3.Connection, wanted: Wanted
) -> None:
    assert every_page(connection, wanted) == expected(wanted)


@pytest.mark.parametrize("wanted", NARROWED, ids=str)
def test_no_question_scans_or_sorts_a_table(connection: sqlite3.Connection, wanted: Wanted) -> None:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    try:
        browse.find(connection, wanted)
    finally:
        connection.set_trace_callback(None)
    assert asked
    for query in asked:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert all(step.startswith("SEARCH ") for step in plan), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan
        assert all("INDEX" in step or "PRIMARY KEY" in step for step in plan), plan
        of_one_trace = "traces WHERE trace_id" in query or "calls_trace" in query
        assert of_one_trace or all("COVERING INDEX" in step for step in plan), plan


def test_a_walk_that_finds_little_stops_and_says_where_to_go_on(tmp_path: Path) -> None:
    count = browse.MOST_ASKED + 500
    store = Store(tmp_path / "state.db")
    with store.transaction("test") as writer:
        insert(
            writer,
            [
                (
                    f"{number:032x}", "app-1", "explained", NOON + number, count - number,
                    (("rare-model" if number == count - 1 else "gpt-4o-mini", NOON + number),),
                )
                for number in range(count)
            ],
        )  # fmt: skip
    with store.read() as reader:
        wanted = Wanted(10, model="rare-model", order=Order.GAP)
        first = browse.find(reader, wanted)
        assert (first.trace_ids, first.is_cut, first.looked_at) == ((), True, browse.MOST_ASKED)
        second = browse.find(reader, Wanted(10, model="rare-model", order=Order.GAP, after=first.further))
        assert second.trace_ids == (f"{count - 1:032x}",)
        assert second.further is None
    store.close()


@pytest.mark.parametrize("text", ["", "1", "1.", "x.1", ".1", "1." + "a" * 201])
def test_a_place_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"place|invalid literal"):
        Place.parse(text)
