"""A copy of the ledger's calls in a PostgreSQL table: one row a call, for Grafana's tables and for whoever asks with SQL.

The state file stays the truth. A request is one transaction, so an answer is a receipt; a row is replaced by a later revision
of its trace and never by an earlier one; calls that a correction took away are deleted with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from exporter.config import ContentSettings, DestinationSettings, masked_url
from exporter.destinations.base import Answer, Checked, Confirmation, Limits, Outcome, Unit
from exporter.documents import call_document
from exporter.errors import Misconfigured
from exporter.model import AssessedTrace
from exporter.spans import otlp

if TYPE_CHECKING:
    import psycopg

Document = dict[str, Any]

TABLE = "dify_exporter_calls"
_PARTS = ("input", "output")
_READINGS = ("dify", "local", "vendor")
_COLUMNS = {
    "call_id": "text PRIMARY KEY",
    "trace_id": "text NOT NULL",
    "revision": "integer NOT NULL",
    "app_id": "text", "app_name": "text", "app_mode": "text",
    "provider": "text", "model": "text", "kind": "text NOT NULL",
    "started_at": "timestamptz NOT NULL", "ended_at": "timestamptz NOT NULL",
    "status": "text NOT NULL", "verdict": "text NOT NULL",
    **{f"{name}_{part}": "bigint" for name in _READINGS for part in _PARTS},
    **{column: kind for name in _READINGS for column, kind in (
        (f"{name}_cost", "numeric"), (f"{name}_currency", "text"))},
    "unexplained_input": "bigint", "unexplained_output": "bigint",
    "findings": "jsonb NOT NULL", "document": "jsonb NOT NULL",
}  # fmt: skip
_HOLD_CLASSES = {
    "28": "check user and password",
    "3D": "create the database, or check its name",
    "3F": "create the schema, or check its name",
    "42": "grant CREATE on the schema once, or INSERT, UPDATE, DELETE and SELECT on the table",
}
_BAD_CONTENT = ("22", "23")


class PostgresqlCopy:
    """One table of one database."""

    kind = "postgresql"
    corrects = True
    confirmation = Confirmation.AT_ONCE

    def __init__(
        self, settings: DestinationSettings, content: ContentSettings, resource: Mapping[str, str]
    ) -> None:
        self.name = settings.name
        self.limits = Limits(settings.max_spans, settings.max_bytes, 0, 0.0)
        self._url = settings.url.get_secret_value()
        self._place = masked_url(self._url)
        self._table = _quoted(settings.table or TABLE)
        self._timeout = settings.timeout
        self._connection: psycopg.Connection[Any] | None = None

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """One JSON text a call, and first the ids of all calls that the trace has."""
        documents = [call_document(trace.trace, item) for item in trace.assessments]
        head = {"trace_id": trace.trace.trace_id, "calls": [item["call_id"] for item in documents]}
        return [orjson.dumps(head), *(orjson.dumps(item) for item in documents)]

    def send(self, units: Sequence[Unit]) -> Answer:
        """One transaction with the rows of these units."""
        import psycopg

        try:
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor:
                self._write(cursor, units)
        except psycopg.Error as error:
            self._forget_connection()
            return _meaning(error, self._place)
        return Answer(Outcome.ACCEPTED)

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """Nothing: what was committed is there."""
        return set()

    def check(self) -> list[Checked]:
        """Whether the table can be written."""
        import psycopg

        name = f"destination {self.name}"
        try:
            connection = self._connected()
            row = connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()
            can_write = connection.execute(
                "SELECT bool_and(has_table_privilege(%s, right_)) FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) right_",
                (self._table,),
            ).fetchone()
        except psycopg.Error as error:
            self._forget_connection()
            answer = _meaning(error, self._place)
            return [Checked(name, False, answer.reason, _hint(error))]
        seen = f"{self._place}, table {self._table}: {row[0] if row else 0:,} calls"
        if not (can_write and can_write[0]):
            return [Checked(name, False, f"{seen}, which this user may only read", _HOLD_CLASSES["42"])]
        return [Checked(name, True, seen)]

    def link(self, trace_id: str) -> str | None:
        """None: a table has no page."""
        return None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            import psycopg

            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(1, round(self._timeout)),
                tcp_user_timeout=max(1000, round(self._timeout * 1000)),
                application_name="dify-exporter",
            )
            self._connection.execute(f"SET statement_timeout = {max(1, round(self._timeout * 1000))}")
            self._make_table(self._connection)
        return self._connection

    def _make_table(self, connection: psycopg.Connection[Any]) -> None:
        """Only where it is not there yet, so that the right to create is needed once."""
        row = connection.execute("SELECT to_regclass(%s)", (self._table,)).fetchone()
        if row is not None and row[0] is not None:
            return
        columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        with connection.transaction():
            connection.execute(f"CREATE TABLE {self._table} ({columns})")
            connection.execute(f"CREATE INDEX ON {self._table} (started_at)")
            connection.execute(f"CREATE INDEX ON {self._table} (trace_id)")

    def _write(self, cursor: psycopg.Cursor[Any], units: Sequence[Unit]) -> None:
        gone, rows = [], []
        for unit in units:
            for text in otlp.split(unit.spans):
                document: Document = orjson.loads(text)
                if "calls" in document:
                    gone.append((document["trace_id"], unit.revision, document["calls"]))
                else:
                    rows.append(_row(document, unit.revision))
        cursor.executemany(
            f"DELETE FROM {self._table} WHERE trace_id = %s AND revision < %s AND NOT call_id = ANY(%s)", gone
        )
        cursor.executemany(self._upsert(), rows)

    def _upsert(self) -> str:
        names = list(_COLUMNS)
        changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        return (
            f"INSERT INTO {self._table} AS held ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
            f" ON CONFLICT (call_id) DO UPDATE SET {changes} WHERE held.revision <= excluded.revision"
        )

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _row(document: Document, revision: int) -> list[Any]:
    readings, rest = document["readings"], document["unexplained"] or {}
    vendor = readings["vendor"] if readings["vendor"] and readings["vendor"]["independent"] else None
    known = {"dify": readings["dify"] or {}, "local": readings["local"] or {}, "vendor": vendor or {}}
    values = {
        **{name: document[name] for name in _COLUMNS if name in document},
        "revision": revision,
        **{f"{name}_{part}": known[name].get(part) for name in _READINGS for part in _PARTS},
        **{f"{name}_cost": known[name].get("cost") for name in _READINGS},
        **{f"{name}_currency": known[name].get("currency") for name in _READINGS},
        "unexplained_input": rest.get("input"),
        "unexplained_output": rest.get("output"),
        "findings": _jsonb(document["findings"]),
        "document": _jsonb(document),
    }
    return [values[name] for name in _COLUMNS]


def _jsonb(value: object) -> str:
    return orjson.dumps(value).decode()


def _quoted(table: str) -> str:
    """`schema.table` with each part quoted. Raises Misconfigured for an empty part."""
    parts = table.split(".")
    if not all(parts):
        raise Misconfigured([f"destinations: table {table!r} is not a name"], "write table or schema.table")
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _meaning(error: psycopg.Error, place: str) -> Answer:
    """What a failure means; its own words may hold values of the row, so the SQLSTATE stands for them."""
    import psycopg

    state = error.sqlstate or ""
    what = f"{place}: {type(error).__name__}" + (f" (SQLSTATE {state})" if state else _refusal(error))
    if state[:2] in _BAD_CONTENT or isinstance(error, psycopg.DataError):
        return Answer(Outcome.REFUSED, what)
    if state[:2] in _HOLD_CLASSES:
        return Answer(Outcome.HOLD, f"{what}; {_HOLD_CLASSES[state[:2]]}")
    return Answer(Outcome.RETRY, what)


def _refusal(error: psycopg.Error) -> str:
    """What the server said to a connection it refused: names of database and user, never the password."""
    _, fatal, words = str(error).rpartition("FATAL:")
    return f" ({' '.join(words.split())})" if fatal else ""


def _hint(error: psycopg.Error) -> str:
    state = (error.sqlstate or "")[:2]
    return _HOLD_CLASSES.get(state, "check that the server runs and that url names it")
