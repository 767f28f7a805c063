"""Vendor requests in the state: what waits to be matched, what became of each, and how an old file is taken over."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from exporter.model import Tokens
from exporter.state import assignments, buckets, evidence, migrations, standings, windows
from exporter.state.assignments import Assignment
from exporter.state.migrations import APPLICATION_ID
from exporter.state.store import Store
from exporter.vendor.fingerprint import CallPrint, user_hashes
from exporter.vendor.pullers.base import Bucket
from exporter.vendor.record import VendorCall, parse

SECOND = 1_000_000
NOON = 1_795_000_000 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s.db")


def request(identity: str, at: int = NOON, source: str = "gateway", **more: object) -> VendorCall:
    second, rest = divmod(at, SECOND)
    record = {
        "id": identity,
        "started_at": f"{_time(second)}.{rest:06}Z",
        "ended_at": f"{_time(second)}.{rest:06}Z",
        "model": "gpt-4o-mini",
        "usage": {"prompt_tokens": 8, "completion_tokens": 2},
        **more,
    }
    return parse(record, source)


def _time(second: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def put_call(store: Store, identity: str, started_at: int, ended_at: int) -> None:
    stored = CallPrint(
        call_id=identity, kind="chat", provider="openai", model="gpt-4o-mini", app_id=None,
        status="ok", started_at=started_at, ended_at=ended_at, recorded=Tokens(8, 2),  # type: ignore[arg-type]
    ).to_json()  # fmt: skip
    with store.transaction("test") as connection:
        connection.execute(
            "INSERT INTO calls VALUES (?, 't', 0, 'a', 'A', 'openai', 'm', 'pending', ?, ?, 0, ?, '{}')",
            (identity, started_at, ended_at, stored),
        )


def test_the_same_request_again_changes_nothing_and_is_not_matched_again(store: Store) -> None:
    with store.transaction("test") as connection:
        assert evidence.add(connection, [request("a"), request("b")], NOON) == 2
        stretch = windows.gather(connection)
        assert stretch is not None
        windows.looked_at(connection, stretch, None)
        assert evidence.add(connection, [request("a")], NOON + SECOND) == 0
        assert not windows.waiting(connection)


def test_stretches_that_nearly_touch_are_looked_at_as_one(store: Store) -> None:
    with store.transaction("test") as connection:
        windows.mark(connection, [(NOON, NOON + SECOND)])
        windows.mark(
            connection,
            [(NOON + 30 * SECOND, NOON + 31 * SECOND), (NOON + 7200 * SECOND, NOON + 7201 * SECOND)],
        )
        assert windows.gather(connection) == (NOON, NOON + 31 * SECOND)
        windows.looked_at(connection, (NOON, NOON + 31 * SECOND), None)
        assert windows.gather(connection) == (NOON + 7200 * SECOND, NOON + 7201 * SECOND)


def test_a_stretch_that_was_half_looked_at_goes_on_there(store: Store) -> None:
    with store.transaction("test") as connection:
        windows.mark(connection, [(NOON, NOON + 50 * SECOND)])
        stretch = windows.gather(connection)
        assert stretch is not None
        windows.looked_at(connection, stretch, (NOON + 20 * SECOND, stretch[1]))
        assert windows.gather(connection) == (NOON + 20 * SECOND, NOON + 50 * SECOND)


def test_a_call_of_hours_is_found_in_a_stretch_in_its_middle(store: Store) -> None:
    put_call(store, "long", NOON - 3 * 3600 * SECOND, NOON + 3600 * SECOND)
    put_call(store, "short", NOON + SECOND, NOON + 2 * SECOND)
    put_call(store, "over", NOON - 10 * SECOND, NOON - 9 * SECOND)
    with store.read() as connection:
        found = {call.call_id for call in windows.calls(connection, NOON, NOON + 5 * SECOND)}
        assert found == {"long", "short"}
        assert windows.earliest_reaching(connection, NOON) == NOON - 3 * 3600 * SECOND


def test_a_slice_ends_where_enough_began(store: Store) -> None:
    for number in range(20):
        put_call(store, f"c{number}", NOON + number * SECOND, NOON + number * SECOND)
    with store.read() as connection:
        assert windows.slice_end(connection, (NOON, NOON + 100 * SECOND), 5) == NOON + 5 * SECOND
        assert (
            windows.slice_end(connection, (NOON + 16 * SECOND, NOON + 100 * SECOND), 5) == NOON + 100 * SECOND
        )


def test_the_clock_difference_that_holds_is_the_one_learnt_last_before(store: Store) -> None:
    with store.transaction("test") as connection:
        windows.learn(connection, "gateway", NOON, 120 * SECOND, 9)
        windows.learn(connection, "gateway", NOON + 3600 * SECOND, 0, 9)
        known = windows.shifts(connection)
    assert known.at("gateway", NOON - SECOND) == 120 * SECOND
    assert known.at("gateway", NOON + SECOND) == 120 * SECOND
    assert known.at("gateway", NOON + 3601 * SECOND) == 0
    assert known.at("other", NOON) == 0


def test_requests_are_read_in_our_clocks_time(store: Store) -> None:
    with store.transaction("test") as connection:
        evidence.add(connection, [request("a", NOON - 120 * SECOND), request("b", NOON)], NOON)
        windows.learn(connection, "gateway", 0, 120 * SECOND, 9)
        known = windows.shifts(connection)
        found = windows.requests(connection, NOON - SECOND, NOON + SECOND, known)
    assert [(item.request.id, item.request.start) for item in found] == [("a", NOON)]


def test_what_was_assigned_is_read_back_with_the_copies_of_other_sources(store: Store) -> None:
    with store.transaction("test") as connection:
        evidence.add(
            connection, [request("a"), request("b", NOON - SECOND), request("a", source="vendor-log")], NOON
        )
        assignments.store(connection, [
            Assignment("gateway", "a", "matched", call_id="c", method="prompt", confidence=0.9),
            Assignment("gateway", "b", "matched", call_id="c", method="prompt", confidence=0.9),
            Assignment("vendor-log", "a", "copy", original="gateway/a"),
        ])  # fmt: skip
        owned = assignments.of_calls(connection, ["c", "nobody"])
    assert list(owned) == ["c"]
    assert [item.id for item in owned["c"].match.attempts] == ["b", "a"]
    assert owned["c"].copies == {("gateway", "a"): ("vendor-log",)}


def test_a_request_of_a_known_user_is_unrecorded_and_any_other_is_foreign(store: Store) -> None:
    with store.transaction("test") as connection:
        evidence.add(
            connection,
            [
                request("of-a-user", user="alice", key="team"),
                request("of-an-app", dify_app_id="app-1"),
                request("of-nobody", user="mallory", key="other"),
            ],
            NOON,
        )
        assignments.store(connection, [
            Assignment("gateway", "of-a-user", "foreign"),
            Assignment("gateway", "of-an-app", "foreign", app_id="app-1"),
            Assignment("gateway", "of-nobody", "foreign"),
        ])  # fmt: skip
        known = ["app:app-1", *(f"user:{hash_}" for hash_ in user_hashes("alice"))]
        connection.executemany("INSERT INTO familiar VALUES (?)", [(name,) for name in known])
        told = {item.key: (item.standing, item.input) for item in standings.groups(connection)}
        lone = [item.request.id for item in standings.unattached(connection)]
    assert told == {"team": ("unrecorded", 8), None: ("unrecorded", 8), "other": ("foreign", 8)}
    assert lone == ["of-a-user", "of-an-app"]


def test_a_later_word_on_the_same_day_replaces_the_earlier(store: Store) -> None:
    day = Bucket(
        "openrouter", NOON, NOON + 86400 * SECOND, "gpt-4o", None, Tokens(100, 10), 3, Decimal("0.5"), "USD"
    )
    revised = Bucket(
        "openrouter", NOON, NOON + 86400 * SECOND, "gpt-4o", None, Tokens(120, 12), 4, Decimal("0.6"), "USD"
    )
    with store.transaction("test") as connection:
        buckets.put(connection, [day], NOON)
        buckets.put(connection, [revised], NOON)
        (found,) = buckets.sums(connection, None, None)
    assert (found["requests"], found["input"], found["output"], found["cost"]) == (4, 120, 12, "0.6")


def test_a_state_file_of_the_first_version_is_taken_over_and_its_files_are_read_again(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "old.db")
    first = Path(migrations.__file__).with_name("steps") / "0001_first.sql"
    old.executescript(first.read_text(encoding="utf-8"))
    old.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;")
    old.execute("INSERT INTO evidence VALUES ('gateway', 'a', 1, NULL, x'7b7d', 1, 0)")
    old.execute("INSERT INTO evidence_files VALUES ('vendor.jsonl', '{}', 1)")
    old.execute("INSERT INTO cursors VALUES ('messages', 'here', 1)")
    old.commit()
    old.close()
    store = Store(tmp_path / "old.db")
    with store.read() as connection:
        assert evidence.is_empty(connection)
        assert evidence.position(connection, "vendor.jsonl") is None
        assert connection.execute("SELECT cursor FROM cursors").fetchone() == ("here",)
