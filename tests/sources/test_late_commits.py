"""Rows that become visible after newer rows were passed. The plain overlap is kept tiny where something else must help."""

from __future__ import annotations

import time
from typing import Any

from dify_tables import APP, Database, add_message, add_run
from source_calls import begun_long_ago, follow, ids, minutes, until_caught_up


def test_a_row_of_a_transaction_left_open_longer_than_the_overlap_is_not_lost(
    dify: Database, open_source: Any
) -> None:
    source = open_source(dify.url, overlap=60, sweep_interval=0)
    add_message(dify.connection, created_at=minutes(30))
    cursor = begun_long_ago(source)
    slow = dify.transaction()
    late = add_message(slow, created_at=minutes(29.5))
    for age in (28, 20, 10, 5):
        newer = add_message(dify.connection, created_at=minutes(age))
        refs, cursor = follow(source, cursor)
        assert newer in ids(refs)
        assert late not in ids(refs)
    slow.commit()
    refs, cursor = follow(source, cursor)
    assert late in ids(refs), "nothing but the snapshot guard reaches back 25 minutes with an overlap of one"
    refs, _ = follow(source, cursor)
    assert ids(refs).count(late) <= 1, "once the transaction has ended the window closes again"


def test_the_same_in_real_time_with_the_databases_own_timestamps(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url, overlap=1, sweep_interval=0)
    _, cursor = follow(source, None)
    slow = dify.transaction()
    late = add_message(slow)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        newer = add_message(dify.connection)
        refs, cursor = follow(source, cursor, 1)
        assert newer in ids(refs)
        assert late not in ids(refs)
        time.sleep(0.5)
    slow.commit()
    refs, _ = follow(source, cursor, 2)
    assert late in ids(refs)


def test_a_transaction_that_was_open_before_the_first_look_is_waited_for(
    dify: Database, open_source: Any
) -> None:
    slow = dify.transaction()
    late = add_message(slow, created_at=minutes(20))
    add_message(dify.connection, created_at=minutes(10))
    source = open_source(dify.url, overlap=1, sweep_interval=0)
    _, cursor = follow(source, None)
    add_message(dify.connection, created_at=minutes(2))
    refs, cursor = follow(source, cursor)
    assert late not in ids(refs)
    slow.commit()
    assert late in ids(follow(source, cursor)[0])


def test_a_transaction_that_was_open_before_the_first_look_in_a_quiet_database(
    dify: Database, open_source: Any
) -> None:
    add_message(dify.connection, created_at=minutes(25))
    slow = dify.transaction()
    late = add_message(slow, created_at=minutes(20))
    source = open_source(dify.url, overlap=1, sweep_interval=0)
    refs, cursor = follow(source, None)
    assert late not in ids(refs)
    add_message(dify.connection, created_at=minutes(2))
    _, cursor = follow(source, cursor)
    slow.commit()
    assert late in ids(follow(source, cursor)[0])


def test_the_highest_transaction_id_may_be_the_slow_one(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url, overlap=60, sweep_interval=0)
    add_message(dify.connection, created_at=minutes(30))
    cursor = begun_long_ago(source)
    other, slow = dify.transaction(), dify.transaction()
    other.execute("CREATE TEMPORARY TABLE takes_the_lower_id (n int)")
    late = add_message(slow, created_at=minutes(29.5))
    newer = add_message(other, created_at=minutes(5))
    other.commit()
    refs, cursor = follow(source, cursor)
    assert newer in ids(refs)
    assert late not in ids(refs)
    slow.commit()
    assert late in ids(follow(source, cursor)[0]), (
        "no transaction with a higher id had ended, yet this one was running"
    )


def test_two_long_transactions_that_overlap_are_both_found(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url, overlap=60, sweep_interval=0)
    add_message(dify.connection, created_at=minutes(30))
    cursor = begun_long_ago(source)
    first = dify.transaction()
    early = add_message(first, created_at=minutes(29.5))
    add_message(dify.connection, created_at=minutes(20))
    _, cursor = follow(source, cursor)
    second = dify.transaction()
    later = add_message(second, created_at=minutes(19.5))
    add_message(dify.connection, created_at=minutes(10))
    _, cursor = follow(source, cursor)
    first.commit()
    refs, cursor = follow(source, cursor)
    assert early in ids(refs)
    add_message(dify.connection, created_at=minutes(1))
    _, cursor = follow(source, cursor)
    second.commit()
    assert later in ids(follow(source, cursor)[0])


