"""Clocks that do not agree: nothing is lost and nothing comes twice, whatever Dify's times have to do with ours."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, found
from tests.sources.console.test_console_lists import Patterns, emptied, refresh, rest

HOUR = 3600


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@pytest.mark.parametrize("hours", [-8, -1, 1, 5])
@pytest.mark.parametrize("what", ["database", "container"])
def test_what_comes_later_is_found_though_difys_times_are_hours_off(
    twin: ConsoleTwin, sources: Sources, hours: int, what: str
) -> None:
    """Its database's clock is off, or its API's container is in another time zone: then answers are, and filters are not."""
    patterns = Patterns(twin)
    off = timedelta(hours=hours) if what == "database" else timedelta()
    twin.trouble.behind = -hours * HOUR if what == "container" else 0
    made = {patterns.run(now() + off), *patterns.talk(now() + off, now() + off)}
    source, cursors = sources.open(twin), dict[str, str]()
    assert set(found(source, cursors)) == made
    for minutes in (1, 2):
        later = now() + off + timedelta(minutes=minutes)
        new = {patterns.run(later), *patterns.talk(later, later)}
        rest(source)
        assert new <= set(found(source, cursors))
        newer = later + timedelta(seconds=20)
        after_a_restart = {patterns.run(newer), *patterns.talk(newer, newer)}
        assert after_a_restart <= set(found(sources.open(twin), cursors))


def test_a_quiet_list_costs_one_request_a_look(twin: ConsoleTwin, sources: Sources) -> None:
    """Though the last minutes before its newest record are read again each time."""
    patterns = Patterns(twin)
    for number in range(90):
        patterns.run(now() - timedelta(hours=3, seconds=number))
        patterns.talk(now() - timedelta(hours=3, seconds=number), now() - timedelta(hours=4))
    source, cursors = sources.open(twin), dict[str, str]()
    found(source, cursors)
    twin.asked.clear()
    rest(source)
    found(source, cursors)
    assert len(twin.asked) == len(source.known)


@pytest.mark.parametrize(
    ("before", "after"), [("Europe/Berlin", "Asia/Shanghai"), ("Asia/Shanghai", "America/New_York")]
)
def test_a_time_zone_changed_in_the_middle_of_a_walk_leaves_no_conversation_out(
    twin: ConsoleTwin, sources: Sources, before: str, after: str
) -> None:
    patterns = Patterns(twin)
    for login in twin.logins.values():
        login.zone = before
    begin = now() - timedelta(days=30)
    made = {patterns.talk(begin + timedelta(hours=number), begin)[0] for number in range(400)}
    source, cursors, met = sources.open(twin), dict[str, str](), set[str]()
    stream = next(name for name in source.streams if patterns.chat["id"] in name)
    for number in range(12):
        if number == 4:
            for login in twin.logins.values():
                login.zone = after
        page = source.discover(stream, cursors.get(stream))
        cursors[stream] = page.cursor
        met |= {ref.id for ref in page.refs}
        source.turn.told_to_wait.add(stream)
    assert len(met) < len(made)
    for opened in source.opened:
        opened.looked_at = float("-inf")  # five minutes later
    rest(source)
    assert met | set(found(source, cursors)) == made


def test_a_time_zone_changed_between_two_looks_hides_nothing_for_long(
    twin: ConsoleTwin, sources: Sources
) -> None:
    patterns = Patterns(twin)
    for login in twin.logins.values():
        login.zone = "Asia/Shanghai"
    patterns.talk(now(), now())
    source, cursors = sources.open(twin), dict[str, str]()
    found(source, cursors)
    for login in twin.logins.values():
        login.zone = "America/New_York"
    new = set(patterns.talk(now(), now()))
    rest(source)
    hidden = new - set(found(source, cursors))
    assert hidden
    for opened in source.opened:
        opened.looked_at = float("-inf")
    rest(source)
    assert hidden <= set(found(source, cursors))


@pytest.mark.parametrize("night", [datetime(2026, 10, 24, 23, 0), datetime(2026, 3, 29, 0, 0)])
def test_entries_of_the_nights_in_which_clocks_are_changed_are_all_read(
    twin: ConsoleTwin, sources: Sources, night: datetime
) -> None:
    """Berlin: an hour comes twice, or never. Completion apps are walked from the newest on, by the other end of the filter."""
    for login in twin.logins.values():
        login.zone = "Europe/Berlin"
    app = next(row for row in twin.rows.tables["apps"] if row["mode"] == "completion")
    message = copy.deepcopy(twin.rows.group("messages", "app_id", app["id"])[0])
    talk = copy.deepcopy(twin.rows.by_id["conversations"][message["conversation_id"]])
    emptied(twin)
    made = set()
    for number in range(350):
        moment = night + timedelta(seconds=30 * number)
        ids = {"conversation_id": f"{number:08}-0000-4000-8000-000000000001"}
        entry = {"created_at": moment, "updated_at": moment, "read_at": moment, "id": ids["conversation_id"]}
        made.add(f"{number:08}-0000-4000-8000-000000000002")
        twin.rows.tables["conversations"].append({**talk, **entry})
        twin.rows.tables["messages"].append(
            {**message, **ids, "id": f"{number:08}-0000-4000-8000-000000000002", "created_at": moment}
        )
    refresh(twin)
    assert set(found(sources.open(twin))) == made
