"""Fills an empty Dify database with workflow runs, chatflow and chat messages, written as Dify 1.14 writes them.

Every run has twelve nodes, four of them model calls of about 4 KB: one of a few system prompts, a user text and an answer
that are new in every call. The same seed and end give the same rows. Memory does not grow with the number of runs.

    python -m bench.dify_data --url postgresql://… --runs 1000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import psycopg
from psycopg import sql

from bench._dify_records import CALLS_PER_RUN, CHATFLOW_EVERY, COLUMNS, NODES_PER_RUN, Row, World

SPANS_PER_RUN = NODES_PER_RUN + 1
SPANS_PER_CHAT = 2
CHATS_PER_RUN = 0.2

_BATCH_RUNS = 200


@dataclass(frozen=True, slots=True)
class Size:
    """How much was, or will be, written. `spans` is what the exporter makes of it."""

    runs: int
    chats: int

    @property
    def traces(self) -> int:
        """One per run and per chat message."""
        return self.runs + self.chats

    @property
    def spans(self) -> int:
        """Roots, nodes and model steps."""
        chatflows = (self.runs + CHATFLOW_EVERY - 1) // CHATFLOW_EVERY
        return self.runs * SPANS_PER_RUN + chatflows + self.chats * SPANS_PER_CHAT

    @property
    def calls(self) -> int:
        """Model calls."""
        return self.runs * CALLS_PER_RUN + self.chats


def size_of(runs: int) -> Size:
    """The size of a database with this many runs and the usual share of chat messages."""
    return Size(runs, round(runs * CHATS_PER_RUN))


def runs_for(spans: int) -> int:
    """How many runs make about this many spans."""
    return max(1, round(spans / (SPANS_PER_RUN + 1 / CHATFLOW_EVERY + CHATS_PER_RUN * SPANS_PER_CHAT)))


def fill(url: str, runs: int, *, seed: int = 1, until: datetime | None = None, days: float = 10.0) -> Size:
    """Write the rows; the newest ends at `until` (default: two hours ago), the oldest began `days` earlier."""
    size = size_of(runs)
    until = until or datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
    world = World(Random(seed))
    step = timedelta(days=days) / size.traces
    moment = until - timedelta(days=days)
    with psycopg.connect(url) as connection:
        _copy(connection, world.standing())
        for batch in _batches(size):
            tables: dict[str, list[Row]] = {}
            for is_run, number in batch:
                add = world.run if is_run else world.chat
                for table, row in add(number, moment):
                    tables.setdefault(table, []).append(row)
                moment += step
            _copy(connection, tables)
        connection.commit()
        connection.autocommit = True
        for table in COLUMNS:
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
    return size


def _batches(size: Size) -> Iterator[list[tuple[bool, int]]]:
    """(is a run, number) of all records in order of time, the chats spread evenly between the runs."""
    batch: list[tuple[bool, int]] = []
    chats = 0
    for run in range(size.runs):
        batch.append((True, run))
        while chats < size.chats * (run + 1) // size.runs:
            batch.append((False, chats))
            chats += 1
        if len(batch) >= _BATCH_RUNS:
            yield batch
            batch = []
    if batch:
        yield batch


def _copy(connection: psycopg.Connection, tables: dict[str, list[Row]]) -> None:
    for table, rows in tables.items():
        columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table].split()))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def main() -> None:
    """Fill the database named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="an empty Dify database")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--days", type=float, default=10.0, help="stretch of time they lie in")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    size = fill(given.url, given.runs, seed=given.seed, days=given.days)
    seconds = time.monotonic() - started
    print(f"{size.traces:,} traces, {size.calls:,} calls, {size.spans:,} spans in {seconds:.1f} s")


if __name__ == "__main__":
    main()
