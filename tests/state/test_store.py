"""The state file: durable, guarded, never started over."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import StateRefused
from exporter.model import RecordKind, RecordRef
from exporter.state import records
from exporter.state.store import Store

REF = RecordRef(RecordKind.MESSAGE, "926fdc0f-111e-439f-b6c5-8c94bd626618", 5)


def test_what_a_transaction_stored_is_there_after_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with store.transaction("t") as connection:
        records.meet(connection, [REF], 7)
        records.move_cursor(connection, "messages", "here", 7)
    store.close()
    with Store(tmp_path / "s.db").read() as connection:
        assert records.cursor(connection, "messages") == "here"
        assert [item.ref for item in records.due(connection, 10, 10)] == [REF]


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")

    def fail() -> None:
        with store.transaction("t") as connection:
            records.meet(connection, [REF], 7)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.read() as connection:
        assert records.counts(connection) == {}


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with store.transaction("t") as connection:
        records.meet(connection, [REF], 7)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("s.db*")}
    assert set(modes.values()) == {0o600}, modes


def test_a_commit_survives_the_power_cut_settings(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with store.read() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store(path)
    with store.transaction("t") as connection:
        records.meet(connection, [RecordRef(RecordKind.RUN, f"id-{n}", n) for n in range(3000)], 7)
    store.close()
    content = bytearray(path.read_bytes())
    for offset in range(8192, len(content), 512):
        content[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StateRefused, match="damaged") as refused:
        Store(path)
    assert "move it away" in (refused.value.hint or "")
    assert path.read_bytes() == bytes(content)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"this is a text file and not a database at all" * 50)
    with pytest.raises(StateRefused):
        Store(path)
    assert path.read_bytes().startswith(b"this is a text")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    sqlite3.connect(path).executescript("CREATE TABLE theirs (x)")
    with pytest.raises(StateRefused, match="another program"):
        Store(path)


def test_a_newer_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(path).close()
    sqlite3.connect(path).execute("PRAGMA user_version = 99")
    with pytest.raises(StateRefused, match="newer"):
        Store(path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateRefused, match="cannot be opened"):
        Store(tmp_path / "file" / "s.db")


def test_a_second_daemon_on_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    holder = (
        "import sys; from pathlib import Path; from exporter.state.store import Store;"
        "s = Store(Path(sys.argv[1])); s.lock(); print('locked', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        store = Store(path)
        assert store.is_locked_elsewhere()
        with pytest.raises(StateRefused, match="already works"):
            store.lock()
        os.kill(other.pid, 9)
        other.wait()
    store.lock()
    assert not store.is_locked_elsewhere()


def test_discovery_is_idempotent(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with store.transaction("t") as connection:
        assert records.meet(connection, [REF], 7) == 1
        records.settle(connection, [records.Outcome(REF, "done")])
        assert records.meet(connection, [REF], 9) == 0
        assert records.counts(connection) == {"done": 1}
