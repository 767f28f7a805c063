"""What became of all vendor requests, in sums and one by one: for `evidence`, `calls`, `status`, metrics and pages.

What a request that belongs to no call is, is told here and not stored, because Dify's users, apps and keys become known
over time. A request for one of its users or apps is Dify's own even where no row is left of it (`unrecorded`: a deleted
conversation). An embedding or a rerank shows no words of Dify's: it is foreign when its user or its key is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from exporter.model import Micros
from exporter.state.windows import shifts
from exporter.vendor.hidden.known import NOBODY
from exporter.vendor.matching.skew import shifted
from exporter.vendor.record import VendorCall

_NOBODY = ", ".join(f"'{hash_}'" for hash_ in sorted(NOBODY))
_KNOWN_APP = "EXISTS (SELECT 1 FROM familiar WHERE name = 'app:' || app_id)"
_KNOWN_USER = (
    f"EXISTS (SELECT 1 FROM json_each(users) u WHERE u.value IN ({_NOBODY})"
    " OR EXISTS (SELECT 1 FROM familiar WHERE name = 'user:' || u.value))"
)
_FOREIGN_KEY = (
    "key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM familiar WHERE name = 'key:' || key)"
    " AND EXISTS (SELECT 1 FROM familiar WHERE name >= 'key:' AND name < 'key;')"
)
_STANDING = (
    "CASE WHEN standing NOT IN ('hidden', 'foreign') OR trace_id IS NOT NULL OR purpose = 'credential_check' THEN standing"
    f" WHEN app_id IS NOT NULL AND NOT {_KNOWN_APP} THEN 'foreign'"
    f" WHEN standing = 'foreign' THEN iif(app_id IS NOT NULL OR {_KNOWN_USER}, 'unrecorded', 'foreign')"
    f" WHEN purpose IN ('embedding', 'rerank') AND app_id IS NULL AND NOT {_KNOWN_USER}"
    f" AND (users != '[]' OR {_FOREIGN_KEY}) THEN 'foreign' ELSE 'hidden' END"
)
MATCHED, HIDDEN, UNRECORDED, FOREIGN, COPY, NEW = (
    "matched", "hidden", "unrecorded", "foreign", "copy", "new",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one source, standing, purpose, model and key, summed. Unknown usage counts nothing; `uncounted` says
    how many requests that are."""

    source: str
    standing: str
    purpose: str | None
    model: str
    key: str | None
    requests: int
    input: int
    output: int
    uncounted: int


def groups(
    connection: sqlite3.Connection, since: Micros | None = None, until: Micros | None = None
) -> list[Group]:
    """The sums over all requests that began in the stretch, by the sources' clocks."""
    return _groups(connection, since, until, "")


def lone_groups(
    connection: sqlite3.Connection, since: Micros | None = None, until: Micros | None = None
) -> list[Group]:
    """The same over the requests that belong to no trace only: hidden, unrecorded and foreign ones."""
    return _groups(connection, since, until, " AND trace_id IS NULL AND standing IN ('hidden', 'foreign')")


def _groups(
    connection: sqlite3.Connection, since: Micros | None, until: Micros | None, condition: str
) -> list[Group]:
    rows = connection.execute(
        f"SELECT source, {_STANDING} AS told, purpose, model, key, count(*), coalesce(sum(input), 0),"
        f" coalesce(sum(output), 0), sum(input IS NULL) FROM evidence WHERE at >= ? AND at < ?{condition}"
        " GROUP BY source, told, purpose, model, key ORDER BY source, told, purpose, model, key",
        (since if since is not None else -(2**62), until if until is not None else 2**62),
    )
    return [Group(*row) for row in rows]


def dify_keys(connection: sqlite3.Connection) -> set[str]:
    """The keys that requests of Dify's were paid with."""
    rows = connection.execute("SELECT substr(name, 5) FROM familiar WHERE name >= 'key:' AND name < 'key;'")
    return {key for (key,) in rows}


@dataclass(frozen=True, slots=True)
class Unattached:
    """A request of Dify's own that belongs to no trace: hidden, or unrecorded. `app_name` is that of `app_id`."""

    request: VendorCall
    standing: str
    purpose: str | None
    app_id: str | None
    app_name: str | None
    method: str | None
    confidence: float | None


def unattached(
    connection: sqlite3.Connection, since: Micros | None = None, until: Micros | None = None
) -> Iterator[Unattached]:
    """Hidden requests without a trace, and unrecorded ones, in order of time."""
    known = shifts(connection)
    rows = connection.execute(
        f"SELECT record, {_STANDING} AS told, purpose, app_id,"
        " (SELECT app_name FROM traces t WHERE t.app_id = evidence.app_id LIMIT 1), method, confidence FROM evidence"
        " WHERE at >= ? AND at < ? AND trace_id IS NULL AND standing IN ('hidden', 'foreign')"
        " AND told IN ('hidden', 'unrecorded') ORDER BY at, source, id",
        (since if since is not None else -(2**62), until if until is not None else 2**62),
    )
    for record, standing, purpose, app_id, app_name, method, confidence in rows:
        request = VendorCall.from_json(record)
        request = shifted(request, known.at(request.source, request.start))
        yield Unattached(request, standing, purpose, app_id, app_name, method, confidence)


def clock_differences(connection: sqlite3.Connection) -> dict[str, Micros]:
    """How far each source's clock is behind ours now; sources whose clock agrees are left out."""
    rows = connection.execute("SELECT source, shift FROM clock_shifts ORDER BY source, since")
    return {source: shift for source, shift in rows if shift}
