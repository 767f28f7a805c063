"""Plays the recording into an empty Dify database and a vendor log file: all at once, or as if it happened now.

An episode appears when it is over: its rows in one transaction, its vendor requests as whole lines. Nothing is ever
dated later than the moment it appears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import orjson
import psycopg
from psycopg import sql

from exporter.demo.recording import Recording, Row
from exporter.model import SECOND, Micros


def play_at_once(url: str, recording: Recording, vendor_log: Path, until: Micros) -> None:
    """Everything with its recorded distances, the last episode ending just before `until`."""
    seconds = (until - recording.episodes[-1].ended_at) // SECOND
    with psycopg.connect(url) as connection, vendor_log.open("a", encoding="utf-8") as log:
        _insert(connection, recording.standing)
        for episode in recording.episodes:
            _insert(connection, episode.rows(seconds))
            log.writelines(f"{line}\n" for line in episode.vendor_records(seconds))


def play_live(
    url: str,
    recording: Recording,
    vendor_log: Path,
    pause: Callable[[], bool],
    now: Callable[[], Micros],
) -> Iterator[str]:
    """One episode after the other in recorded order, each ending the moment it appears; yields what each shows.

    `pause` waits until the next one is due and says whether to go on.
    """
    with psycopg.connect(url) as connection, vendor_log.open("a", encoding="utf-8") as log:
        _insert(connection, recording.standing)
        connection.commit()
        for episode in recording.episodes:
            if not pause():
                return
            seconds = (now() - episode.ended_at) // SECOND
            _insert(connection, episode.rows(seconds))
            connection.commit()
            log.writelines(f"{line}\n" for line in episode.vendor_records(seconds))
            log.flush()
            yield episode.shows


def _insert(connection: psycopg.Connection, rows: Iterable[Row]) -> None:
    for table, row in rows:
        name = sql.Identifier(table)
        columns = sql.SQL(", ").join(map(sql.Identifier, orjson.loads(row)))
        statement = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_record(NULL::{0}, %s::json)")
        connection.execute(statement.format(name, columns), (row,))
