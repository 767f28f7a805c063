"""Where Dify's own tracing is on: tokens are counted once, and Dify's own traces get readings, findings and scores."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import audit, clock, config, status
from exporter.checks import Result, check_all
from exporter.daemon import App
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.once import OnceReport
from exporter.spans.langfuse_additions import NAME
from exporter.spans.scores import NAMES, VERDICT
from exporter.state import outbox
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.dify_own_tracing import (
    Event,
    langfuse_events,
    langsmith_runs,
    send_to_langfuse,
    tokens,
)
from tests.contract.langfuse_twin import PROJECT, LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.e2e.recorded import restore
from tests.sources.own_tracing import langfuse_config, langsmith_config, prepare, switch_on
from tests.vendor.convert_recording import canonical

SECOND = 1_000_000
KEYS = (langfuse_twin.PUBLIC_KEY, langfuse_twin.SECRET_KEY)
TRACED = ("Helpdesk chatflow", "Retry workflow", "Support chat (gpt-4o-mini)", "Clock agent (function call)")


@dataclass
class Dify:
    """A Dify of its own with the bundled recording, and what its own tracing knows."""

    url: str
    vendor_log: Path
    folder: Path

    def apps(self) -> dict[str, str]:
        """Names to ids."""
        with psycopg.connect(self.url) as connection:
            return dict(connection.execute("SELECT name, id::text FROM apps").fetchall())

    def trace(self, *names: str, config: dict[str, str] | None = None, **how: Any) -> None:
        """Switch on the apps' own tracing to Langfuse."""
        with psycopg.connect(self.url) as connection:
            for name in names:
                told = langfuse_config(PROJECT) if config is None else config
                provider = "langsmith" if "api_key" in told else "langfuse"
                switch_on(connection, self.apps()[name], provider, told, **how)

    def off(self) -> None:
        """Switch off every app's own tracing."""
        with psycopg.connect(self.url) as connection:
            connection.execute("UPDATE apps SET tracing = NULL")

    def events(self, *names: str) -> list[Event]:
        """What Dify's own tracing sends to Langfuse for these apps."""
        return [event for name in names for event in langfuse_events(self.url, self.apps()[name])]

    def settings(self, *destinations: dict[str, Any], vendor: bool = True) -> config.Settings:
        wanted = {
            "dify.database.url": self.url,
            "state.path": str(self.folder / "s.db"),
            "vendor": [{"kind": "file", "path": str(self.vendor_log), "name": "log"}] if vendor else [],
            "destinations": list(destinations),
        }
        return config.load(Path(os.devnull), {}, wanted).settings

    def run(
        self, *destinations: dict[str, Any], vendor: bool = True, later: int = 0
    ) -> tuple[OnceReport, list[audit.Day]]:
        """`run --once`, then `audit` of everything; `later` is how many seconds ahead the clock is."""
        ahead = later * SECOND
        with App(self.settings(*destinations, vendor=vendor), now=lambda: clock.now() + ahead) as app:
            report = app.run_once(patience_seconds=60)
            confirm_all(app)
            question = audit.Question(0, app.now() + 1, app.now(), 50, repair=False)
            return report, list(audit.audit(app.store, app.destinations, question))

    def problems(self, *destinations: dict[str, Any]) -> list[str]:
        """The sentences of `status`."""
        settings = self.settings(*destinations)
        with App(settings) as app:
            found: list[str] = status.document(app.store, settings, app.now())["problems"]
        return found

    def check(self, *destinations: dict[str, Any]) -> Result:
        """The line of `check` about Dify's own tracing."""
        (line,) = (
            item for item in check_all(self.settings(*destinations)) if item.name.endswith(": existing")
        )
        return line


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Started once; every test gets a copy of its database."""
    log = tmp_path_factory.mktemp("vendor") / "vendor.jsonl"
    with dify_database() as url:
        replay.play_at_once(url, recording.load("tests"), log, clock.now() - 7200 * SECOND)
        with psycopg.connect(url) as connection:
            prepare(connection)
        yield url, log


@pytest.fixture
def dify(server: tuple[str, Path], tmp_path: Path) -> Iterator[Dify]:
    url, log = server
    admin, name = url.replace("/postgres?", "/template1?"), f"dify_{os.urandom(4).hex()}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE postgres")  # type: ignore[call-overload]
        yield Dify(url.replace("/postgres?", f"/{name}?"), log, tmp_path)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def langfuse(twin: LangfuseTwin, **more: Any) -> dict[str, Any]:
    return {
        "kind": "langfuse",
        "endpoint": twin.url,
        "public_key": KEYS[0],
        "secret_key": KEYS[1],
        "confirm_after": "0.3s",
        "requests_per_second": 5000,
        **more,
    }


def langsmith(twin: LangSmithTwin, **more: Any) -> dict[str, Any]:
    return {
        "kind": "langsmith",
        "endpoint": twin.url,
        "api_key": langsmith_twin.API_KEY,
        "project": "dify",
        "confirm_after": "0.3s",
        "requests_per_second": 5000,
        **more,
    }


def confirm_all(app: App) -> None:
    """Read back, and send again what is lost, until nothing waits for it, however busy the machine is."""
    for _ in range(600):
        for courier in app.couriers:
            courier.confirm()
            courier.step()
        with app.store.read() as connection:
            waiting = outbox.backlogs(connection).values()
        if not any(item.acked or item.ready or item.in_doubt for item in waiting):
            return
        time.sleep(0.05)
    raise AssertionError("something is never read back")


def delivered(report: OnceReport) -> bool:
    return (report.problems, report.dead, report.waiting) == ((), {}, {})


def own(twin: LangfuseTwin) -> set[str]:
    """Trace ids under which our own spans are held."""
    return {row["traceId"] for row in twin.rows() if "-" not in row["traceId"]}


def written(events: list[Event]) -> set[str]:
    """Trace ids of Dify's own tracing."""
    return {event["body"]["id"] for event in events if event["type"] == "trace-create"}


