"""One record read: its rows, and whether they will ever change. What the Console API cannot tell of it is noted on the trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.config import DifySettings
from exporter.model import SECOND, RecordRef
from exporter.sources.console.children import Children, children_of
from exporter.sources.console.finding import Located
from exporter.sources.console.places import Talk
from exporter.sources.console.shapes import (
    DEBUG,
    ENDED,
    graph_text,
    is_written,
    message_row,
    node_rows,
    run_row,
    session_of,
    size_of_nodes,
    thought_rows,
)
from exporter.sources.console.talks import TalkPage, chat_page, completion_page
from exporter.sources.graphs import MOST_GRAPH_BYTES, lacks_a_model
from exporter.sources.http.asking import Denied, record
from exporter.sources.rows import MessageRow, NodeRow, RunRow, ThoughtRow, TraceRows

SETTLED_SECONDS = 10
"""A chatflow's message is written by another thread than its run; after this long both are there."""

WHOLE_SECONDS = "read through Dify's Console API, which tells times in whole seconds"
NO_PRICE = (
    "Dify's Console API tells no price of a message, and does not tell a stopped answer from a preset one"
)
NO_SPLIT = "Dify's Console API tells only the total of an agent's round, not its input and output"
MODEL_CHANGED = "the model is not known: the app's settings were changed after this message, or it was made in the console"
NO_TRIGGER = "Dify's Console API does not tell what triggered this run"
NO_STEPS = "the steps of a run are read when it has ended"

Json = dict[str, Any]
Result = tuple[TraceRows, bool] | None
"""Rows and whether they are final; None when Dify says that the record is gone."""


def read_message(where: Located, ref: RecordRef, dify: DifySettings) -> Result:
    """A message with its run, or with its agent rounds. Raises as `Session.get`."""
    given = where.opened.memory.messages.take(ref.id) or record(where.get(f"messages/{ref.id}"), ref.id)
    if given is None:
        return None
    if given.get("workflow_run_id") or where.app.mode == "advanced-chat":
        return _chatflow(where, ref, given, dify)
    return _plain(where, ref, given)


def read_run(where: Located, ref: RecordRef, dify: DifySettings) -> Result:
    """A run that is part of no message."""
    found = _run(where, ref.id, dify)
    if found is None:
        return None
    return _of_graph(where, ref, None, found, _runner(where, found.run)), found.is_final


def _chatflow(where: Located, ref: RecordRef, given: Json, dify: DifySettings) -> Result:
    run_id = given.get("workflow_run_id")
    found = _run(where, str(run_id), dify) if run_id else None
    message = message_row(given, where.app.id, (None, None), _talk(where, given).name)
    if found is None:
        rows = TraceRows(ref, where.app, message, user=_asker(where, message), notes=(WHOLE_SECONDS,))
        return rows, is_written(given)
    return _of_graph(where, ref, message, found, _runner(where, found.run)), found.is_final


def _of_graph(
    where: Located, ref: RecordRef, message: MessageRow | None, found: _Run, user: str | None
) -> TraceRows:
    return TraceRows(
        ref,
        where.app,
        message,
        found.run,
        found.nodes,
        user=user,
        tool_apps=found.children.tool_apps,
        child_runs=found.children.runs,
        graph=found.graph,
        notes=(WHOLE_SECONDS, *found.notes, *found.children.notes),
    )


def _plain(where: Located, ref: RecordRef, given: Json) -> Result:
    workspace = where.opened.workspace
    created_at = int(given.get("created_at") or 0)
    is_from_console = given.get("from_source") == "console"
    model = None if is_from_console else workspace.model_at(where.app.id, created_at)
    talk = _talk(where, given)
    row = message_row(given, where.app.id, (model.provider, model.name) if model else (None, None), talk.name)
    thoughts = _thoughts(where, given)
    notes = [WHOLE_SECONDS, NO_PRICE]
    if model is None:
        notes.append(MODEL_CHANGED)
    if len(thoughts) > 1:
        notes.append(NO_SPLIT)
    user = _asker(where, row)
    rows = TraceRows(ref, where.app, row, thoughts=thoughts, user=user, notes=tuple(notes))
    return rows, is_written(given) and workspace.session.asker.now() > created_at + SETTLED_SECONDS


