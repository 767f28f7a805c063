"""Which clock Dify's messages follow on MySQL, and their times in UTC.

Dify leaves the creation time of messages (and a few other rows) to the database's default, CURRENT_TIMESTAMP, which on
MySQL follows the zone of the session, and Dify sets none; runs, nodes and rounds get UTC from Dify itself. So on a server
set to, say, +08:00, messages lie eight hours after their own runs. Source: Dify's issue 38553.

The server's zone is only what to expect: an administrator may have set Dify's sessions to UTC. Chatflow messages
tell which it is, for each has a run that began with it. Where none tells, the server's zone is assumed and said to be.
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from exporter.config import DatabaseSettings
from exporter.model import SECOND
from exporter.sources.dialects.base import Clock, Column, Server

_ZONE = sa.text("SELECT @@global.time_zone, @@global.system_time_zone")

_OFFSETS = sa.text("""
    SELECT TIMESTAMPDIFF(SECOND, CONVERT_TZ('2026-01-15 12:00:00', :zone, '+00:00'), '2026-01-15 12:00:00'),
           TIMESTAMPDIFF(SECOND, CONVERT_TZ('2026-07-15 12:00:00', :zone, '+00:00'), '2026-07-15 12:00:00')
""")

_TOGETHER_SECONDS = 600
"""A chatflow's message is created within this time of its run."""

_RECENT_MESSAGES, _ENOUGH_PAIRS = 10_000, 50

_PAIRS = """
    SELECT ABS(TIMESTAMPDIFF(SECOND, r.created_at, m.created_at)) <= :together,
           ABS(TIMESTAMPDIFF(SECOND, r.created_at, CONVERT_TZ(m.created_at, :zone, '+00:00'))) <= :together
    FROM (SELECT created_at, workflow_run_id FROM {messages} ORDER BY created_at DESC LIMIT {recent}) AS m
    JOIN {runs} AS r ON r.id = m.workflow_run_id
    ORDER BY m.created_at DESC LIMIT {pairs}
"""


def clock_of(
    connection: sa.Connection, settings: DatabaseSettings, messages: str | None, runs: str | None
) -> Clock:
    """As the settings say, or as the rows tell. `messages` and `runs` are the quoted names of those tables, or None where they
    cannot be compared in little time."""
    zone, system = connection.execute(_ZONE).one()
    words = f"SYSTEM ({system})" if zone == "SYSTEM" else zone
    winter, summer = connection.execute(_OFFSETS, {"zone": zone}).one()
    in_utc, in_zone = Clock(None, words), Clock(zone, words, runs_back=abs(summer - winter) * SECOND)
    if winter == summer == 0 or settings.message_times == "utc":
        return in_utc
    if settings.message_times == "server":
        return in_zone
    if messages is None or runs is None:
        return replace(in_zone, is_assumed=True)
    statement = sa.text(
        _PAIRS.format(messages=messages, runs=runs, recent=_RECENT_MESSAGES, pairs=_ENOUGH_PAIRS)
    )
    pairs = connection.execute(statement, {"zone": zone, "together": _TOGETHER_SECONDS}).fetchall()
    for_utc, for_zone = (sum(1 for pair in pairs if pair[place]) for place in (0, 1))
    return in_utc if for_utc > for_zone else replace(in_zone, is_assumed=for_utc == for_zone)


def default_time(server: Server, column: Column) -> Column:
    """A time that Dify leaves to the database's default, in UTC."""
    return column if server.clock.zone is None else _converted(column, server.clock.zone, "+00:00")


def as_default_time(server: Server, moment: Column) -> Column:
    """The inverse: a time in UTC as such a column holds it."""
    return moment if server.clock.zone is None else _converted(moment, "+00:00", server.clock.zone)


def _converted(moment: Column, zone: str, into: str) -> Column:
    return sa.func.convert_tz(moment, zone, into, type_=sa.DateTime())
