"""What ties a workflow tool to the run it started, found as the database source finds it: see `exporter.sources.links`.

The tool's provider names its app (`tool-provider/workflow/get`, which every member may ask, in all versions since 0.15), the app's log
names the runs of that time and who ran them, a run its inputs. What was asked of a child is kept for its own trace. Nothing here
keeps a trace from being read: what is refused is a note on it, and its tools stay without a link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.model import SECOND, Micros
from exporter.sources.assemble.node_call import node_end
from exporter.sources.console.finding import Located
from exporter.sources.console.run_lists import LOGGED_SECONDS, log_page, trigger_page
from exporter.sources.console.session import Session
from exporter.sources.console.shapes import DEBUG, ENDED, run_row
from exporter.sources.console.walk import Met
from exporter.sources.http.asking import Denied, record
from exporter.sources.links import MOST_CHILDREN, MOST_INPUT_BYTES, tool_providers
from exporter.sources.rows import ChildRun, NodeRow, RunRow

PROVIDER = "/workspaces/current/tool-provider/workflow/get"
NOT_LINKED = "a workflow tool is not linked to the run it started: Dify's Console API refuses to tell it"

MOST_PAGES = 5
"""More runs of the tool's app than these pages hold, while the tool ran, are not searched."""


@dataclass(frozen=True, slots=True)
class Children:
    """What a trace holds of them. `may_come`: Dify failed to tell, and may tell it later."""

    tool_apps: tuple[tuple[str, str], ...] = ()
    runs: tuple[ChildRun, ...] = ()
    notes: tuple[str, ...] = ()
    may_come: bool = False


def children_of(where: Located, run: RunRow, nodes: Sequence[NodeRow]) -> Children:
    """The runs that this run's workflow tools may have started. Raises `Unreachable` and `SourceRefused`."""
    ended = [node for node in nodes if node.finished_at or node.elapsed_time]
    calls = [(node, provider) for node in ended for provider in tool_providers((node,))]
    if not calls:
        return Children()
    try:
        apps = _apps(where, {provider for _, provider in calls})
        found = [
            child
            for app in sorted(set(apps.values()))
            for child in _runs(
                where, run, app, [node for node, provider in calls if apps.get(provider) == app]
            )
        ]
    except Denied as denied:
        return Children(notes=(f"{NOT_LINKED} ({denied})",), may_come=denied.status >= 500)
    runs = tuple(sorted(found, key=lambda child: (child.created_at, child.id)))
    return Children(tuple(sorted(apps.items())), runs if len(runs) <= MOST_CHILDREN else ())


def _apps(where: Located, providers: set[str]) -> Mapping[str, str]:
    """Provider → the app it runs, which never changes; without those whose tool is gone (Dify answers 400 then)."""
    session, known = where.opened.workspace.session, where.opened.memory.tool_apps
    for provider in sorted(providers):
        if known.get(provider) is not None:
            continue
        try:
            told = session.get(PROVIDER, {"workflow_tool_id": provider})
        except Denied as denied:
            if denied.code is None or denied.status not in (400, 404):
                raise
            continue
        if isinstance(told, dict) and isinstance(told.get("workflow_app_id"), str):
            known.put(provider, told["workflow_app_id"])
    return {provider: app for provider in providers if (app := known.get(provider)) is not None}


def _runs(where: Located, parent: RunRow, app: str, tools: Sequence[NodeRow]) -> Iterator[ChildRun]:
    """The app's runs by the parent's user, begun in the time of one of its tools."""
    if app not in where.opened.workspace.apps:
        return
    since = min(node.created_at for node in tools) // SECOND
    until = max(node_end(node) for node in tools) // SECOND + 1
    is_debug = parent.triggered_from in DEBUG
    listed = [
        met
        for met in _listed(where.opened.workspace.session, app, is_debug, since, until)
        if met.ref.id != parent.id
        and met.created_by == parent.created_by
        and any(_is_in_time(node, met.ref.created_at) for node in tools)
    ]
    for met in listed if len(listed) <= MOST_CHILDREN else ():
        child = _run(where, app, met.ref.id)
        if child is not None:
            inputs = child.inputs if len(child.inputs or "") <= MOST_INPUT_BYTES else None
            yield ChildRun(child.id, app, met.ref.created_at, met.created_by, inputs, child.total_tokens)


def _listed(session: Session, app: str, is_debug: bool, since: int, until: int) -> tuple[Met, ...]:
    """The app's runs of that time (seconds), and maybe others; none when there are too many. Runs made in an editor are in no log."""
    at, met = None if is_debug else f"{until + LOGGED_SECONDS}:1", dict[str, Met]()
    for _ in range(MOST_PAGES):
        if is_debug:
            page = trigger_page(session, app, False, "debugging", at, since, int(session.asker.now()))
        else:
            page = log_page(session, app, at, since)
        met |= {item.ref.id: item for item in page.met}
        at = page.at
        if at is None:
            return tuple(met.values())
    return ()


def _is_in_time(node: NodeRow, second: Micros) -> bool:
    """Whether a run of this second may have begun while the node ran: the node's start is told in whole seconds too."""
    return node.created_at <= second < node_end(node) + SECOND


def _run(where: Located, app: str, run_id: str) -> RunRow | None:
    """The child: as its own trace was read already, or as it will be read, from the same answer."""
    memory = where.opened.memory
    trace = memory.traces.look(run_id)
    if trace is not None:
        return trace.run
    given = memory.runs.look(run_id)
    if given is None:
        given = record(where.opened.workspace.session.get(f"/apps/{app}/workflow-runs/{run_id}"), run_id)
        if given is None:
            return None
        if given.get("status") in ENDED:
            memory.runs.put(run_id, given, len(str(given)))
    return run_row(given, app, where.opened.workspace.id, False, None)