def additions(twin: LangfuseTwin) -> list[dict[str, Any]]:
    return [row for row in twin.ingested.observations.values() if row["name"] == NAME]


@pytest.fixture(params=["legacy", "dual"])
def twin(request: pytest.FixtureRequest) -> Iterator[LangfuseTwin]:
    with LangfuseTwin(mode=request.param) as running:
        yield running


def test_an_app_that_dify_traces_is_enriched_and_every_other_is_sent(dify: Dify, twin: LangfuseTwin) -> None:
    dify.trace(*TRACED)
    events = dify.events(*TRACED)
    assert send_to_langfuse(twin.url, KEYS, events) == []
    report, days = dify.run(langfuse(twin, existing="auto"))
    assert delivered(report)
    assert twin.violations == []
    dashed = written(events)
    assert len(dashed) == 23
    assert {trace_id.replace("-", "") for trace_id in dashed}.isdisjoint(own(twin))
    assert sum(day.there for day in days) == len(own(twin)) == report.exported - len(dashed)
    assert sum(day.without_spans for day in days) == len(dashed)
    assert audit.exit_code(days) == 0
    counted = {trace_id: total for trace_id, total in twin.tokens().items() if "-" in trace_id}
    assert counted == tokens(events)


def test_difys_traces_show_scores_readings_and_findings_below_their_nodes(
    dify: Dify, twin: LangfuseTwin
) -> None:
    dify.trace(*TRACED)
    events = dify.events(*TRACED)
    send_to_langfuse(twin.url, KEYS, events)
    dify.run(langfuse(twin, existing="auto"))
    of_dify = {event["body"]["id"] for event in events}
    rows = additions(twin)
    assert {row["parentObservationId"] for row in rows} <= of_dify | {None}
    assert all((row["model"], row["usageDetails"], row["costDetails"]) == (None, {}, {}) for row in rows)
    found = [json.loads(row["output"]) for row in rows]
    assert {"retry_billed", "explained"} <= {
        word
        for item in found
        for word in (item["verdict"], *(line.split(":")[0] for line in item["findings"]))
    }
    assert all(
        item["dify"]["total"] == item["vendor"]["total"]
        for item in found
        if item["verdict"] == "agree" and "dify" in item  # a hidden call that cost nothing has no record
    )
    names: set[str] = set()
    for trace_id in written(events):
        scores, metadata = twin.scores.of_trace(trace_id), twin.ingested.traces[trace_id]["metadata"]
        names.update(scores)
        assert ("message_id" in metadata) or ("workflow" in metadata)  # Dify's own stay
        assert metadata["dify_exporter.verdict"] == scores[VERDICT]
    assert names == set(NAMES)
    rows_of_scores = twin.scores.rows.values()
    assert {row["environment"] for row in rows_of_scores if "-" in row["traceId"]} == {"default"}