def test_a_transaction_that_wrote_long_after_it_began_is_covered_by_the_overlap(
    dify: Database, open_source: Any
) -> None:
    source = open_source(dify.url, sweep_interval=0)
    slow = dify.transaction()
    began = slow.execute("SELECT now()").fetchone()
    time.sleep(1.2)
    for _ in range(3):
        add_message(dify.connection)
    _, cursor = follow(source, None)
    late = add_message(slow)
    slow.commit()
    created_at = dify.connection.execute("SELECT created_at FROM messages WHERE id = %s", [late]).fetchone()
    assert created_at is not None
    assert began is not None
    assert abs((created_at[0] - began[0].replace(tzinfo=None)).total_seconds()) <= 0.5, (
        "dated at the transaction's start"
    )
    assert late in ids(follow(source, cursor)[0])


def test_the_guard_survives_a_restart_in_the_middle(dify: Database, open_source: Any) -> None:
    add_message(dify.connection, created_at=minutes(30))
    cursor = begun_long_ago(open_source(dify.url, overlap=60, sweep_interval=0))
    slow = dify.transaction()
    late = add_message(slow, created_at=minutes(29.5))
    add_message(dify.connection, created_at=minutes(5))
    _, cursor = follow(open_source(dify.url, overlap=60, sweep_interval=0), cursor)
    slow.commit()
    assert late in ids(follow(open_source(dify.url, overlap=60, sweep_interval=0), cursor)[0])


def test_a_rolled_back_transaction_leaves_nothing_behind(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url, overlap=60, sweep_interval=0)
    add_message(dify.connection, created_at=minutes(30))
    cursor = begun_long_ago(source)
    slow = dify.transaction()
    never = add_message(slow, created_at=minutes(29.5))
    kept = add_message(dify.connection, created_at=minutes(5))
    _, cursor = follow(source, cursor)
    slow.rollback()
    refs, cursor = follow(source, cursor)
    assert never not in ids(refs)
    assert set(ids(follow(source, cursor)[0])) == {kept}


def test_sweeps_come_at_their_interval_and_not_at_every_call(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url, sweep_interval=3600)
    known = add_message(dify.connection, created_at=minutes(5))
    refs, cursor = follow(source, None, 1)
    assert ids(refs) == [known]
    late = add_message(dify.connection, created_at=minutes(6))
    assert follow(source, cursor)[0] == []
    refs, _ = follow(open_source(dify.url, sweep_interval=0), cursor)
    assert set(ids(refs)) == {known, late}


def test_a_late_run_is_found_like_a_late_message(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url, overlap=60, sweep_interval=0)
    add_run(dify.connection, created_at=minutes(30))
    cursor = begun_long_ago(source, "runs")
    slow = dify.transaction()
    late = add_run(slow, created_at=minutes(29.5))
    add_run(dify.connection, created_at=minutes(5))
    _, cursor = until_caught_up(source, "runs", cursor)
    _, cursor = until_caught_up(source, "runs", cursor)
    slow.commit()
    assert late in ids(until_caught_up(source, "runs", cursor)[0])


def test_ten_thousand_late_rows_come_back_in_a_sweep_of_several_pages(
    dify: Database, open_source: Any
) -> None:
    source = open_source(dify.url, sweep_interval=0)
    add_message(dify.connection, created_at=minutes(2))
    _, cursor = until_caught_up(source, "messages")
    dify.connection.execute(
        "INSERT INTO messages (app_id, created_at) SELECT %s, %s FROM generate_series(1, 10000)",
        [APP, minutes(10)],
    )
    refs, _ = until_caught_up(source, "messages", cursor)
    assert len(set(refs)) == 10_001
