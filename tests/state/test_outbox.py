"""The outbox: revisions, parts in order, dead letters back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.state import outbox
from exporter.state.outbox import Parcel
from exporter.state.store import Store

TRACE = "a" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "s.db")
    yield store
    store.close()


def _parcel(revision: int = 1, spans: bytes = b"x", destination: str = "d") -> Parcel:
    return Parcel(destination, TRACE, revision, spans, 4, 1, 2)


def test_a_newer_revision_replaces_what_still_waits(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [_parcel(1)], 10)
        outbox.put(connection, [_parcel(2, b"y")], 11)
        assert [(unit.revision, unit.spans) for unit in outbox.take(connection, "d", 20, 9)] == [(2, b"y")]


def test_an_answer_to_an_older_revision_does_not_acknowledge_the_newer_one(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [_parcel(1)], 10)
        old = outbox.take(connection, "d", 20, 9)
        outbox.put(connection, [_parcel(2)], 11)
        outbox.acknowledged(connection, old, 12, 12)
        outbox.forget(connection, old)
        assert [unit.revision for unit in outbox.take(connection, "d", 20, 9)] == [2]


def test_units_whose_answer_was_never_stored_come_again_in_doubt(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [_parcel()], 10)
        outbox.sending(connection, [outbox.take(connection, "d", 20, 9)[0].seq])
        assert [unit.was_sent for unit in outbox.take(connection, "d", 20, 9)] == [True]


def test_parts_keep_the_order_of_their_spans_however_often_they_are_split(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [_parcel(spans=b"abcd")], 10)
        whole = outbox.take(connection, "d", 20, 9)[0]
        outbox.split(connection, whole, [(b"ab", 2), (b"cd", 2)])
        first, second = outbox.take(connection, "d", 20, 9)
        outbox.split(connection, second, [(b"c", 1), (b"d", 1)])
        outbox.split(connection, first, [(b"a", 1), (b"b", 1)])
        assert b"".join(unit.spans for unit in outbox.take(connection, "d", 20, 9)) == b"abcd"


def test_dead_letters_are_kept_with_their_reason_and_come_back_on_replay(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [_parcel(), _parcel(destination="e")], 10)
        for name in ("d", "e"):
            outbox.bury(connection, outbox.take(connection, name, 20, 9)[0], "HTTP 400")
        assert outbox.dead(connection) == [("d", TRACE, "HTTP 400", 4), ("e", TRACE, "HTTP 400", 4)]
        assert outbox.take(connection, "d", 20, 9) == []
        assert outbox.revive(connection, 30, "d") == 1
        assert len(outbox.take(connection, "d", 40, 9)) == 1
        assert outbox.backlogs(connection)["e"].dead == 1