def test_totals_in_the_metadata_are_those_of_dify(dify: Dify, twin: LangfuseTwin) -> None:
    name = "Support chat (gpt-4o-mini)"
    dify.trace(name)
    events = dify.events(name)
    send_to_langfuse(twin.url, KEYS, events)
    dify.run(langfuse(twin, existing="auto"))
    recorded = tokens(events)
    shown = {
        trace_id: twin.ingested.traces[trace_id]["metadata"]["dify_exporter.trace.tokens.dify.total"]
        for trace_id in recorded
    }
    assert shown == recorded


def test_later_evidence_corrects_what_was_added_though_tracing_was_switched_off(
    dify: Dify, twin: LangfuseTwin
) -> None:
    dify.trace(*TRACED)
    events = dify.events(*TRACED)
    send_to_langfuse(twin.url, KEYS, events)
    assert delivered(dify.run(langfuse(twin, existing="auto"), vendor=False)[0])
    before = {trace_id: twin.scores.of_trace(trace_id) for trace_id in written(events)}
    assert {scores[VERDICT] for scores in before.values()} == {"unverified"}
    dify.off()
    report, days = dify.run(langfuse(twin, existing="auto"), later=120)
    assert delivered(report)
    assert twin.violations == []
    after = {trace_id: twin.scores.of_trace(trace_id)[VERDICT] for trace_id in written(events)}
    assert {"agree", "explained"} <= set(after.values())
    assert len(additions(twin)) == len({row["id"] for row in additions(twin)})
    assert {json.loads(row["output"])["verdict"] for row in additions(twin)} >= {"agree", "explained"}
    assert {trace_id.replace("-", "") for trace_id in written(events)}.isdisjoint(own(twin))
    assert {i: n for i, n in twin.tokens().items() if "-" in i} == tokens(events)
    assert sum(day.without_spans for day in days) == len(written(events))


def test_what_was_sent_before_tracing_was_switched_on_is_corrected_as_it_was_sent(
    dify: Dify, twin: LangfuseTwin
) -> None:
    assert delivered(dify.run(langfuse(twin, existing="auto"), vendor=False)[0])
    sent = own(twin)
    dify.trace(*TRACED)
    report, days = dify.run(langfuse(twin, existing="auto"), later=120)
    assert delivered(report)
    assert (own(twin), additions(twin)) == (sent, [])
    assert all("-" not in row["traceId"] for row in twin.scores.rows.values())
    assert sum(day.there for day in days) == len(sent)
    assert {row["value"] for row in twin.scores.rows.values() if row["name"] == VERDICT} >= {
        "agree",
        "explained",
    }


