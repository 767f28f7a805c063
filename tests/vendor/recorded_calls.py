"""The recorded Dify instances as Traces, and the truth about their vendor requests, straight from the recordings.

The dumps are read as text (their COPY blocks), so no database is needed; what the rows mean is left to `assemble`. The
truth is the table at the end of each README: which vendor requests belong to which message or run.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from exporter.clock import micros
from exporter.model import App, Call, RecordKind, RecordRef, Status, Trace
from exporter.sources.assemble import assemble
from exporter.sources.rows import MessageRow, NodeRow, RunRow, ThoughtRow, TraceRows
from exporter.vendor.record import VendorCall, parse
from tests.vendor.convert_recording import canonical, lines

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
BILLED = re.compile(r"^(\d+)\+(\d+)")
HIDDEN = frozenset({"title", "suggested", "embedding", "rerank"})
RENAMED = {"tool_meta": "tool_meta_str"}
WITH_ANOTHER = frozenset({89, 122, 58, 106, 110, 112})
"""Rows that also list the requests of another trace: of the workflow a tool called, of the run killed with a chat."""

KILLED_TOO = "4a2c20b9-4d47-4cd3-8c81-4c8d2eaa3ba7"
"""Row 123 of 1.12.1, whose request is listed with row 122."""

ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
Row = dict[str, str | None]


@dataclass(frozen=True)
class Instance:
    """One recorded Dify: its dump, the vendor's log and the README that tells the truth about both."""

    dump: str
    log: str
    readme: str


V1_12 = Instance("dify-1.12.1.sql.gz", "vendor-calls.jsonl", "README.md")
V1_14 = Instance("dify-1.14.0.sql.gz", "vendor-calls-1.14.0.jsonl", "README-1.14.0.md")


@dataclass(frozen=True)
class TruthRow:
    """One line of a README table. `billed` sums the main (not hidden) requests."""

    number: int
    ids: tuple[str, ...]
    seqs: frozenset[int]
    billed: tuple[int, int]
    is_same: str
    text: str


def traces(shared: Path, instance: Instance) -> list[Trace]:
    """Every message, run and single node of a dump, assembled."""
    tables = _tables(shared / "dify" / instance.dump)
    apps = {
        _need(r, "id"): App(_need(r, "id"), _need(r, "name"), _need(r, "mode"), _need(r, "tenant_id"))
        for r in tables["apps"]
    }
    sessions = {r["id"]: r["session_id"] for r in tables["end_users"]}
    runs = {_need(r, "id"): _row(RunRow, r) for r in tables["workflow_runs"]}
    thoughts = _grouped(tables["message_agent_thoughts"], "message_id", ThoughtRow)
    nodes = _grouped(tables["workflow_node_executions"], "workflow_run_id", NodeRow)
    found, told = [], set()
    for row in tables["messages"]:
        message = _row(MessageRow, row)
        user = row["from_end_user_id"] or row["from_account_id"]
        run = runs.get(message.workflow_run_id or "")
        told.add(message.workflow_run_id)
        found.append(
            TraceRows(
                RecordRef(RecordKind.MESSAGE, message.id, message.created_at),
                apps[message.app_id],
                message=message,
                run=run,
                nodes=nodes.get(run.id, ()) if run else (),
                thoughts=thoughts.get(message.id, ()),
                user=sessions.get(user, user),
            )
        )
    for identity, run in runs.items():
        if identity not in told:
            ref = RecordRef(RecordKind.RUN, identity, run.created_at)
            user = sessions.get(run.created_by, run.created_by)
            found.append(TraceRows(ref, apps[run.app_id], run=run, nodes=nodes.get(identity, ()), user=user))
    for node in nodes.get(None, ()):
        ref = RecordRef(RecordKind.NODE, node.id, node.created_at)
        found.append(TraceRows(ref, apps[node.app_id], nodes=(node,), user=node.created_by))
    return [assemble(rows) for rows in found]


def evidence(shared: Path, instance: Instance) -> list[VendorCall]:
    """The vendor's log as canonical evidence."""
    return [parse(canonical(line), "gateway") for line in lines(shared / "dify" / instance.log)]


def log_by_id(shared: Path, instance: Instance) -> dict[str, dict[str, Any]]:
    """The vendor's own lines by response id."""
    return {line["id"]: line for line in lines(shared / "dify" / instance.log)}


def truth(shared: Path, instance: Instance) -> list[TruthRow]:
    """The README's table."""
    found = []
    for line in (shared / "dify" / instance.readme).read_text(encoding="utf-8").splitlines():
        if re.match(r"^\| \d+ \|", line):
            cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            billed = BILLED.match(cells[6])
            found.append(
                TruthRow(
                    int(cells[0]),
                    tuple(UUID.findall(cells[4])),
                    frozenset(_numbers(cells[8])),
                    (int(billed[1]), int(billed[2])) if billed else (0, 0),
                    cells[9].rstrip("|").strip() if len(cells) > 9 else "",
                    line,
                )
            )
    return found


def record_ids(trace: Trace) -> tuple[str, ...]:
    """The ids under which a README names a trace."""
    return tuple(dict.fromkeys(filter(None, (trace.message_id, trace.workflow_run_id, trace.ref.id))))


