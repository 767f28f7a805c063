"""Finding and reading rows on MySQL: whole seconds that tie, late rows, clocks of other zones, odd values."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from dify_tables import APP, FLOW, TENANT, USER, WORKFLOW, ago, new_id
from source_calls import fetch_all, ids, only_trace, until_caught_up

from exporter.sources.database import PROBE_AGAIN_SECONDS
from exporter.sources.timestamps import to_micros
from tests.sources.mysql.conftest import MysqlDify

ZONE = timedelta(hours=8)


def many(dify: MysqlDify, count: int, at: datetime) -> set[str]:
    """Messages of one second."""
    rows = [(new_id(), APP, "Hi", at) for _ in range(count)]
    with dify.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO messages (id, app_id, query, created_at) VALUES (%s, %s, %s, %s)", rows
        )
    return {row[0] for row in rows}


def test_ten_thousand_rows_in_one_second_are_each_found_once_and_in_order(
    dify: MysqlDify, open_source: Any
) -> None:
    expected = many(dify, 10_000, ago(minutes=5).replace(microsecond=0))
    found = ids(until_caught_up(open_source(dify.url), "messages")[0])
    assert found == sorted(expected)


def test_reading_goes_on_after_a_restart_from_the_stored_cursor(dify: MysqlDify, open_source: Any) -> None:
    many(dify, 10, ago(minutes=5))
    _, cursor = until_caught_up(open_source(dify.url), "messages")
    newer = dify.message(created_at=ago(seconds=20))
    assert ids(until_caught_up(open_source(dify.url), "messages", cursor)[0]) == [newer]


def test_a_range_is_half_open_and_counted(dify: MysqlDify, open_source: Any) -> None:
    start = datetime(2026, 3, 1, 12)
    rows = [dify.message(created_at=start + timedelta(seconds=number)) for number in range(5)]
    source = open_source(dify.url)
    since, until = to_micros(start + timedelta(seconds=1)), to_micros(start + timedelta(seconds=4))
    found = source.discover_range("messages", since, until, None)
    assert ids(list(found.refs)) == rows[1:4]
    assert source.count_range("messages", since, until) == 3


def test_a_row_committed_late_is_found_within_the_overlap(dify: MysqlDify, open_source: Any) -> None:
    source = open_source(dify.url, sweep_interval="0s", overlap="5m")
    late = dify.other(autocommit=False)
    hidden = dify.message(late, created_at=ago(minutes=2))
    seen = dify.message(created_at=ago(minutes=1))
    found, cursor = until_caught_up(source, "messages")
    assert ids(found) == [seen]
    late.commit()
    again: list[str] = []
    for _ in range(3):
        more, cursor = until_caught_up(source, "messages", cursor)
        again += ids(more)
    assert hidden in again


@pytest.mark.parametrize("zone", ["+08:00", "SYSTEM"])
@pytest.mark.parametrize("has_chatflows", [False, True])
def test_on_a_server_of_another_zone_messages_are_dated_in_utc(
    dify: MysqlDify, open_source: Any, has_chatflows: bool, zone: str
) -> None:
    dify.server.run(f"SET GLOBAL time_zone = '{zone}'")
    at = ago(minutes=10).replace(microsecond=0)
    if has_chatflows:
        run = dify.workflow_run(type="chat", created_at=at, finished_at=at)
        dify.message(app_id=FLOW, workflow_run_id=run, created_at=at + ZONE)
    told_by_database = dify.message(dify.other())
    told_by_dify = dify.workflow_run(created_at=at, finished_at=at)
    source = open_source(dify.url)
    messages = {ref.id: ref.created_at for ref in until_caught_up(source, "messages")[0]}
    runs = {ref.id: ref.created_at for ref in until_caught_up(source, "runs")[0]}
    assert abs(messages[told_by_database] - to_micros(ago())) < 60_000_000
    assert runs[told_by_dify] == to_micros(at)
    told = dict(source.describe())["clock"]
    assert {"+08:00": "+08:00", "SYSTEM": "SYSTEM (CST)"}[zone] in told
    assert ("taken to be" in told) is not has_chatflows
    if has_chatflows:
        (filtered,) = source.fetch(
            tuple(ref for ref in until_caught_up(source, "runs")[0] if ref.id == run)
        ).filtered
        assert filtered.reason.startswith("part of message")


def test_dify_may_have_been_set_to_utc_on_a_server_of_another_zone(dify: MysqlDify, open_source: Any) -> None:
    dify.server.run("SET GLOBAL time_zone = '+08:00'")
    at = ago(minutes=10).replace(microsecond=0)
    run = dify.workflow_run(type="chat", created_at=at, finished_at=at)
    message = dify.message(workflow_run_id=run, created_at=at)
    source = open_source(dify.url)
    assert "clock" not in dict(source.describe())
    assert {ref.id: ref.created_at for ref in until_caught_up(source, "messages")[0]} == {
        message: to_micros(at)
    }


@pytest.mark.parametrize(("times", "hours"), [("utc", 0), ("server", 8)])
def test_where_nothing_tells_the_settings_do(
    dify: MysqlDify, open_source: Any, times: str, hours: int
) -> None:
    dify.server.run("SET GLOBAL time_zone = '+08:00'")
    at = ago(hours=20).replace(microsecond=0)
    message = dify.message(created_at=at)
    source = open_source(dify.url, {"message_times": times})
    found = {ref.id: ref.created_at for ref in until_caught_up(source, "messages")[0]}
    assert found == {message: to_micros(at - timedelta(hours=hours))}
    assert "taken to be" not in str(dict(source.describe()).get("clock"))


def test_what_was_told_of_the_clock_is_not_replaced_by_an_assumption(
    dify: MysqlDify, open_source: Any
) -> None:
    dify.server.run("SET GLOBAL time_zone = '+08:00'")
    at = ago(minutes=10).replace(microsecond=0)
    run = dify.workflow_run(type="chat", created_at=at, finished_at=at)
    dify.message(app_id=FLOW, workflow_run_id=run, created_at=at)
    source = open_source(dify.url)
    _, cursor = until_caught_up(source, "messages")
    dify.run("DELETE FROM workflow_runs")
    source.probe = replace(source.probe, at_seconds=source.probe.at_seconds - PROBE_AGAIN_SECONDS)
    newer = dify.message(created_at=ago(seconds=5))
    assert ids(until_caught_up(source, "messages", cursor)[0]) == [newer]


def with_summer_time(dify: MysqlDify, name: str, number: int, begins: int, ends: int) -> None:
    """Sets the server to a zone of an hour's offset in winter and two in summer, which lasts for these seconds."""
    dify.server.run(
        f"REPLACE INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES ({number}, 'N')",
        f"REPLACE INTO mysql.time_zone_name VALUES ('{name}', {number})",
        "REPLACE INTO mysql.time_zone_transition_type VALUES"
        f" ({number}, 0, 3600, 0, 'CET'), ({number}, 1, 7200, 1, 'CEST')",
        f"REPLACE INTO mysql.time_zone_transition VALUES ({number}, {begins}, 1), ({number}, {ends}, 0)",
        f"SET GLOBAL time_zone = '{name}'",
    )