def test_what_ran_before_difys_tracing_was_set_up_is_sent(dify: Dify, twin: LangfuseTwin) -> None:
    name = "Support chat (gpt-4o-mini)"
    with psycopg.connect(dify.url) as connection:
        times = connection.execute(
            "SELECT m.created_at, m.id::text FROM messages m JOIN apps a ON a.id = m.app_id"
            " WHERE a.name = %s ORDER BY 1", (name,),
        ).fetchall()  # fmt: skip
    dify.trace(name, since=times[3][0] - timedelta(microseconds=1))
    dify.run(langfuse(twin, existing="auto"))
    before = {message_id.replace("-", "") for at, message_id in times if at < times[3][0]}
    after = {message_id.replace("-", "") for at, message_id in times if at >= times[3][0]}
    assert before <= own(twin)
    assert after.isdisjoint(own(twin))
    assert {row["traceId"].replace("-", "") for row in additions(twin)} == after


def test_tracing_that_was_set_up_just_now_wrote_nothing_of_the_past(dify: Dify, twin: LangfuseTwin) -> None:
    dify.trace(*TRACED, since=datetime.now(UTC).replace(tzinfo=None))
    report, _ = dify.run(langfuse(twin, existing="auto"))
    assert len(own(twin)) == report.exported


def test_tracing_into_another_project_changes_nothing(dify: Dify, twin: LangfuseTwin) -> None:
    dify.trace(*TRACED, config=langfuse_config("another-project"))
    destination = langfuse(twin, existing="auto")
    assert "goes to another project" in dify.check(destination).seen
    report, days = dify.run(destination)
    assert (len(own(twin)), additions(twin)) == (report.exported, [])
    assert sum(day.without_spans for day in days) == 0
    assert dify.problems(langfuse(twin)) == []


def test_a_trace_of_difys_that_comes_after_ours_keeps_what_was_added(dify: Dify, twin: LangfuseTwin) -> None:
    dify.trace(*TRACED)
    events = dify.events(*TRACED)
    dify.run(langfuse(twin, existing="auto"))
    send_to_langfuse(twin.url, KEYS, events)
    assert {i: n for i, n in twin.tokens().items() if "-" in i} == tokens(events)
    metadata = [twin.ingested.traces[trace_id]["metadata"] for trace_id in written(events)]
    assert all("dify_exporter.verdict" in item and len(item) > 6 for item in metadata)


def test_enriching_alone_sends_nothing_of_ours_but_single_steps_that_dify_does_not_trace(
    dify: Dify, twin: LangfuseTwin
) -> None:
    dify.trace(*TRACED)
    events = dify.events(*TRACED)
    report, days = dify.run(langfuse(twin, existing="enrich"))
    assert delivered(report)
    assert set(twin.ingested.traces) == written(events)
    with psycopg.connect(dify.url) as connection:
        steps = connection.execute(
            "SELECT replace(id::text, '-', '') FROM workflow_node_executions WHERE triggered_from = 'single-step'"
        ).fetchall()
    assert own(twin) == {step for (step,) in steps}
    assert sum(day.without_spans for day in days) == report.exported - len(steps)
    assert audit.exit_code(days) == 0
    line = dify.check(langfuse(twin, existing="enrich"))
    assert line.ok
    assert line.seen.endswith("traces of other apps are not sent")


def test_additions_that_langfuse_lost_are_sent_again(dify: Dify, twin: LangfuseTwin) -> None:
    dify.trace("Retry workflow")
    destination = langfuse(twin, existing="auto")
    with App(dify.settings(destination)) as app:
        app.take_evidence(at_once=True)
        app.poll(hurry=True)
        for courier in app.couriers:
            courier.step()
    before = {row["id"] for row in additions(twin)}
    for store in (twin.ingested.observations, twin.observations):
        for name in before:
            del store[name]
    assert delivered(dify.run(destination, later=60)[0])
    assert {row["id"] for row in additions(twin)} == before
    with psycopg.connect(dify.url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM workflow_node_executions n JOIN workflow_runs r ON r.id = n.workflow_run_id"
            " JOIN apps a ON a.id = r.app_id WHERE a.name = 'Retry workflow' AND n.node_type = 'llm'"
        ).fetchone() or (0,)  # fmt: skip
    assert len(before) == count > 0


