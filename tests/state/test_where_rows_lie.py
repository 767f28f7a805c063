"""Where the state keeps its rows: little room, little written, in order of time; older state files are taken over whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from exporter.model import RecordKind, RecordRef
from exporter.state import migrations, outbox, prune, records
from exporter.state.outbox import Parcel
from exporter.state.store import Store

MIB = 2**20
TRACE = "a" * 32
TRACES = (
    "INSERT INTO traces (trace_id, kind, record_id, created_at, app_id, app_name, app_mode, name, status, verdict, started_at,"
    " ended_at, revision, document, fingerprint, gap) VALUES (?, 'message', ?, 0, 'i', 'a', 'chat', 'a', 'ok', 'agree', ?, 0, 1,"
    " ?, x'01', 7)"
)
CALLS = "INSERT INTO calls VALUES (?, ?, 0, 'i', 'a', 'openai', 'm', 'agree', ?, 0, 0, x'02', ?)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "s.db")
    yield store
    store.close()


def scattered(number: int) -> str:
    """An id as Dify's are: the next one lies anywhere."""
    return UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4).hex


def written_by(store: Store) -> int:
    """Bytes of the write-ahead log, which is emptied."""
    log = store.path.with_name(store.path.name + "-wal")
    size = log.stat().st_size
    with store.read() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return size


def test_a_ledger_takes_little_more_room_than_its_documents(store: Store) -> None:
    document = "x" * 4_500
    with store.transaction("t") as connection:
        for number in range(1_000):
            name = scattered(number)
            connection.execute(TRACES, (name, name, number, document))
            connection.execute(CALLS, (scattered(10_000 + number), name, number, document))
    store.close()
    assert store.path.stat().st_size < 1.5 * 2 * 1_000 * len(document)


def test_storing_a_few_traces_in_a_long_ledger_writes_little(store: Store) -> None:
    document = "x" * 2_000
    for first in range(0, 4_000, 40):
        with store.transaction("t") as connection:
            for number in range(first, first + 40):
                connection.execute(CALLS, (scattered(number), scattered(10**6 + first), number, document))
        last = written_by(store)
    assert last < MIB, "40 calls of 2 KB"


def test_what_becomes_of_a_parcel_does_not_write_its_spans_again(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [Parcel("d", TRACE, 1, bytes(4 * MIB), 4, 1, 2)], 10)
        unit = outbox.take(connection, "d", 20, 9)[0]
    assert written_by(store) > 4 * MIB
    with store.transaction("t") as connection:
        outbox.sending(connection, [unit.seq])
    with store.transaction("t") as connection:
        outbox.later(connection, [unit], 12, "HTTP 503", sent=True)
    with store.transaction("t") as connection:
        outbox.acknowledged(connection, [unit], 13, 13)
    assert written_by(store) < MIB


def test_no_spans_stay_of_what_left_the_outbox(store: Store) -> None:
    with store.transaction("t") as connection:
        outbox.put(connection, [Parcel("d", TRACE, 1, b"abcd", 4, 1, 2)], 10)
        whole = outbox.take(connection, "d", 20, 9)[0]
        outbox.split(connection, whole, [(b"ab", 2), (b"cd", 2)])
        assert kept(connection) == [b"ab", b"cd"]
        outbox.put(connection, [Parcel("d", TRACE, 2, b"xyz", 3, 1, 2)], 10)
        assert kept(connection) == [b"xyz"]
        assert outbox.size_bytes(connection) == outbox.backlogs(connection)["d"].size_bytes == 3
        outbox.forget(connection, outbox.take(connection, "d", 20, 9))
        assert kept(connection) == []
        assert outbox.size_bytes(connection) == 0


def kept(connection: sqlite3.Connection) -> list[bytes]:
    return [spans for (spans,) in connection.execute("SELECT spans FROM outbox_spans ORDER BY seq")]


def test_of_records_due_at_once_the_oldest_are_read_first(store: Store) -> None:
    refs = [RecordRef(RecordKind.RUN, scattered(number), 1_000 - number) for number in range(100)]
    late = RecordRef(RecordKind.RUN, scattered(100), 1)
    with store.transaction("t") as connection:
        records.meet(connection, refs, 7)
        records.meet(connection, [late], 8)
        found = [item.ref for item in records.due(connection, 10, 200)]
    assert found == [*reversed(refs), late]


def test_a_state_file_kept_by_id_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    names = [scattered(number) for number in range(50)]
    with sqlite3.connect(path) as old:
        for number in sorted(number for number in migrations._STEPS if number < 9):
            old.executescript(migrations._STEPS[number])
        old.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
        old.execute("PRAGMA user_version = 8")
        old.executemany(TRACES, [(name, name, at, "{}") for at, name in enumerate(names)])
        old.executemany(CALLS, [(f"c{name}", name, at, "{}") for at, name in enumerate(names)])
        old.executemany(
            "INSERT INTO records VALUES ('message', ?, ?, 'pending', 5, 0, NULL, 5)",
            [(name, at) for at, name in enumerate(names)],
        )
        old.executemany(
            "INSERT INTO outbox VALUES (NULL, 'd', ?, 0, 1, 'ready', 4, 1, 2, 0, 5, 5, NULL, NULL, ?)",
            [(name, name.encode()) for name in names],
        )
        before = {
            table: old.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("traces", "calls", "records")
        }
        indexes = set(old.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"))
    old.close()
    store = Store(path)
    with store.transaction("t") as connection:
        for table, rows in before.items():
            assert connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() == rows
        now = set(
            connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        )
        assert now >= indexes
        assert [item.ref.id for item in records.due(connection, 9, 99)] == names
        units = outbox.take(connection, "d", 9, 99)
        assert [(unit.trace_id, unit.spans) for unit in units] == [(name, name.encode()) for name in names]
        assert outbox.size_bytes(connection) == 50 * 32
        outbox.forget(connection, units)
        connection.execute("UPDATE records SET state = 'done'")
        assert prune.prune(connection, 99) == 50
        assert kept(connection) == []
    store.close()
