"""Finding records through lists that lose ties, move while they are read, and tell times in the account's own zone."""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from exporter.errors import Unreachable
from exporter.model import RecordKind
from exporter.sources.console.source import ConsoleSource
from exporter.sources.console.zones import end_text, start_text
from exporter.sources.http.pace import Pace
from tests.conftest import RecordedDify
from tests.contract.console_rows import Row
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found
from tests.sources.console.restored import twin_of

NOON = datetime(2026, 6, 1, 12, 0, 0)


def chat_app(twin: ConsoleTwin) -> Row:
    return next(row for row in twin.rows.tables["apps"] if row["mode"] == "chat")


def workflow_app(twin: ConsoleTwin) -> Row:
    apps = [row for row in twin.rows.tables["apps"] if row["mode"] == "workflow"]
    return max(apps, key=lambda app: len(twin.rows.group("workflow_runs", "app_id", app["id"])))


def emptied(twin: ConsoleTwin) -> None:
    """Nothing in it but apps and people; one message and one run stay as patterns."""
    for name in (
        "conversations",
        "messages",
        "workflow_runs",
        "workflow_app_logs",
        "workflow_node_executions",
    ):
        twin.rows.tables[name].clear()
    refresh(twin)


def refresh(twin: ConsoleTwin) -> None:
    rows = twin.rows
    rows.of.clear()
    rows.by_id = {
        table: {row["id"]: row for row in held if "id" in row} for table, held in rows.tables.items()
    }


def pattern(twin: ConsoleTwin, table: str, **wanted: Any) -> Row:
    """A copy of the first row with these values."""
    row = next(
        row for row in twin.rows.tables[table] if all(row.get(key) == value for key, value in wanted.items())
    )
    return copy.deepcopy(row)


class Patterns:
    """Rows to make others of, taken before a twin is emptied."""

    def __init__(self, twin: ConsoleTwin) -> None:
        self.twin, self.chat, self.flow = twin, chat_app(twin), workflow_app(twin)
        self._message = pattern(
            twin, "messages", workflow_run_id=None, status="normal", app_id=self.chat["id"]
        )
        self._run = pattern(twin, "workflow_runs", app_id=self.flow["id"])
        self._log = pattern(twin, "workflow_app_logs", app_id=self.flow["id"])
        self._talk = pattern(twin, "conversations", id=self._message["conversation_id"])
        emptied(twin)

    def talk(self, updated_at: datetime, *messages: datetime) -> list[str]:
        """A conversation with messages made at these times; their ids."""
        talk = {**self._talk, "id": str(uuid.uuid4()), "created_at": messages[0], "updated_at": updated_at}
        made = [
            {**self._message, "id": str(uuid.uuid4()), "conversation_id": talk["id"], "created_at": moment}
            for moment in messages
        ]
        self.twin.rows.tables["conversations"].append(talk)
        self.twin.rows.tables["messages"] += made
        refresh(self.twin)
        return [row["id"] for row in made]

    def run(self, created_at: datetime, trigger: str = "app-run") -> str:
        """A run, with its log entry unless it is of the editor."""
        run = {**self._run, "id": str(uuid.uuid4()), "created_at": created_at, "triggered_from": trigger}
        self.twin.rows.tables["workflow_runs"].append(run)
        if trigger != "debugging":
            log = {
                **self._log,
                "id": str(uuid.uuid4()),
                "workflow_run_id": run["id"],
                "created_at": created_at,
            }
            self.twin.rows.tables["workflow_app_logs"].append(log)
        refresh(self.twin)
        return str(run["id"])


@pytest.fixture
def patterns(twin: ConsoleTwin) -> Patterns:
    return Patterns(twin)


def rest(source: ConsoleSource) -> None:
    for stream in source.known.values():
        stream.next_look = 0.0


