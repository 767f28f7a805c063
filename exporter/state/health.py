"""What the parts of the program last did: jobs, deliveries, and what was set aside. For status, /readyz and metrics."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from exporter.model import Micros


@dataclass(frozen=True, slots=True)
class Job:
    """The last runs of one scheduled job."""

    name: str
    succeeded_at: Micros | None
    failed_at: Micros | None
    failure: str | None
    runs: int

    @property
    def is_failing(self) -> bool:
        """True when its last run failed."""
        return self.failed_at is not None and (self.succeeded_at or 0) < self.failed_at


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one destination has received and refused so far."""

    destination: str
    traces: int
    spans: int
    confirmed: int
    resent: int
    duplicates: int
    refused: int
    requests: int
    failures: int
    succeeded_at: Micros | None
    failed_at: Micros | None
    failure: str | None
    hold: str | None


def succeeded(connection: sqlite3.Connection, job: str, now: Micros) -> None:
    """The job ran to its end."""
    connection.execute(
        "INSERT INTO jobs (name, succeeded_at, runs) VALUES (?, ?, 1)"
        " ON CONFLICT (name) DO UPDATE SET succeeded_at = excluded.succeeded_at, runs = runs + 1",
        (job, now),
    )


def failed(connection: sqlite3.Connection, job: str, now: Micros, reason: str) -> None:
    """The job could not do its work; `reason` holds no secrets and no texts."""
    connection.execute(
        "INSERT INTO jobs (name, failed_at, failure, runs) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (name) DO UPDATE SET failed_at = excluded.failed_at, failure = excluded.failure, runs = runs + 1",
        (job, now, reason),
    )


def forget_jobs(connection: sqlite3.Connection, beginning: str) -> None:
    """What was recorded of jobs whose names begin so: they may have left the settings since."""
    connection.execute("DELETE FROM jobs WHERE substr(name, 1, ?) = ?", (len(beginning), beginning))


def jobs(connection: sqlite3.Connection) -> dict[str, Job]:
    """All jobs by name."""
    rows = connection.execute("SELECT name, succeeded_at, failed_at, failure, runs FROM jobs")
    return {row[0]: Job(*row) for row in rows}


def delivered(
    connection: sqlite3.Connection,
    destination: str,
    now: Micros,
    *,
    traces: int = 0,
    spans: int = 0,
    confirmed: int = 0,
    resent: int = 0,
    duplicates: int = 0,
    refused: int = 0,
    requests: int = 0,
) -> None:
    """Add to a destination's sums; a delivery ends its failure and its hold."""
    succeeded_at = now if traces else None
    connection.execute(
        "INSERT INTO deliveries (destination, traces, spans, confirmed, resent, duplicates, refused, requests, succeeded_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (destination) DO UPDATE SET traces = traces + ?2,"
        " spans = spans + ?3, confirmed = confirmed + ?4, resent = resent + ?5, duplicates = duplicates + ?6,"
        " refused = refused + ?7, requests = requests + ?8, succeeded_at = coalesce(?9, succeeded_at),"
        " hold = CASE WHEN ?9 IS NULL THEN hold END",
        (destination, traces, spans, confirmed, resent, duplicates, refused, requests, succeeded_at),
    )


def undelivered(
    connection: sqlite3.Connection, destination: str, now: Micros, reason: str, *, hold: bool = False
) -> None:
    """A request failed; `hold` means that a person has to act (keys, address, rights)."""
    connection.execute(
        "INSERT INTO deliveries (destination, failures, requests, failed_at, failure, hold) VALUES (?1, 1, 1, ?2, ?3, ?4)"
        " ON CONFLICT (destination) DO UPDATE SET failures = failures + 1, requests = requests + 1, failed_at = ?2,"
        " failure = ?3, hold = ?4",
        (destination, now, reason, reason if hold else None),
    )


def deliveries(connection: sqlite3.Connection) -> dict[str, Delivery]:
    """All destinations by name."""
    rows = connection.execute(
        "SELECT destination, traces, spans, confirmed, resent, duplicates, refused, requests, failures,"
        " succeeded_at, failed_at, failure, hold FROM deliveries"
    )
    return {row[0]: Delivery(*row) for row in rows}


def remember(connection: sqlite3.Connection, key: str, value: str) -> None:
    """A fact that `status` shows (source description, daemon's address)."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def remembered(connection: sqlite3.Connection, key: str) -> str | None:
    """A remembered fact."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else None


def forget_facts(connection: sqlite3.Connection, prefix: str) -> None:
    """Drop the remembered facts under a prefix, before they are told anew."""
    connection.execute("DELETE FROM meta WHERE key GLOB ?", (prefix + "*",))


def facts(connection: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """All remembered facts under a prefix, which is cut off."""
    rows = connection.execute("SELECT key, value FROM meta WHERE key GLOB ? ORDER BY key", (prefix + "*",))
    return {key[len(prefix) :]: value for key, value in rows}
