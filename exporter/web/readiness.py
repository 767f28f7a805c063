"""Whether the exporter does its work: what stops it (not ready), and what only needs a look (a warning).

Not ready: reading Dify is stopped, fails or has gone quiet; a destination is on hold until a person acts; the state file
cannot be used. Only a warning: a destination that does not answer (traces wait for it, and reading goes on until the
backlog is full, which is then the problem), dead letters, records set aside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exporter import problems
from exporter.config import DestinationSettings
from exporter.errors import StateRefused
from exporter.model import SECOND, Micros
from exporter.state import health, outbox, records
from exporter.state.health import Delivery, Job
from exporter.state.outbox import Backlog
from exporter.state.store import Store
from exporter.web.words import duration

_QUIET_INTERVALS = 10
_QUIET_AT_LEAST = 120 * SECOND


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running daemon knows.

    `stopped`: the sentence of the back-pressure, None while reading goes on. `job`: the name under which the reading of
    Dify is recorded. `active_at`: when that job last stored something; a first look at a long history takes hours, and
    it is reading all the while.
    """

    now: Micros
    started_at: Micros
    poll_interval_seconds: float
    stopped: str | None = None
    job: str = "poll"
    active_at: Micros | None = None
    destinations: Sequence[DestinationSettings] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the state file says."""

    jobs: Mapping[str, Job]
    deliveries: Mapping[str, Delivery]
    backlogs: Mapping[str, Backlog]
    set_aside: int
    oldest_due: Micros | None
    twice: Mapping[str, str] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of /readyz. Every problem and warning is a sentence that ends with what to do.

    `lag_seconds`: how long something that should have been read has not been; None when that is not known.
    """

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    is_reading: bool = True
    read_at: Micros | None = None
    lag_seconds: float | None = None

    @property
    def is_ready(self) -> bool:
        """True without problems."""
        return not self.problems


def assess(store: Store, live: Live) -> Readiness:
    """Readiness from the state file and the daemon's live facts. A file that cannot be used is a problem, not an error."""
    try:
        seen = _look(store, live.now)
    except (StateRefused, sqlite3.Error) as error:
        return unusable(error)
    return judge(live, seen)


def unusable(error: StateRefused | sqlite3.Error) -> Readiness:
    """The state file cannot be read: nothing is known, and nothing can go on."""
    if isinstance(error, StateRefused):
        return Readiness(
            (f"{problems.sentence(str(error))} {problems.sentence(error.hint or '')}".strip(),),
            is_reading=False,
        )
    problem = f"The state file cannot be read ({error}). Check the disk and the rights on the file."
    return Readiness((problem,), is_reading=False)


def judge(live: Live, seen: Seen) -> Readiness:
    """Pure: what these facts mean."""
    job = seen.jobs.get(live.job)
    read_at = job.succeeded_at if job is not None else None
    reading = _reading_problems(live, job)
    held = [
        problems.held(delivery, seen.backlogs.get(name))
        for name, delivery in seen.deliveries.items()
        if delivery.hold
    ]
    return Readiness(
        problems=(*reading, *held),
        warnings=(*_warnings(seen), *problems.twice(live.destinations, seen.twice)),
        is_reading=not reading,
        read_at=read_at,
        lag_seconds=_lag(live.now, read_at, seen.oldest_due, is_reading=not reading),
    )


def _look(store: Store, now: Micros) -> Seen:
    with store.read() as connection:
        return Seen(
            health.jobs(connection),
            health.deliveries(connection),
            outbox.backlogs(connection),
            len(records.set_aside(connection)),
            records.oldest_due(connection, now),
            health.facts(connection, problems.TWICE),
            health.facts(connection, problems.TROUBLES),
        )


def _reading_problems(live: Live, job: Job | None) -> list[str]:
    """At most one: the first reason found is the one to mend. What an earlier process met says nothing of this one."""
    if live.stopped is not None:
        return [problems.sentence(live.stopped)]
    if job is not None and job.is_failing and (job.failed_at or 0) >= live.started_at:
        return [problems.failing_job(job)]
    active_at = _active_at(live, job)
    quiet = live.now - (active_at if active_at is not None else live.started_at)
    if quiet > max(_QUIET_AT_LEAST, round(_QUIET_INTERVALS * live.poll_interval_seconds * SECOND)):
        return [
            f"Dify was not read for {duration(quiet)}, and no error was met. Look at the log; restart if it stays so."
        ]
    if active_at is None:
        return ["Dify was not read yet, because the exporter has just started. Wait for the first look."]
    return []


def _active_at(live: Live, job: Job | None) -> Micros | None:
    """When this process last read Dify, as far as is known."""
    known = (job.succeeded_at if job is not None else None, live.active_at)
    return max((moment for moment in known if moment is not None and moment >= live.started_at), default=None)


def _warnings(seen: Seen) -> Iterator[str]:
    for name, delivery in seen.deliveries.items():
        if not delivery.hold and problems.is_silent(delivery):
            yield problems.silent(delivery, seen.backlogs.get(name))
    for job in seen.jobs.values():
        if job.name.partition(":")[0] == problems.EVIDENCE and job.is_failing:
            yield problems.failing_job(job)
    yield from problems.leftovers(seen.backlogs, seen.set_aside)
    yield from (problems.sentence(words) for _, words in sorted(seen.troubles.items()))


def _lag(now: Micros, read_at: Micros | None, oldest_due: Micros | None, *, is_reading: bool) -> float | None:
    """While Dify is read, only what is due and not read yet is behind; else everything since the last look may be."""
    behind = [] if oldest_due is None else [oldest_due]
    if not is_reading and read_at is not None:
        behind.append(read_at)
    if not behind:
        return 0.0 if is_reading else None
    return max(0, now - min(behind)) / SECOND