def test_a_server_that_refuses_difys_tracing_gets_our_own_traces(dify: Dify) -> None:
    dify.trace(*TRACED)
    events = dify.events(*TRACED)
    with LangfuseTwin(mode="events_only") as refusing:
        errors = send_to_langfuse(refusing.url, KEYS, events)
        assert {error["status"] for error in errors} == {400}
        assert len(errors) == len(events)
        destination = langfuse(refusing, existing="auto")
        line = dify.check(destination)
        assert line.ok
        assert "write mode events_only and refuses" in line.seen
        report, _ = dify.run(destination)
        assert delivered(report)
        assert len(own(refusing)) == report.exported
        assert dify.problems(langfuse(refusing)) == []
        line = dify.check(langfuse(refusing, existing="enrich"))
        assert not line.ok


def test_enriching_on_such_a_server_ends_in_dead_letters_and_not_in_silence(dify: Dify) -> None:
    dify.trace(*TRACED)
    with LangfuseTwin(mode="events_only") as refusing:
        report, _ = dify.run(langfuse(refusing, existing="enrich"))
        assert report.dead["langfuse scores"] > 0
        assert refusing.ingested.traces == {}


def test_check_and_status_say_that_tokens_are_counted_twice_until_it_is_wanted(
    dify: Dify, twin: LangfuseTwin
) -> None:
    dify.trace(*TRACED, *("Loop workflow", "Webhook workflow"))
    plain = langfuse(twin)
    line = dify.check(plain)
    assert (line.ok, line.unreachable) == (False, False)
    assert line.seen == (
        "tokens are counted twice: Dify's own Langfuse tracing is on for 6 apps (Clock agent (function call), Helpdesk"
        " chatflow, Loop workflow, Retry workflow, Support chat (gpt-4o-mini) and 1 more)"
    )
    assert "existing: auto" in (line.hint or "")
    assert dify.problems(plain) == []  # nothing is known yet
    report, _ = dify.run(plain)
    assert len(own(twin)) == report.exported
    (sentence,) = dify.problems(plain)
    assert sentence.startswith(
        "Tokens are counted twice at destination langfuse: Dify's own Langfuse tracing is on for 6 apps"
    )
    assert dify.problems(langfuse(twin, existing="send")) == []
    assert dify.check(langfuse(twin, existing="send")).ok
    assert dify.problems(langfuse(twin, existing="auto")) == []
    dify.off()
    dify.run(plain, later=120)
    assert dify.problems(plain) == []
    assert dify.check(plain).ok


def test_a_dify_that_tells_nothing_is_exported_as_ever(dify: Dify, twin: LangfuseTwin) -> None:
    with psycopg.connect(dify.url) as connection:
        connection.execute("ALTER TABLE apps DROP COLUMN tracing")
    line = dify.check(langfuse(twin))
    assert line.ok
    assert line.seen == "cannot know whether Dify's own Langfuse tracing is on: this Dify has no apps.tracing"
    assert not dify.check(langfuse(twin, existing="auto")).ok
    report, _ = dify.run(langfuse(twin, existing="auto"))
    assert delivered(report)
    assert len(own(twin)) == report.exported


def test_the_whole_recorded_dify_with_half_of_its_apps_traced(
    shared: Path, tmp_path: Path, twin: LangfuseTwin
) -> None:
    lines = (shared / "dify" / "vendor-calls.jsonl").read_text("utf-8").splitlines()
    log = tmp_path / "vendor.jsonl"
    log.write_text("".join(json.dumps(canonical(json.loads(line))) + "\n" for line in lines), "utf-8")
    with dify_database() as url:
        restore(url, shared / "dify" / "dify-1.12.1.sql.gz")
        dify = Dify(url.replace("/postgres?", "/dify?"), log, tmp_path)
        names = sorted(dify.apps())[::2]
        dify.trace(*names)
        events = dify.events(*names)
        assert send_to_langfuse(twin.url, KEYS, events) == []
        report, days = dify.run(langfuse(twin, existing="auto"))
    assert delivered(report)
    assert twin.violations == []
    assert {i: n for i, n in twin.tokens().items() if "-" in i} == tokens(events)
    assert sum(tokens(events).values()) > 10_000
    assert {trace_id.replace("-", "") for trace_id in written(events)}.isdisjoint(own(twin))
    left = sum(day.without_spans for day in days)
    assert left > 50
    assert len(own(twin)) == report.exported - left == sum(day.there for day in days)
    assert set(twin.ingested.traces) == written(events)
    assert audit.exit_code(days) == 0