def calls(found: list[Trace]) -> Iterator[tuple[Trace, Call]]:
    """All calls with their traces."""
    return ((trace, call) for trace in found for call in trace.calls)


def _numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.strip().isdigit():
            yield from range(int(first), int(last or first) + 1)


def _grouped(rows: list[Row], column: str, kind: type[Any]) -> dict[str | None, tuple[Any, ...]]:
    groups: dict[str | None, list[Any]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(_row(kind, row))
    return {key: tuple(group) for key, group in groups.items()}


def _row(kind: type[Any], row: Row) -> Any:
    values = {}
    for field in fields(kind):
        text = row.get(RENAMED.get(field.name, field.name))
        if text is not None:
            values[field.name] = _value(str(field.type), text)
    return kind(**values)


def _value(kind: str, text: str) -> Any:
    if "Micros" in kind:
        return micros(datetime.fromisoformat(text).replace(tzinfo=UTC))
    if "Decimal" in kind:
        return Decimal(text)
    if "float" in kind:
        return float(text)
    return int(text) if kind.startswith("int") else text


def _tables(dump: Path) -> dict[str, list[Row]]:
    """The rows of every COPY block of a plain PostgreSQL dump."""
    tables: dict[str, list[Row]] = {}
    rows, columns = None, []
    with gzip.open(dump, "rt", encoding="utf-8", newline="\n") as text:
        for line in text:
            if rows is None:
                begin = re.match(r"^COPY public\.(\w+) \((.*)\) FROM stdin;", line)
                if begin:
                    columns = [name.strip('" ') for name in begin[2].split(",")]
                    rows = tables.setdefault(begin[1], [])
            elif line == "\\.\n":
                rows = None
            else:
                rows.append(dict(zip(columns, map(_unescaped, line[:-1].split("\t")), strict=True)))
    return tables


def _unescaped(text: str) -> str | None:
    if text == "\\N":
        return None
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text) if "\\" in text else text


def _need(row: Row, column: str) -> str:
    value = row[column]
    assert value is not None
    return value


def owners(found: list[Trace], told: list[TruthRow], log: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Request id → call id, for every request of a message, run or node that Dify still has.

    The README's row names the trace (rows without ids: a trace that no row names). Among its calls the log's own model,
    user and words leave those that can have sent the request; its full answer, then the exact times (one machine, one
    clock) decide between these.
    """
    named = {identity for row in told for identity in row.ids}
    unnamed = [trace for trace in found if not named & set(record_ids(trace))]
    sent = {}
    for identity, line in log.items():
        rows = [row for row in told if line["seq"] in row.seqs]
        if line["kind"] in HIDDEN or is_setup(line, rows):
            continue
        ids = {name for row in rows for name in row.ids}
        traces = [trace for trace in found if ids & set(record_ids(trace))]
        if not rows or not traces or any(row.number in WITH_ANOTHER for row in rows):
            traces += [*unnamed, *(trace for trace in found if KILLED_TOO in record_ids(trace))]
        able = [call for trace in traces for call in trace.calls if _can_have_sent(trace, call, line)]
        if able:
            sent[identity] = min(
                able, key=lambda call: (_answered_else(call, line), _outside(call, line))
            ).call_id
    return sent


def is_setup(line: dict[str, Any], rows: list[TruthRow]) -> bool:
    """Whether the request is the test that Dify makes when a model is set up."""
    ping = [message.get("content") for message in _messages(line)] == ["ping"]
    return ping or any("| setup |" in row.text for row in rows)


def _can_have_sent(trace: Trace, call: Call, line: dict[str, Any]) -> bool:
    """Model, user, time and the user's last words do not speak against it."""
    body = line["request"]
    user = body.get("user") or (body.get("metadata") or {}).get("user_id")
    hashed = {hashlib.sha256(alias.encode()).hexdigest() for alias in trace.user_aliases}
    words = [message.text for message in call.prompt or () if message.role == "user"][-1:]
    words += [call.query] if call.query else []
    return (
        user in (None, *trace.user_aliases, *hashed)
        and call.model in (None, line["model"])
        and _outside(call, line) < 2_500_000
        and all(any(word.strip()[:900] in text for text in _texts(line)) for word in words)
        and not (call.status is Status.OK and line["usage"] is None and _outside(call, line) > 0)
    )


def _answered_else(call: Call, line: dict[str, Any]) -> bool:
    """Whether the answer that Dify kept is not the one in the log."""
    answer = (call.answer or "").rsplit("</think>", 1)[-1].strip()
    return not answer or answer not in str(line["response_text"])


def _outside(call: Call, line: dict[str, Any]) -> int:
    """Micros between the request's beginning and the call's time; 0 inside."""
    began = micros(datetime.fromisoformat(line["time"]))
    return max(call.started_at - began, began - call.ended_at, 0)


def _messages(line: dict[str, Any]) -> list[dict[str, Any]]:
    body = line["request"]
    inner = body["input"] if isinstance(body.get("input"), dict) else body
    return list(inner.get("messages") or ())


def _texts(line: dict[str, Any]) -> list[str]:
    contents = [message.get("content") for message in _messages(line)]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return [text for text in contents if isinstance(text, str)] + [str(block.get("text")) for block in blocks]
