"""After a restart: a record that was met before is read as if its list had just named it, for few requests more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from exporter.model import RecordKind, RecordRef
from exporter.sources.rows import TraceRows
from tests.conftest import RecordedDify
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found
from tests.sources.console.restored import VERSIONS, restored, twin_of


@pytest.fixture(params=["bundled", *VERSIONS])
def recorded_twin(request: pytest.FixtureRequest) -> Iterator[ConsoleTwin]:
    """A twin of the bundled recording, and of the whole ones where they are."""
    if request.param == "bundled":
        recorded: RecordedDify = request.getfixturevalue("recorded_dify")
        with twin_of(recorded.url, "1.14.0") as served:
            yield served
        return
    with (
        restored(request.getfixturevalue("shared"), request.param) as url,
        twin_of(url, request.param) as served,
    ):
        yield served


def by_id(traces: tuple[TraceRows, ...]) -> dict[str, TraceRows]:
    return {trace.ref.id: trace for trace in traces}


def test_what_was_met_before_a_restart_is_read_as_it_was(
    recorded_twin: ConsoleTwin, sources: Sources
) -> None:
    source = sources.open(recorded_twin)
    refs = found(source)
    before = by_id(fetched(source, refs).traces)
    after = by_id(fetched(sources.open(recorded_twin), refs).traces)
    assert after.keys() == before.keys()
    for trace_id, trace in after.items():
        assert trace == before[trace_id], trace.app.name


def test_a_backlog_of_one_app_is_looked_for_once(twin: ConsoleTwin, sources: Sources) -> None:
    first = sources.open(twin)
    refs = found(first)
    apps = [
        app
        for opened in first.opened
        for app in opened.workspace.apps
        if opened.workspace.apps[app].mode == "workflow"
    ]
    runs = {
        app: [row["id"] for row in twin.rows.group("workflow_runs", "app_id", app) if row["id"] in refs]
        for app in apps
    }
    app = next(app for app in reversed(apps) if len(runs[app]) > 2)
    assert apps.index(app) > len(apps) / 2  # not one of those that are asked first anyway
    mine = {run: refs[run] for run in runs[app]}
    source = sources.open(twin)
    twin.asked.clear()
    fetched(source, mine)
    may_hold = sum(row["mode"] in ("workflow", "advanced-chat") for row in twin.rows.tables["apps"])
    asked = [path for path in twin.paths("/workflow-runs/") if path.rpartition("/")[2] in mine]
    assert len(asked) < may_hold + len(mine)


def test_a_log_that_is_refused_leaves_the_trigger_unknown_and_the_run_is_read(
    twin: ConsoleTwin, sources: Sources
) -> None:
    refs = found(sources.open(twin))
    run = next(
        ref for ref in refs.values()
        if ref.kind is RecordKind.RUN and twin.rows.by_id["workflow_runs"][ref.id]["triggered_from"] == "app-run"
        and twin.rows.by_id["workflow_runs"][ref.id]["type"] == "workflow"
    )  # fmt: skip
    twin.trouble.broken = {"workflow-app-logs": 1000}
    (trace,) = sources.open(twin).fetch((run,)).traces
    assert trace.run is not None
    assert trace.run.triggered_from is None
    assert any("what triggered this run" in note for note in trace.notes)


def test_a_time_that_is_not_known_exactly_does_not_hinder_the_look(
    twin: ConsoleTwin, sources: Sources
) -> None:
    """Another source tells microseconds, or nothing."""
    run = next(ref for ref in found(sources.open(twin)).values() if ref.kind is RecordKind.RUN)
    for ref in (replace(run, created_at=run.created_at + 999_999), RecordRef(RecordKind.RUN, run.id, 0)):
        (trace,) = sources.open(twin).fetch((ref,)).traces
        assert trace.run is not None