# ── LangSmith ───────────────────────────────────────────────────────────────────────────────────────────────


def smith_writes(twin: LangSmithTwin, dify: Dify, *names: str) -> list[dict[str, Any]]:
    found = [run for name in names for run in langsmith_runs(dify.url, dify.apps()[name], "dify")]
    with twin.lock:
        twin.runs.update((run["id"], run) for run in found)
    return found


def test_runs_that_dify_wrote_get_feedback_and_no_run_of_ours(dify: Dify) -> None:
    dify.trace(*TRACED, config=langsmith_config())
    with LangSmithTwin() as twin:
        runs = smith_writes(twin, dify, *TRACED)
        report, days = dify.run(langsmith(twin, existing="auto"))
        assert delivered(report)
        assert twin.violations == []
        roots = {run["id"] for run in runs if run["parent_run_id"] is None}
        assert len(roots) == 23
        for root in roots:
            feedback = [row for row in twin.feedback.rows.values() if row["run_id"] == root]
            assert VERDICT in {row["key"] for row in feedback}
            assert {row["extend_trace_retention"] for row in feedback} == {False}
        assert sum(day.without_spans for day in days) == len(roots)
        assert sum(day.there for day in days) == report.exported - len(roots)
        assert audit.exit_code(days) == 0
        assert not {run["id"] for run in runs} & set(twin.patches)  # nothing of Dify's was touched


def test_later_evidence_corrects_the_feedback_on_difys_runs(dify: Dify) -> None:
    dify.trace(*TRACED, config=langsmith_config())
    with LangSmithTwin() as twin:
        runs = smith_writes(twin, dify, *TRACED)
        dify.run(langsmith(twin, existing="auto"), vendor=False)
        dify.off()
        assert delivered(dify.run(langsmith(twin, existing="auto"), later=120)[0])
        roots = {run["id"] for run in runs if run["parent_run_id"] is None}
        verdicts = {
            row["value"]
            for row in twin.feedback.rows.values()
            if row["key"] == VERDICT and row["run_id"] in roots
        }
        assert {"agree", "explained"} <= verdicts
        assert len({(row["run_id"], row["key"]) for row in twin.feedback.rows.values()}) == len(
            twin.feedback.rows
        )
        assert not roots & set(twin.patches)


def test_dify_tracing_to_another_langsmith_project_is_sent_as_ever(dify: Dify) -> None:
    dify.trace(*TRACED, config=langsmith_config("theirs"))
    with LangSmithTwin() as twin:
        assert dify.check(langsmith(twin)).ok
        report, days = dify.run(langsmith(twin, existing="auto"))
        assert delivered(report)
        assert sum(day.there for day in days) == report.exported


def test_feedback_waits_for_a_run_that_dify_sends_late(dify: Dify) -> None:
    dify.trace(*TRACED, config=langsmith_config())
    with LangSmithTwin() as twin:
        destination = langsmith(twin, existing="auto")
        smith_writes(twin, dify, *TRACED)
        late = min(run["id"] for run in twin.runs.values() if run["parent_run_id"] is None)
        held = twin.runs.pop(late)
        with App(dify.settings(destination)) as app:
            app.take_evidence(at_once=True)
            app.poll(hurry=True)
            for courier in app.couriers:
                courier.step()
        assert twin.feedback.not_found == 1
        twin.runs[late] = held
        assert delivered(dify.run(destination, later=60)[0])
        assert VERDICT in twin.feedback.of_run(late)