def test_messages_of_the_hour_that_comes_twice_are_all_found(dify: MysqlDify, open_source: Any) -> None:
    now = ago(seconds=0).replace(microsecond=0)
    ended = now - timedelta(minutes=30)
    with_summer_time(dify, "Test/Ended", 9001, 1774746000, to_micros(ended) // 1_000_000)
    before = dify.message(created_at=now - timedelta(minutes=31) + timedelta(hours=2))
    source = open_source(dify.url, {"message_times": "server"}, sweep_interval="0s", overlap="1m")
    found, cursor = until_caught_up(source, "messages")
    assert ids(found) == [before]
    after = dify.message(created_at=now - timedelta(minutes=1) + timedelta(hours=1))
    again: list[str] = []
    for _ in range(3):
        more, cursor = until_caught_up(source, "messages", cursor)
        again += ids(more)
    assert after in again


def test_a_server_whose_zone_changes_over_the_year_is_followed(dify: MysqlDify, open_source: Any) -> None:
    with_summer_time(dify, "Test/Summer", 9000, 1774746000, 1792890000)
    # Central Europe in 2026: from 29 March 01:00 UTC to 25 October 01:00 UTC
    winter = dify.message(created_at="2026-02-01 12:00:00")
    summer = dify.message(created_at="2026-07-01 12:00:00")
    found = {ref.id: ref.created_at for ref in until_caught_up(open_source(dify.url), "messages")[0]}
    assert found == {
        winter: to_micros(datetime(2026, 2, 1, 11)),
        summer: to_micros(datetime(2026, 7, 1, 10)),
    }


def test_a_message_comes_with_every_text_exact(dify: MysqlDify, open_source: Any) -> None:
    text = '日本語 🎉 it\'s \\ "quoted" %s :name \u0000end'
    dify.message(
        query=text, answer=text, created_at=ago(minutes=1), message='[{"role": "user", "text": "🎉"}]'
    )
    row = only_trace(open_source(dify.url), "messages").message
    assert (row.query, row.answer, row.message) == (text, text, '[{"role": "user", "text": "🎉"}]')
    assert (row.message_tokens, row.answer_tokens) == (5, 7)


def test_times_that_are_none_are_unknown(dify: MysqlDify, open_source: Any) -> None:
    dify.run("SET SESSION sql_mode = ''")
    dify.workflow_run(created_at=ago(minutes=1), finished_at="0000-00-00 00:00:00", elapsed_time=0)
    dify.message(created_at="0000-00-00 00:00:00")
    source = open_source(dify.url)
    assert only_trace(source, "runs").run.finished_at is None
    assert until_caught_up(source, "messages")[0] == []


def test_a_node_inside_a_container_that_ran_twice_in_one_second_hangs_on_its_own_run_of_it(
    dify: MysqlDify, open_source: Any
) -> None:
    from exporter.sources.assemble import assemble

    at = ago(minutes=1).replace(microsecond=0)
    run = dify.workflow_run(created_at=at, finished_at=at)
    base = {
        "tenant_id": TENANT, "app_id": FLOW, "workflow_id": WORKFLOW, "workflow_run_id": run, "triggered_from": "workflow-run",
        "status": "succeeded", "created_by_role": "end_user", "created_by": USER, "created_at": at, "finished_at": at,
        "elapsed_time": 0.1, "inputs": "{}", "process_data": "{}", "outputs": "{}",
    }  # fmt: skip
    inner = '{"iteration_id": "it", "iteration_index": 0}'
    for index, node, kind, metadata in (
        (1, "it", "iteration", "{}"), (2, "code", "code", inner), (3, "it", "iteration", "{}"), (4, "code", "code", inner),
    ):  # fmt: skip
        dify.insert(
            "workflow_node_executions", **base, index=index, node_id=node, node_type=kind, title=f"{node} {index}",
            execution_metadata=metadata,
        )  # fmt: skip
    source = open_source(dify.url)
    (rows,) = fetch_all(source, until_caught_up(source, "runs")[0]).traces
    steps = {step.span_id: step for step in assemble(rows).steps}
    homes = {
        step.name: steps[str(steps[str(step.parent_id)].parent_id)].name
        for step in steps.values()
        if step.name.startswith("code")
    }
    assert homes == {"code 2": "it 1", "code 4": "it 3"}