def _thoughts(where: Located, given: Json) -> tuple[ThoughtRow, ...]:
    """Agent rounds; the agent log adds their tokens, when Dify gives it."""
    if not given.get("agent_thoughts"):
        return ()
    query = {"conversation_id": str(given.get("conversation_id")), "message_id": str(given["id"])}
    try:
        log = where.opened.workspace.session.get(where.address("agent/logs"), query)
    except Denied as denied:
        if denied.status in (403, 429):
            raise
        log = None
    return thought_rows(given, log if isinstance(log, dict) else None)


@dataclass(frozen=True, slots=True)
class _Run:
    """The run, its nodes, its graph where a node needs it, what its tools started, whether all is final, and what is not told."""

    run: RunRow
    nodes: tuple[NodeRow, ...]
    graph: str | None
    is_final: bool
    notes: tuple[str, ...]
    children: Children


def _run(where: Located, run_id: str, dify: DifySettings) -> _Run | None:
    memory = where.opened.memory
    given = memory.runs.take(run_id) or record(where.get(f"workflow-runs/{run_id}"), run_id)
    if given is None:
        return None
    is_chat = where.app.mode == "advanced-chat"
    run = run_row(given, where.app.id, where.opened.workspace.id, is_chat, where.place.trigger)
    person = session_of(given)
    if person is not None:
        memory.sessions.put(*person)
    notes = () if run.triggered_from else (NO_TRIGGER,)
    now = where.opened.workspace.session.asker.now()
    has_ended = run.status in ENDED
    if not has_ended and run.status != "paused" and not _is_old(run, now, dify):
        return _Run(run, (), None, False, (*notes, NO_STEPS), Children())
    nodes = _nodes(where, run)
    graph = graph_text(given) if lacks_a_model(nodes) else None
    if graph is not None and len(graph) > MOST_GRAPH_BYTES:
        graph = None
    is_waiting = not has_ended and not _is_old(run, now, dify)
    children = Children() if is_waiting else children_of(where, run, nodes)
    is_final = has_ended and now > _end_second(run) + SETTLED_SECONDS and not children.may_come
    return _Run(run, nodes, graph, is_final, notes, children)


def _end_second(run: RunRow) -> int:
    return (run.finished_at or run.created_at + round((run.elapsed_time or 0) * SECOND)) // SECOND


def _nodes(where: Located, run: RunRow) -> tuple[NodeRow, ...]:
    """The run's nodes. A paused run is looked at for days: they are asked for again only when it has gone on."""
    memory = where.opened.memory
    standing = f"{run.id} {run.total_steps} {run.total_tokens}"
    kept = memory.paused.take(standing) if run.status == "paused" else None
    nodes = kept or node_rows(where.get(f"workflow-runs/{run.id}/node-executions"), run)
    if run.status == "paused":
        memory.paused.put(standing, nodes, size_of_nodes(nodes))
    return nodes


def _is_old(run: RunRow, now: float, dify: DifySettings) -> bool:
    """Whether it is to be exported as it is, because it may never end."""
    limit = dify.paused_after if run.status == "paused" else dify.unfinished_after
    return now - run.created_at / SECOND >= limit


def _runner(where: Located, run: RunRow) -> str | None:
    """The end user's session id, or the account's id."""
    if run.created_by_role == "end_user" and run.created_by:
        return where.opened.memory.sessions.get(run.created_by)
    return run.created_by


def _asker(where: Located, message: MessageRow) -> str | None:
    if message.from_end_user_id:
        return where.opened.memory.sessions.get(message.from_end_user_id)
    return message.from_account_id


def _talk(where: Located, given: Json) -> Talk:
    """What the conversation's list entry tells; looked for once where the list was not read lately."""
    memory, conversation_id = where.opened.memory, str(given.get("conversation_id"))
    known = memory.talks.get(conversation_id)
    if known is not None:
        return known
    if where.place.trigger not in DEBUG:
        for item in _talks_then(where, int(given.get("created_at") or 0)).conversations:
            memory.talks.put(item.id, Talk(item.name, item.session))
            if item.end_user and item.session:
                memory.sessions.put(item.end_user, item.session)
    if memory.talks.get(conversation_id) is None:
        memory.talks.put(conversation_id, Talk(None, None))
    return memory.talks.get(conversation_id) or Talk(None, None)


def _talks_then(where: Located, created_at: int) -> TalkPage:
    """The conversations that changed at that time or next."""
    workspace = where.opened.workspace
    try:
        if where.app.mode == "completion":
            return completion_page(
                workspace.session, where.app.id, workspace.zone, f"{created_at}:1", created_at
            )
        return chat_page(workspace.session, where.app.id, workspace.zone, None, created_at)
    except Denied:
        return TalkPage((), None)
