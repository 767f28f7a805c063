"""Usage per stretch of time in the state file: the latest word counts, earlier ones stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Tokens
from exporter.state import buckets, migrations
from exporter.state.migrations import APPLICATION_ID
from exporter.state.store import Store
from exporter.vendor.pullers.base import Bucket, Told

HOUR = 3_600 * 1_000_000
ROW = Bucket("openai", 0, HOUR, "gpt-4o", "key", Tokens(100, 10), 3, Decimal("0.50"), "USD", "", "usage")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "state.db")
    yield found
    found.close()


def put(store: Store, rows: list[Bucket], now: int, told: list[Told] | None = None) -> None:
    with store.transaction("test") as connection:
        buckets.put(connection, rows, now, told or [])


def kept(store: Store) -> list[Bucket]:
    with store.read() as connection:
        return list(buckets.between(connection, -HOUR, 100 * HOUR))


def revisions(store: Store) -> list[tuple[object, ...]]:
    with store.read() as connection:
        return connection.execute(
            "SELECT input, seen_at, replaced_at FROM usage_revisions ORDER BY replaced_at"
        ).fetchall()


def test_the_same_word_again_changes_nothing_however_its_amount_is_written(store: Store) -> None:
    put(store, [ROW], 1)
    put(store, [replace(ROW, cost=Decimal("0.5"))], 2)
    assert (len(kept(store)), revisions(store)) == (1, [])


def test_every_word_that_was_ever_said_is_kept_with_the_time_it_stood(store: Store) -> None:
    for now, count in enumerate((100, 120, 120, 90), start=1):
        put(store, [replace(ROW, tokens=Tokens(count, 10))], now)
    assert [row.tokens.input for row in kept(store)] == [90]
    assert revisions(store) == [(100, 1, 2), (120, 2, 4)]


def test_a_row_that_is_gone_and_comes_back_counts_again(store: Store) -> None:
    told = [Told("openai", "usage", 0, HOUR)]
    put(store, [ROW], 1, told)
    put(store, [], 2, told)
    assert kept(store) == []
    put(store, [ROW], 3, told)
    assert kept(store) == [replace(ROW, cost=Decimal("0.5"))]
    with store.read() as connection:
        (change,) = buckets.changes(connection, None, None)
    assert (change["rows"], change["gone"], change["input"], change["cost"]) == (1, 0, 0, {})


def test_what_is_told_whole_takes_back_only_its_own_report_source_and_time(store: Store) -> None:
    others = [
        replace(ROW, source="other"),
        replace(ROW, report="costs"),
        replace(ROW, starts_at=HOUR, ends_at=2 * HOUR),
    ]
    put(store, [ROW, *others], 1)
    put(store, [], 2, [Told("openai", "usage", 0, HOUR)])
    assert {(row.source, row.report, row.starts_at) for row in kept(store)} == {
        ("other", "usage", 0), ("openai", "costs", 0), ("openai", "usage", HOUR),
    }  # fmt: skip


def test_changes_say_what_later_words_did_to_the_sums(store: Store) -> None:
    second = replace(ROW, key="another")
    told = [Told("openai", "usage", 0, HOUR)]
    put(store, [ROW, second], 1, told)
    put(store, [replace(ROW, tokens=Tokens(150, 5), cost=Decimal("0.7"))], 2, told)
    with store.read() as connection:
        (change,) = buckets.changes(connection, 0, HOUR)
        assert buckets.changes(connection, HOUR, 2 * HOUR) == []
    assert change == {
        "source": "openai", "report": "usage", "stretches": 1, "rows": 2, "gone": 1, "input": -50, "output": -15,
        "cost": {"USD": "-0.3"}, "last_changed_at": "1970-01-01T00:00:00.000002Z",
    }  # fmt: skip


@given(st.lists(st.decimals("0.0000000001", "9999", places=10), min_size=1, max_size=20))
def test_sums_of_money_are_exact(tmp_path_factory: pytest.TempPathFactory, amounts: list[Decimal]) -> None:
    store = Store(tmp_path_factory.mktemp("sums") / "state.db")
    put(store, [replace(ROW, group=str(number), cost=cost) for number, cost in enumerate(amounts)], 1)
    with store.read() as connection:
        (found,) = buckets.sums(connection, None, None)
    store.close()
    assert Decimal(str(found["cost"])) == sum(amounts)


def test_pruning_forgets_stretches_and_what_was_said_of_them(store: Store) -> None:
    put(store, [ROW], 1)
    put(store, [replace(ROW, requests=4)], 2)
    with store.transaction("test") as connection:
        buckets.prune(connection, HOUR + 1)
    assert (kept(store), revisions(store)) == ([], [])


def test_stretches_of_an_older_state_file_are_taken_over(tmp_path: Path) -> None:
    steps = Path(migrations.__file__).with_name("steps")
    old = sqlite3.connect(tmp_path / "old.db")
    for step in sorted(steps.iterdir()):
        if step.name < "0003":
            old.executescript(step.read_text(encoding="utf-8"))
    old.execute(
        "INSERT INTO usage_buckets VALUES ('openrouter', 0, ?, 'm', '', '', 3, 10, 1, NULL, NULL, NULL, '0.5', 'USD', 7)",
        (HOUR,),
    )
    old.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;")
    old.close()
    store = Store(tmp_path / "old.db")
    (row,) = kept(store)
    store.close()
    assert (row.source, row.report, row.tokens.input, row.cost) == ("openrouter", "", 10, Decimal("0.5"))
