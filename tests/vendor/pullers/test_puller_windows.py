"""Reading a log by windows of time: every row that appears late enough is seen, whatever happens in between."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporter.errors import Misconfigured, Unreachable
from exporter.vendor.pullers.base import Traits
from exporter.vendor.pullers.seen import fingerprint
from exporter.vendor.pullers.windows import Pace, Page, Window, WindowPuller
from tests.vendor.pullers.pulling import NOON, Intake

TRAITS = Traits(delay_seconds=20.0, reread_seconds=600.0)
SIZE = 7


@dataclass
class Rows:
    """A log in memory: rows `(second, name)` are there from the moment they appear; pages shift as they do."""

    rows: list[tuple[int, str, int]] = field(default_factory=list)  # second, name, appears at
    now: int = 0
    asked: int = 0
    fails: set[int] = field(default_factory=set)
    denies: set[int] = field(default_factory=set)
    row_id: str = "id"
    pause_seconds: float = 0.0

    def page(self, window: Window, cursor: str | None) -> Page:
        self.asked += 1
        if self.asked in self.fails:
            raise Unreachable("down")
        if self.asked in self.denies:
            raise Misconfigured(["the key was taken back"])
        there = sorted(
            row for row in self.rows if row[2] <= self.now and window.since <= row[0] <= window.until
        )
        first = int(cursor or 0)
        rows = tuple({"id": name, "second": second} for second, name, _ in there[first : first + SIZE])
        return Page(rows, str(first + SIZE) if len(rows) == SIZE else None)

    def check(self) -> str:
        return ""

    def close(self) -> None:
        pass


def adapter(row: object) -> list[object]:
    assert isinstance(row, dict)
    at = datetime.fromtimestamp(row["second"], UTC).isoformat()
    return [
        {
            "id": row["id"],
            "started_at": at,
            "model": "m",
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
    ]


def intake(log: Rows, start: object = "beginning", **values: object) -> Intake:
    pace = Pace(15.0, start, 2.0)  # type: ignore[arg-type]
    return Intake(lambda: WindowPuller("gw", TRAITS, pace, log, adapter), **values)  # type: ignore[arg-type]


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(-5_000, 3_000), st.integers(0, 600)), min_size=1, max_size=60),
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=25),
    lost=st.sets(st.integers(1, 60), max_size=20),
    fails=st.sets(st.integers(1, 200), max_size=30),
    restarts=st.booleans(),
)
def test_no_row_that_comes_within_the_reread_window_is_lost(
    arrivals: list[tuple[int, int]], steps: list[int], lost: set[int], fails: set[int], restarts: bool
) -> None:
    base = int(NOON.timestamp())
    rows = [(base + at, f"r{number}", base + at + late) for number, (at, late) in enumerate(arrivals)]
    log = Rows(rows, fails=fails)
    store = intake(log, restarts=restarts, loses=lambda pull: pull in lost)
    now = base
    for step in [*steps, 4_000, 700, 700]:
        now += step
        log.now = now
        for _ in range(300):
            try:
                if store.once(datetime.fromtimestamp(now, UTC)):
                    break
            except Unreachable:
                continue
    assert store.ids == sorted(name for _, name, _ in rows)


def test_a_row_is_handed_out_once_while_the_process_lives() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - number, f"r{number}", 0) for number in range(100)])
    store = intake(log)
    for minute in range(30):
        log.now = base + 60 * minute
        assert store.take(NOON + timedelta(minutes=minute))
    assert set(store.given.values()) == {1}
    assert len(store.given) == 100


def test_pages_stay_few_where_rows_are_many_and_where_there_are_none() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 86_400 + number * 3, f"r{number}", 0) for number in range(10_000)], now=base)
    store = intake(log)
    assert store.take()
    assert len(store.ids) == 10_000
    assert log.asked < 10_000 / SIZE * 1.3 + 60
    assert store.largest < 5_000 + SIZE


def test_a_pull_asks_a_bounded_number_of_times() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - number, f"r{number}", 0) for number in range(5_000)], now=base)
    store = intake(log)
    assert not store.once()
    assert log.asked <= 50


def test_start_now_leaves_the_past_out() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 5, "old", 0), (base + 5, "new", base + 6)], now=base)
    store = intake(log, "now")
    assert store.take()
    log.now = base + 60
    assert store.take(NOON + timedelta(seconds=60))
    assert store.ids == ["new"]


def test_start_at_a_time_reads_from_there() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 7_200, "old", 0), (base - 3_000, "new", 0)], now=base)
    store = intake(log, NOON - timedelta(hours=1))
    assert store.take()
    assert store.ids == ["new"]


def test_what_was_read_before_a_failure_is_kept_and_the_failure_is_told_next() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 100 + number, f"r{number}", 0) for number in range(50)], now=base)
    store = intake(log, NOON - timedelta(hours=1), restarts=True)
    log.fails = {3, 4}
    assert not store.once()
    assert len(store.ids) == 2 * SIZE
    with pytest.raises(Unreachable):
        store.once()
    assert store.take()
    assert len(store.ids) == 50
    assert log.asked == -(-50 // SIZE) + 2


def test_a_row_that_is_a_little_late_comes_with_the_next_pull() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 100, "r", 0), (base - 18, "late", base + 10)], now=base)
    store = intake(log)
    assert store.take()
    log.now = base + 15
    assert store.take(NOON + timedelta(seconds=15))
    assert store.ids == ["late", "r"]


def test_rows_of_a_pull_that_was_broken_off_are_handed_out_again() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 100 + number, f"r{number}", 0) for number in range(3)], now=base)
    store = intake(log, NOON - timedelta(hours=1))
    assert store.take()
    log.rows += [(base + number, f"s{number}", 0) for number in range(2 * SIZE)]
    log.now = base + 60
    log.denies = {log.asked + 2}
    with pytest.raises(Misconfigured):
        store.once(NOON + timedelta(minutes=1))
    assert store.take(NOON + timedelta(minutes=1))
    assert len(store.ids) == 3 + 2 * SIZE


def test_a_row_nested_too_deeply_to_be_written_again_has_no_fingerprint() -> None:
    deep = orjson.loads(b"[" * 1_020 + b"]" * 1_020)
    assert fingerprint(deep) is None
    assert fingerprint([deep[0][0]] * 2) is None
    assert fingerprint({"a": 1}) == fingerprint(json.loads('{"a": 1}')) != fingerprint({"a": 2})


def test_a_position_of_another_kind_of_source_is_read_as_none() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 100, "r", 0)], now=base)
    store = intake(log)
    store.position = '{"day": "2026-11-23"}'
    assert store.take()
    assert store.ids == ["r"]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    base = int(NOON.timestamp())
    log = Rows([(base - 100, "r", 0)], now=base)
    store = intake(log)
    assert store.take()
    assert store.take(NOON - timedelta(hours=2))
    log.rows.append((base + 10, "later", base + 10))
    log.now = base + 60
    assert store.take(NOON + timedelta(minutes=1))
    assert store.ids == ["later", "r"]
