"""Discovery on a real server: order, ties, paging, the configured start, back-fill, and rows that appear late."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dify_tables import (
    APP,
    FLOW,
    TENANT,
    WORKFLOW,
    Database,
    add_message,
    add_node,
    add_run,
    ago,
    new_id,
    utc_now,
)
from source_calls import ids, until_caught_up

from exporter.errors import SourceRefused
from exporter.model import RecordKind
from exporter.sources.discovery import PAGE_REFS
from exporter.sources.timestamps import to_micros


def test_messages_runs_and_single_steps_are_three_streams(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url)
    message = add_message(dify.connection, created_at=ago(minutes=2))
    run = add_run(dify.connection, created_at=ago(minutes=2))
    add_node(dify.connection, run)
    step = add_node(dify.connection, None)
    assert source.streams == ("messages", "runs", "nodes")
    found = {stream: until_caught_up(source, stream)[0] for stream in source.streams}
    assert {stream: ids(refs) for stream, refs in found.items()} == {
        "messages": [message],
        "runs": [run],
        "nodes": [step],
    }
    assert [refs[0].kind for refs in found.values()] == [RecordKind.MESSAGE, RecordKind.RUN, RecordKind.NODE]


def test_ten_thousand_rows_in_one_second_are_each_found_once_and_in_order(
    dify: Database, open_source: Any
) -> None:
    dify.connection.execute(
        "INSERT INTO messages (app_id, created_at) SELECT %s, timestamp '2026-01-02 03:04:05' FROM generate_series(1, 10000)",
        [APP],
    )
    source = open_source(dify.url)
    refs, cursor = until_caught_up(source, "messages")
    expected = [
        str(row[0]) for row in dify.connection.execute("SELECT id FROM messages ORDER BY created_at, id")
    ]
    assert ids(refs) == expected
    assert until_caught_up(source, "messages", cursor)[0] == []


def test_ties_across_a_page_border_are_neither_lost_nor_repeated(dify: Database, open_source: Any) -> None:
    dify.connection.execute(
        """INSERT INTO workflow_runs (tenant_id, app_id, created_at, type)
           SELECT %s, %s, timestamp '2026-01-02' + interval '1 second' * (n / 7), 'workflow' FROM generate_series(1, %s) n""",
        [TENANT, FLOW, PAGE_REFS * 2 + 11],
    )
    refs, _ = until_caught_up(open_source(dify.url), "runs")
    assert len(refs) == len(set(refs)) == PAGE_REFS * 2 + 11
    assert refs == sorted(refs, key=lambda ref: (ref.created_at, ref.id))


def test_a_page_that_is_exactly_full_is_followed_by_an_empty_one(dify: Database, open_source: Any) -> None:
    dify.connection.execute(
        "INSERT INTO messages (app_id, created_at) SELECT %s, timestamp '2026-01-02' FROM generate_series(1, %s)",
        [APP, PAGE_REFS],
    )
    source = open_source(dify.url)
    first = source.discover("messages", None)
    assert (len(first.refs), first.caught_up) == (PAGE_REFS, False)
    second = source.discover("messages", first.cursor)
    assert (second.refs, second.caught_up) == ((), True)


def test_created_at_is_exact_to_the_microsecond(dify: Database, open_source: Any) -> None:
    moment = datetime(2026, 11, 23, 19, 17, 7, 433732)
    add_run(dify.connection, created_at=moment)
    refs, _ = until_caught_up(open_source(dify.url), "runs")
    assert refs[0].created_at == 1795461427433732
    assert refs[0].created_at == int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000 + 433732


def test_reading_goes_on_after_a_restart_from_the_stored_cursor(dify: Database, open_source: Any) -> None:
    add_message(dify.connection, created_at=ago(minutes=5))
    _, cursor = until_caught_up(open_source(dify.url), "messages")
    newer = add_message(dify.connection, created_at=ago(minutes=4))
    refs, _ = until_caught_up(open_source(dify.url), "messages", cursor)
    assert ids(refs) == [newer]


def test_start_now_leaves_history_out_also_when_it_sweeps(dify: Database, open_source: Any) -> None:
    add_message(dify.connection, created_at=ago(minutes=5))
    source = open_source(dify.url, start="now", sweep_interval=0)
    refs, cursor = until_caught_up(source, "messages")
    assert refs == []
    newer = add_message(dify.connection, created_at=utc_now() + timedelta(seconds=1))
    for _ in range(3):
        refs, cursor = until_caught_up(source, "messages", cursor)
        assert set(ids(refs)) == {newer}


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        datetime.fromisoformat("2026-03-01T14:00:00+02:00"),
        datetime(2026, 3, 1, 12),
        "2026-03-01T12:00:00Z",
    ],
)
def test_start_at_a_time_takes_the_rows_of_that_very_moment(
    dify: Database, open_source: Any, start: Any
) -> None:
    add_message(dify.connection, created_at=datetime(2026, 3, 1, 11, 59, 59))
    wanted = [
        add_message(dify.connection, created_at=datetime(2026, 3, 1, 12, 0, second)) for second in (0, 1)
    ]
    refs, _ = until_caught_up(open_source(dify.url, start=start), "messages")
    assert ids(refs) == wanted


def test_rows_dated_in_the_future_are_returned_but_hide_nothing(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url)
    future = add_message(dify.connection, created_at=utc_now() + timedelta(hours=3))
    far = add_message(dify.connection, created_at=datetime(2100, 1, 1))
    refs, cursor = until_caught_up(source, "messages")
    assert ids(refs) == [future, far]
    present = add_message(dify.connection, created_at=utc_now())
    refs, cursor = until_caught_up(source, "messages", cursor)
    assert present in ids(refs)


def test_more_future_rows_than_a_page_do_not_keep_the_source_busy_for_ever(
    dify: Database, open_source: Any
) -> None:
    dify.connection.execute(
        "INSERT INTO messages (app_id, created_at) SELECT %s, timestamp '2100-01-01' FROM generate_series(1, %s)",
        [APP, PAGE_REFS + 5],
    )
    source = open_source(dify.url)
    refs, cursor = until_caught_up(source, "messages")
    assert len(set(refs)) == PAGE_REFS + 5
    present = add_message(dify.connection, created_at=utc_now())
    refs, _ = until_caught_up(source, "messages", cursor)
    assert present in ids(refs)


def test_infinite_timestamps_do_not_stop_discovery(dify: Database, open_source: Any) -> None:
    for moment in ("infinity", "-infinity"):
        dify.connection.execute(
            "INSERT INTO messages (app_id, created_at) VALUES (%s, %s::timestamp)", [APP, moment]
        )
    sane = add_message(dify.connection, created_at=ago(minutes=1))
    refs, _ = until_caught_up(open_source(dify.url), "messages")
    assert ids(refs) == [sane]


def test_a_chatflow_run_is_left_alone_until_its_message_surely_names_it(
    dify: Database, open_source: Any
) -> None:
    source = open_source(dify.url)
    young = add_run(dify.connection, type="chat", created_at=ago(seconds=27))
    plain = add_run(dify.connection, type="workflow", created_at=ago(seconds=26))
    refs, cursor = until_caught_up(source, "runs")
    assert ids(refs) == [plain]
    time.sleep(3.5)
    refs, _ = until_caught_up(source, "runs", cursor)
    assert young in ids(refs)


def test_a_range_is_half_open_paged_and_counted(dify: Database, open_source: Any) -> None:
    begin = datetime(2026, 2, 1)
    dify.connection.execute(
        """INSERT INTO messages (app_id, created_at)
           SELECT %s, %s::timestamp + interval '1 second' * (n / 3) FROM generate_series(0, %s) n""",
        [APP, begin, 3 * PAGE_REFS],
    )
    since, until = to_micros(begin) + 1_000_000, to_micros(begin) + 1_000_000 * (PAGE_REFS - 1)
    source = open_source(dify.url)
    refs, after = [], None
    while True:
        found = source.discover_range("messages", since, until, after)
        refs += found.refs
        after = found.cursor
        if found.caught_up:
            break
    assert len(refs) == len(set(refs)) == source.count_range("messages", since, until) == 3 * (PAGE_REFS - 2)
    assert refs[0].created_at == since
    assert refs[-1].created_at == until - 1_000_000


def test_a_range_counts_each_stream_by_itself(dify: Database, open_source: Any) -> None:
    run = add_run(dify.connection, created_at=ago(minutes=3))
    add_node(dify.connection, run, created_at=ago(minutes=3))
    add_node(dify.connection, None, created_at=ago(minutes=3))
    source = open_source(dify.url)
    since, until = to_micros(ago(hours=1)), to_micros(utc_now())
    assert [source.count_range(stream, since, until) for stream in source.streams] == [0, 1, 1]
    assert len(source.discover_range("nodes", since, until, None).refs) == 1


def test_a_damaged_cursor_is_refused(dify: Database, open_source: Any) -> None:
    with pytest.raises(SourceRefused, match="cannot be understood"):
        open_source(dify.url).discover("messages", "{}")


def test_an_old_dify_without_ordered_indexes_is_read_the_same_way(
    old_dify: Database, open_source: Any
) -> None:
    old_dify.connection.execute(
        """INSERT INTO workflow_runs (tenant_id, app_id, workflow_id, created_at, type)
           SELECT %s, %s, %s, timestamp '2026-01-02' + interval '1 second' * (n / 7), 'workflow'
           FROM generate_series(1, 5000) n""",
        [TENANT, FLOW, WORKFLOW],
    )
    step = add_node(old_dify.connection, None)
    add_node(old_dify.connection, new_id())
    source = open_source(old_dify.url)
    refs, cursor = until_caught_up(source, "runs")
    assert len(refs) == len(set(refs)) == 5000
    assert refs == sorted(refs, key=lambda ref: (ref.created_at, ref.id))
    newer = add_run(old_dify.connection, created_at=ago(minutes=1))
    assert ids(until_caught_up(source, "runs", cursor)[0]) == [newer]
    assert ids(until_caught_up(source, "nodes")[0]) == [step]


def test_a_slow_look_that_found_nothing_more_is_followed_by_rest(
    old_dify: Database, open_source: Any
) -> None:
    add_run(old_dify.connection, created_at=ago(minutes=1))
    old_dify.connection.execute("ALTER TABLE workflow_runs RENAME TO runs_behind_a_view")
    old_dify.connection.execute(
        "CREATE VIEW workflow_runs AS SELECT r.* FROM runs_behind_a_view r, (SELECT pg_sleep(0.6) OFFSET 0) s"
    )
    source = open_source(old_dify.url)
    _, cursor = until_caught_up(source, "runs")
    old_dify.connection.execute(
        "INSERT INTO runs_behind_a_view (tenant_id, app_id, created_at) VALUES (%s, %s, now())",
        [TENANT, FLOW],
    )
    started = time.monotonic()
    found = source.discover("runs", cursor)
    assert (found.refs, found.cursor, found.caught_up) == ((), cursor, True)
    assert time.monotonic() - started < 0.6, "the database was asked although it had just been slow"