@pytest.mark.parametrize("trigger", ["app-run", "debugging", "webhook", "schedule"])
def test_runs_of_the_same_second_are_not_lost_at_the_edge_of_a_page(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources, trigger: str
) -> None:
    """290 runs, five in each second, with the same microsecond: a strict cursor drops those behind a page's edge."""
    made = {patterns.run(NOON + timedelta(seconds=number // 5), trigger) for number in range(290)}
    assert set(found(sources.open(twin))) == made


def test_messages_of_the_same_second_are_not_lost_at_the_edge_of_a_page(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    made = set(patterns.talk(NOON, *(NOON + timedelta(seconds=number // 7) for number in range(350))))
    assert set(found(sources.open(twin))) == made


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_conversations_of_the_same_minute_are_all_read_whatever_the_accounts_zone(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources, zone: str
) -> None:
    for login in twin.logins.values():
        login.zone = zone
    made = {patterns.talk(NOON + timedelta(seconds=number // 30), NOON)[0] for number in range(450)}
    assert set(found(sources.open(twin))) == made


def test_conversations_of_the_hour_that_comes_twice_are_all_read(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    """New York, 1 November 2026: 01:30 is there at 05:30 and again at 06:30 UTC, and Dify takes it for the second."""
    begin = datetime(2026, 11, 1, 4, 30)
    made = {patterns.talk(begin + timedelta(seconds=30 * number), begin)[0] for number in range(400)}
    source, cursors = sources.open(twin), dict[str, str]()
    met = set(found(source, cursors))
    late = patterns.talk(datetime(2026, 11, 1, 5, 45), datetime(2026, 11, 1, 5, 45))
    assert met == made
    assert set(late) <= set(found(sources.open(twin)))


def test_a_minute_is_named_so_that_nothing_is_left_out() -> None:
    for name in ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"):
        zone = ZoneInfo(name)
        for minutes in range(0, 3 * 365 * 24 * 60, 1201):
            moment = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) + 60 * minutes + 17
            start, end = (understood(text(zone, moment), zone) for text in (start_text, end_text))
            assert start <= moment < end
            assert moment - start <= 7200
            assert end - moment <= 7200


def understood(text: str, zone: ZoneInfo) -> float:
    """As Dify does it: an hour that comes twice is taken for the second."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=zone, fold=1).timestamp()


@pytest.mark.parametrize("version", ["0.15.3", "1.0.1", "1.8.1", "1.9.1"])
def test_an_old_dify_tells_what_it_can(version: str, recorded_dify: RecordedDify, sources: Sources) -> None:
    """No times in the log's filter before 1.1.0; before 1.9.2 only debug runs in lists, so chatflows come by conversations."""
    with twin_of(recorded_dify.url, "1.14.0") as newest, twin_of(recorded_dify.url, version) as old:
        new_source, old_source = sources.open(newest), sources.open(old)
        assert set(found(old_source)) == set(found(new_source))
        assert "chatflow runs" in dict(old_source.describe())


def test_without_a_filter_by_time_the_log_is_read_to_the_floor_only(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    twin.version = "1.0.1"
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    made = {patterns.run(now - timedelta(minutes=number)) for number in range(500)}
    source, cursors = sources.open(twin), dict[str, str]()
    assert set(found(source, cursors)) == made
    twin.asked.clear()
    rest(source)
    newest = patterns.run(now)
    assert newest in found(source, cursors)
    assert len(twin.paths("workflow-app-logs")) == len(
        [app for app in twin.rows.tables["apps"] if app["mode"] == "workflow"]
    )


def test_a_run_deleted_at_the_position_of_the_list_makes_the_look_begin_anew(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    made = {patterns.run(NOON + timedelta(seconds=number), "debugging") for number in range(250)}
    source = sources.open(twin)
    stream = next(name for name in source.streams if name.endswith(f"{patterns.flow['id']}/debug"))
    page = source.discover(stream, None)
    (position,) = [entry for entry in made if entry in page.cursor]
    rows = twin.rows.tables["workflow_runs"]
    rows[:] = [row for row in rows if row["id"] != position]
    refresh(twin)
    assert {ref.id for ref in page.refs} | set(found(source, {stream: page.cursor})) == made


def test_what_comes_later_is_found_and_what_is_known_is_not_opened_again(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    old = patterns.talk(now - timedelta(minutes=3), now - timedelta(minutes=3))
    source, cursors = sources.open(twin), dict[str, str]()
    assert set(found(source, cursors)) == set(old)
    twin.asked.clear()
    new = patterns.talk(now, now)
    rest(source)
    assert set(new) <= set(found(source, cursors))
    asked = [query["conversation_id"] for path, query in twin.asked if path.endswith("/chat-messages")]
    assert len(asked) == 1


def test_a_record_that_appears_behind_the_newest_one_is_found(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    """Committed late: five minutes older than what was read before."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    patterns.run(now)
    source, cursors = sources.open(twin), dict[str, str]()
    found(source, cursors)
    late = patterns.run(now - timedelta(minutes=5))
    rest(source)
    assert late in found(source, cursors)


def test_a_chatflows_run_waits_for_its_message(twin: ConsoleTwin, sources: Sources) -> None:
    run = next(row for row in twin.rows.tables["workflow_runs"] if row["type"] == "chat")
    message = twin.rows.group("messages", "workflow_run_id", run["id"])[0]
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    run["created_at"], message["workflow_run_id"] = now, None
    refresh(twin)
    source, cursors = sources.open(twin), dict[str, str]()
    assert run["id"] not in found(source, cursors)
    message["workflow_run_id"] = run["id"]
    refresh(twin)
    rest(source)
    met = found(source, cursors)
    assert message["id"] in met
    assert run["id"] not in met


def test_a_run_whose_conversation_was_deleted_is_read_as_a_run(twin: ConsoleTwin, sources: Sources) -> None:
    run = next(row for row in twin.rows.tables["workflow_runs"] if row["type"] == "chat")
    message = twin.rows.group("messages", "workflow_run_id", run["id"])[0]
    twin.rows.tables["messages"].remove(message)
    refresh(twin)
    source = sources.open(twin)
    refs = found(source)
    assert refs[run["id"]].kind is RecordKind.RUN
    (trace,) = fetched(source, {run["id"]: refs[run["id"]]}).traces
    assert trace.run is not None
    assert trace.run.id == run["id"]


def test_a_long_first_look_goes_on_where_a_restart_ended_it(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    made = {patterns.talk(NOON + timedelta(minutes=number), NOON)[0] for number in range(300)}
    source, cursors, met = sources.open(twin), dict[str, str](), set[str]()
    stream = next(name for name in source.streams if patterns.chat["id"] in name)
    for _ in range(8):
        page = source.discover(stream, cursors.get(stream))
        cursors[stream] = page.cursor
        met |= {ref.id for ref in page.refs}
    assert 100 < len(met) < 300
    twin.asked.clear()
    met |= set(found(sources.open(twin), cursors))
    assert met == made
    assert len(twin.paths("/chat-messages")) < 250


def test_the_state_of_a_list_that_is_not_ours_is_refused(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    with pytest.raises(Exception, match="cannot be understood"):
        source.discover(source.streams[0], '{"v":1,"start":0}')


def test_back_fill_meets_exactly_the_range_and_counts_it(
    twin: ConsoleTwin, patterns: Patterns, sources: Sources
) -> None:
    inside = {patterns.run(NOON + timedelta(minutes=number)) for number in range(60)}
    inside |= {
        patterns.talk(NOON + timedelta(minutes=number), NOON + timedelta(minutes=number))[0]
        for number in range(60)
    }
    for minutes in (-1, 60, 200):
        patterns.run(NOON + timedelta(minutes=minutes))
        patterns.talk(NOON + timedelta(minutes=minutes), NOON + timedelta(minutes=minutes))
    source = sources.open(twin)
    since, until = ((NOON + timedelta(hours=hours)).replace(tzinfo=UTC).timestamp() for hours in (0, 1))
    met: set[str] = set()
    expected = 0
    for stream in source.streams:
        expected += source.count_range(stream, int(since) * 1_000_000, int(until) * 1_000_000)
        after, caught_up = None, False
        while not caught_up:
            page = source.discover_range(stream, int(since) * 1_000_000, int(until) * 1_000_000, after)
            after, caught_up = page.cursor, page.caught_up
            met |= {ref.id for ref in page.refs}
    assert met == inside
    assert expected in (120, 121)  # the log's filter counts the last second in


class Clock:
    """Time that passes only while something waits, or is busy."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.mark.parametrize("per_minute", [1, 2, 5, 30, 60, 600])
def test_no_minute_sees_more_requests_than_allowed(per_minute: int) -> None:
    clock, times = Clock(), list[float]()
    pace = Pace(per_minute, clock=clock, pause=clock.pause)
    for number in range(per_minute * 4):
        pace.wait()
        times.append(clock.now)
        clock.now += 45.0 if number == per_minute * 2 else 0.001  # a quiet while in which turns are saved up
    for start in times:
        assert sum(start <= moment < start + 60 for moment in times) <= per_minute
    assert times[-1] <= 60 * 5 + 50


def test_a_slow_answer_is_followed_by_a_rest_in_proportion() -> None:
    clock = Clock()
    pace = Pace(100_000, clock=clock, pause=clock.pause)
    pace.answered(0.2)
    pace.wait()
    assert clock.now == 0.0
    pace.answered(5.0)
    pace.wait()
    assert clock.now == 15.0


def test_closing_a_source_ends_its_waiting(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    source.pace.rest(60.0)
    source.close()
    with pytest.raises(Unreachable, match="being closed"):
        source.discover(source.streams[0], None)


def test_filters_save_the_requests_for_what_they_leave_out(twin: ConsoleTwin, sources: Sources) -> None:
    wanted = chat_app(twin)
    source = sources.open(twin, dify={"include": {"apps": [wanted["name"]]}})
    refs = found(source)
    assert {twin.rows.by_id["messages"][key]["app_id"] for key in refs} == {wanted["id"]}
    assert all(wanted["id"] in path for path in twin.paths("/apps/"))


def test_runs_of_the_editor_are_left_out_when_they_are_not_wanted(
    twin: ConsoleTwin, sources: Sources
) -> None:
    debug = {row["id"] for row in twin.rows.tables["workflow_runs"] if row["triggered_from"] == "debugging"}
    source = sources.open(twin, dify={"debug_runs": False})
    traces = fetched(source, found(source)).traces
    assert debug
    assert not {trace.run.id for trace in traces if trace.run} & debug
