"""The rules of the cursor against a simulated database in which transactions begin, write and commit at any time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from exporter.errors import SourceRefused
from exporter.sources import cursor as cursors
from exporter.sources.cursor import MOST_MARKS, Moment, Position

SECOND = 1_000_000
OVERLAP = 100 * SECOND
INTERVAL = 60 * SECOND
MARGIN = 2 * SECOND
BASE = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Transaction:
    """It gets its id at `writes_at` and can be seen from `commits_at`; its row says `created_at`."""

    writes_at: int
    commits_at: int
    created_at: int
    row_id: str


@dataclass
class World:
    """A database that can be asked what it shows at a time."""

    transactions: list[Transaction]

    def moment(self, now: int) -> Moment:
        """Ids are given out in the order of writing; xmin is the lowest that is running, else the next one."""
        by_id = sorted(self.transactions, key=lambda t: (t.writes_at, t.row_id))
        next_id = 1 + sum(t.writes_at <= now for t in by_id)
        running = [number for number, t in enumerate(by_id, 1) if t.writes_at <= now < t.commits_at]
        return Moment(now, min(running, default=next_id), next_id)

    def page(self, now: int, after: Position, until: int | None, size: int) -> list[Position]:
        seen = [Position(t.created_at, t.row_id) for t in self.transactions if t.commits_at <= now]
        return sorted(p for p in seen if p > after and (until is None or p.created_at <= until))[:size]


@st.composite
def transactions(draw: st.DrawFn) -> list[Transaction]:
    made = []
    for number in range(draw(st.integers(1, 25))):
        begins = BASE + draw(st.integers(0, 3000)) * SECOND + draw(st.integers(0, SECOND - 1))
        writes_at = begins + draw(st.integers(0, OVERLAP // 2))
        commits_at = writes_at + draw(st.one_of(st.integers(0, SECOND), st.integers(0, 4000 * SECOND)))
        created_at = draw(st.sampled_from([begins, writes_at, commits_at]))
        if draw(st.booleans()):
            created_at = (created_at + SECOND // 2) // SECOND * SECOND  # CURRENT_TIMESTAMP(0)
        slow_clock = draw(st.sampled_from([0, 0, OVERLAP // 4]))
        fast_clock = draw(st.sampled_from([0, 0, 600 * SECOND]))
        row_id = f"{draw(st.integers(0, 9))}0000000-0000-4000-8000-{number:012d}"
        made.append(Transaction(writes_at, commits_at, created_at - slow_clock + fast_clock, row_id))
    return made


def call(
    world: World, text: str | None, now: int, size: int, start: int = 0
) -> tuple[str, list[Position], bool]:
    """One discovery call at a time, as the source makes it."""
    moment = world.moment(now)
    cursor = cursors.begin(start, moment) if text is None else cursors.from_text(text)
    cursor = cursors.look(cursor, moment, OVERLAP, INTERVAL)
    is_sweep = cursor.sweep is not None
    rows = world.page(now, *cursors.next_window(cursor, moment, MARGIN), size)
    is_full = len(rows) == size
    cursor = cursors.passed(cursor, moment, MARGIN, rows[-1] if rows else None, is_full)
    return cursors.to_text(cursor), rows, not is_full and not is_sweep


@examples(max_examples=200, deadline=None)
@given(transactions(), st.lists(st.integers(0, 8000), max_size=60), st.integers(2, 5), st.booleans())
def test_every_row_is_found_however_late_it_commits(
    made: list[Transaction], call_seconds: list[int], size: int, begins_late: bool
) -> None:
    world = World(made)
    seen: set[Position] = set()
    text = None
    begin = BASE + (1500 if begins_late else -10) * SECOND
    for at in sorted(call_seconds):
        text, rows, _ = call(world, text, begin + at * SECOND, size)
        seen.update(rows)
    for at in range(9600, 11_000, 70):  # all have committed; now the calls go on until nothing newer is there
        caught_up = False
        while not caught_up:
            text, rows, caught_up = call(world, text, BASE + at * SECOND, size)
            seen.update(rows)
    assert {Position(t.created_at, t.row_id) for t in made} <= seen


@examples(max_examples=50, deadline=None)
@given(transactions(), st.integers(0, 3000))
def test_no_row_from_before_the_start_is_returned(made: list[Transaction], start_second: int) -> None:
    world, start, text = World(made), BASE + start_second * SECOND, None
    for at in range(0, 9000, 50):
        text, rows, _ = call(world, text, BASE + at * SECOND, 4, start)
        assert all(row.created_at >= start for row in rows)


@examples(max_examples=50, deadline=None)
@given(transactions())
def test_the_list_of_marks_stays_short_while_a_transaction_is_open_for_ever(made: list[Transaction]) -> None:
    forever = Transaction(BASE - SECOND, BASE + 10**15, BASE - SECOND, "00000000-0000-4000-8000-999999999999")
    world, text = World([forever, *made]), None
    for at in range(0, 9000, 7):
        text, _, _ = call(world, text, BASE + at * SECOND, 4)
        assert len(cursors.from_text(text).marks) <= MOST_MARKS


def test_a_page_of_rows_dated_in_the_future_does_not_hide_rows_that_come_after_it() -> None:
    future = [
        Transaction(BASE, BASE, BASE + 500 * SECOND, f"10000000-0000-4000-8000-{n:012d}") for n in range(7)
    ]
    present = Transaction(
        BASE + 30 * SECOND, BASE + 30 * SECOND, BASE + 30 * SECOND, "20000000-0000-4000-8000-000000000000"
    )
    world, text, seen = World([*future, present]), None, []
    for at in range(35):
        text, rows, _ = call(world, text, BASE + at * SECOND, 3)
        seen += rows
    assert Position(present.created_at, present.row_id) in seen
    assert {row.row_id for row in future} <= {position.id for position in seen}


def test_a_sweep_of_several_pages_ends_and_gives_way_to_the_tail() -> None:
    world = World(
        [Transaction(BASE + n, BASE + n, BASE + n, f"10000000-0000-4000-8000-{n:012d}") for n in range(10)]
    )
    text, answers = None, []
    for _ in range(5):
        text, rows, caught_up = call(world, text, BASE + 10 * SECOND, 3)
        answers.append((len(rows), caught_up))
    assert answers == [(3, False), (3, False), (3, False), (1, True), (0, True)]
    answers = []
    for _ in range(5):
        text, rows, caught_up = call(world, text, BASE + 80 * SECOND, 3)
        answers.append((len(rows), caught_up))
    assert answers == [(3, False), (3, False), (3, False), (1, False), (0, True)]


def test_sweeps_of_many_pages_leave_the_tail_its_time() -> None:
    rows = [BASE + 5 * n * SECOND for n in range(600)]
    made = [Transaction(at, at, at, f"10000000-0000-4000-8000-{n:012d}") for n, at in enumerate(rows)]
    forever = Transaction(BASE, BASE + 10**15, BASE, "00000000-0000-4000-8000-999999999999")
    world, text, sweep_calls, seen = World([forever, *made]), None, 0, set()
    for at in range(-10, 3700):
        text, page, _ = call(world, text, BASE + at * SECOND, 2)
        sweep_calls += cursors.from_text(text).sweep is not None
        seen.update(page)
    assert len(seen) == 600
    assert 300 < sweep_calls < 1850, "sweeps grow to 300 pages, and are half of all calls at most"


def test_a_restored_database_whose_transaction_ids_start_over_does_not_widen_the_sweeps_for_ever() -> None:
    before = Moment(BASE, 900, 1000)
    cursor = cursors.passed(cursors.begin(0, before), before, MARGIN, Position(BASE - 5 * SECOND, "a"), False)
    assert cursor.marks
    after = Moment(BASE + 60 * SECOND, 50, 50)
    cursor = cursors.look(cursor, after, OVERLAP, INTERVAL)
    cursor = cursors.passed(cursor, after, MARGIN, None, False)
    cursor = cursors.passed(cursor, after, MARGIN, Position(BASE + 50 * SECOND, "b"), False)
    assert cursor.marks == ()
    assert cursor.closed == BASE + 50 * SECOND


def test_without_snapshots_the_overlap_still_covers_short_transactions() -> None:
    late = Transaction(BASE, BASE + 90 * SECOND, BASE, "10000000-0000-4000-8000-000000000000")
    newer = Transaction(
        BASE + 80 * SECOND, BASE + 80 * SECOND, BASE + 80 * SECOND, "20000000-0000-4000-8000-000000000000"
    )
    world, cursor, seen = World([late, newer]), None, []
    for at in range(0, 300, 5):
        moment = Moment(BASE + at * SECOND)
        cursor = cursors.look(cursor or cursors.begin(0, moment), moment, OVERLAP, INTERVAL)
        rows = world.page(moment.now, *cursors.next_window(cursor, moment, MARGIN), 10)
        cursor = cursors.passed(cursor, moment, MARGIN, rows[-1] if rows else None, False)
        seen += rows
    assert Position(late.created_at, late.row_id) in seen


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"v":2}', '{"v":1,"start":"x"}', "not json"])
def test_a_foreign_cursor_is_refused_and_not_started_over(text: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        cursors.from_text(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '["x","y"]'])
def test_a_foreign_position_is_refused(text: str) -> None:
    with pytest.raises(SourceRefused):
        cursors.position_from_text(text)
