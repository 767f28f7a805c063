"""A project for each app, mode, workspace or instance: what is sent, corrected, scored, read back and audited follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exporter import audit
from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations.base import Outcome
from exporter.destinations.otlp import Otlp
from exporter.destinations.projects import Project
from exporter.model import App, AssessedTrace
from exporter.spans import otlp
from exporter.state.store import Store
from tests.contract.langsmith_twin import API_KEY, LangSmithTwin, project_id
from tests.contract.otlp_twin import OtlpTwin
from tests.contract.twin_server import Refused, Request, Response
from tests.destinations.destination_units import RESOURCE, langsmith, unit
from tests.destinations.scores_bench import HOUR, bench
from tests.destinations.test_presets import SETTINGS
from tests.spans import assessed_traces as traces
from tests.web.traces_by_hand import NOON, build_trace, keep

BILLING, SUPPORT = build_trace(1, app="Billing / FAQ"), build_trace(2, app="客服")
NAMES = {BILLING.trace.trace_id: "dify-Billing - FAQ", SUPPORT.trace.trace_id: "dify-客服"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


def audited(store: Store, destination: Any) -> audit.Day:
    question = audit.Question(0, NOON + 10**12, NOON + 10**12, 50, repair=False)
    (day,) = audit.audit(store, [destination], question)
    return day


def routed(kind: str, endpoint: str, project: str = "dify-{app}", **changes: Any) -> Otlp:
    known = {
        "kind": kind,
        "endpoint": endpoint,
        "timeout": "5s",
        **SETTINGS[kind],
        "project": project,
        **changes,
    }
    return Otlp(DestinationSettings(**known), ContentSettings(), RESOURCE)


def of_app(assessed: AssessedTrace, **changes: str) -> AssessedTrace:
    return replace(assessed, trace=replace(assessed.trace, app=replace(assessed.trace.app, **changes)))


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_template_is_filled_with_what_is_known_of_the_app() -> None:
    app = App("a1b2", " Support? ", "advanced-chat", "t1", "Team #1")
    told = Project("{instance}:{workspace}/{app}.{mode}.{app_id}", "prod").of(app)
    assert told == "prod:Team -1/Support-.advanced-chat.a1b2"
    assert Project("{workspace}", "").of(App("a", "A", "chat", "t1")) == "t1"
    assert Project("{app}", "").of(App("a1b2", " ", "chat", "t1")) == "a1b2"


def test_a_name_without_places_or_with_the_instance_alone_is_the_same_for_all_traces() -> None:
    assert Project("dify", "prod").fixed == "dify"
    assert Project("dify-{instance}", "prod").fixed == "dify-prod"
    assert Project("dify-{app_id}", "prod").fixed is None


@pytest.mark.parametrize(
    "project", ["dify-{user}", "{", "{app", "app}", "{{app}}", "{app.name}", "{app!r}", "{0}", "{}"]
)
def test_what_cannot_stand_in_a_name_is_a_settings_error(project: str) -> None:
    with pytest.raises(ValidationError, match=r"project: .* means nothing; \{app\}, \{app_id\}"):
        DestinationSettings(kind="langsmith", api_key="k", project=project)


@pytest.mark.parametrize("kind", ["opik", "mlflow", "databricks", "otlp", "langfuse"])
def test_a_platform_that_learns_its_project_from_the_request_cannot_have_one_for_each_app(kind: str) -> None:
    keys = {"public_key": "pk", "secret_key": "sk"}
    known = {"kind": kind, "endpoint": "http://a", **keys, **SETTINGS.get(kind, {}), "project": "x {mode}"}
    with pytest.raises(ValidationError, match=rf"\{{mode\}} cannot be used with {kind}"):
        DestinationSettings(**known)


def test_the_instance_may_stand_in_a_name_that_travels_in_a_header() -> None:
    assert routed("opik", "http://a", "of {instance}")._http._headers["projectName"] == "of dify"


# ── LangSmith ───────────────────────────────────────────────────────────────────────────────────────────────


def held(twin: LangSmithTwin) -> dict[str, set[str]]:
    """The projects by the name of the trace's app."""
    found: dict[str, set[str]] = {}
    for run in twin.runs.values():
        found.setdefault(run["metadata"]["dify_exporter.app.name"], set()).add(run["session_name"])
    return found


def test_every_run_is_in_the_project_of_its_app_and_found_there(store: Store) -> None:
    keep(store, BILLING, SUPPORT)
    with LangSmithTwin() as twin:
        to = langsmith(twin, project="dify-{app}")
        units = [unit(to, BILLING, 1), unit(to, SUPPORT, 2)]
        assert to.missing(units) == {1, 2}
        assert [to.send([item]).outcome for item in units] == [Outcome.ACCEPTED] * 2
        assert held(twin) == {
            "Billing / FAQ": {"dify-Billing - FAQ"},
            "客服": {"dify-客服"},
        }
        assert to.missing(units) == set()
        assert [line.ok for line in to.check()] == [True, True]
        assert "dify-{app}" in to.check()[1].seen
        day = audited(store, to)
        assert (day.exported, day.there, day.is_clean, day.reason) == (2, 2, True, None)
        lost = next(run_id for run_id, run in twin.runs.items() if run["session_name"] == "dify-客服")
        del twin.runs[lost]
        assert to.missing(units) == {2}
        assert [trace_id for trace_id, _, _ in audited(store, to).missing] == [SUPPORT.trace.trace_id]
        assert twin.violations == []


def test_one_project_for_an_instance_is_named_by_the_request() -> None:
    with LangSmithTwin() as twin:
        to = langsmith(twin, project="{instance}-traces")
        item = unit(to, BILLING)
        assert to.send([item]).outcome is Outcome.ACCEPTED
        assert held(twin) == {"Billing / FAQ": {"dify-traces"}}
        assert b"session_name" not in item.spans
        assert to.missing([item]) == set()


def test_a_correction_reaches_the_runs_of_an_app_that_was_renamed_meanwhile() -> None:
    with LangSmithTwin() as twin:
        to = langsmith(twin, project="{app}")
        early, late = traces.one_call(vendor=None, findings=()), of_app(traces.one_call(), name="New name")
        old = early.trace.app.name
        assert to.send([unit(to, early, revision=1)]).outcome is Outcome.ACCEPTED
        corrected = unit(to, late, revision=2)
        assert to.send([corrected]).outcome is Outcome.ACCEPTED
        assert to.missing([corrected]) == set()
        assert {run["session_name"] for run in twin.runs.values()} == {old}
        assert set(twin.patches.values()) == {1}
        assert set(twin.arrivals.values()) == {1}
        assert twin.violations == []


def test_an_app_that_was_renamed_is_still_found_by_the_audit(store: Store) -> None:
    with LangSmithTwin() as twin:
        to = langsmith(twin, project="{app}")
        to.send([unit(to, BILLING)])
        keep(store, of_app(BILLING, name="New name"))
        day = audited(store, to)
        assert (day.there, day.is_clean) == (1, True)


def test_scores_are_posted_to_the_project_of_their_trace(tmp_path: Path) -> None:
    known = {"kind": "langsmith", "api_key": API_KEY, "project": "dify-{app}"}
    made = [of_app(traces.one_call(10 * number + 1), name=f"App {number % 2}") for number in range(6)]
    with LangSmithTwin() as twin, bench(twin, tmp_path, **known) as at:
        at.queue(made)
        at.deliver(traces.START + HOUR)
        rows = list(twin.feedback.rows.values())
        sessions = {run["id"]: project_id(run["session_name"]) for run in twin.runs.values()}
        assert Counter(row["session_id"] for row in rows) == {
            project_id("dify-App 0"): 15,
            project_id("dify-App 1"): 15,
        }
        assert all(row["session_id"] == sessions[row["run_id"]] for row in rows)
        assert all("project" not in row and "absent" not in row for row in rows)
        assert twin.violations == []


# ── platforms that read the project from resource attributes ────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["phoenix", "arize", "weave"])
def test_one_request_may_hold_traces_of_several_projects(kind: str) -> None:
    with OtlpTwin(kind, any_project=True) as twin:
        to = routed(kind, twin.url)
        assert to.check()[0].ok
        assert to.send([unit(to, BILLING, 1), unit(to, SUPPORT, 2)]).outcome is Outcome.ACCEPTED
        assert twin.requests == 2
        assert {trace_id: twin.projects[trace_id, span_id] for trace_id, span_id in twin.spans} == NAMES
        assert twin.violations == []


def test_phoenix_keeps_a_trace_in_the_project_of_its_first_span_and_it_is_found_there(store: Store) -> None:
    renamed = of_app(BILLING, name="New name")
    keep(store, renamed)
    with OtlpTwin("phoenix", any_project=True) as twin:
        to = routed("phoenix", twin.url)
        first, *_ = otlp.split(unit(to, BILLING).spans)
        early = replace(unit(to, BILLING), spans=otlp.frame([first]), span_count=1)
        late = unit(to, renamed, revision=2)
        assert to.send([early]).outcome is Outcome.ACCEPTED
        assert to.missing([late]) == {1}
        assert to.send([late]).outcome is Outcome.ACCEPTED
        assert set(twin.projects.values()) == {"dify-Billing - FAQ"}
        assert to.missing([late]) == set()
        assert audited(store, to).is_clean


def test_a_phoenix_that_does_not_tell_where_a_trace_is_counts_it_as_lost() -> None:
    class Closed(OtlpTwin):
        def _graphql(self, request: Request) -> Response:
            raise Refused(403, "no")

    with Closed("phoenix", any_project=True) as twin:
        to = routed("phoenix", twin.url)
        sent = [unit(to, BILLING, 1), unit(to, SUPPORT, 2)]
        to.send(sent[1:])
        assert to.missing(sent) == {1}


def test_weave_gets_no_header_that_names_one_project_for_all() -> None:
    assert routed("weave", "http://a", "dify")._http._headers["project_id"] == "acme/dify"
    assert "project_id" not in routed("weave", "http://a")._http._headers


def test_a_part_of_a_trace_goes_where_the_trace_goes() -> None:
    with OtlpTwin("phoenix", any_project=True) as twin:
        to = routed("phoenix", twin.url)
        whole = unit(to, SUPPORT)
        for number, span in enumerate(otlp.split(whole.spans)):
            part = replace(whole, seq=number, spans=otlp.frame([span]), span_count=1)
            assert to.send([part]).outcome is Outcome.ACCEPTED
        assert set(twin.projects.values()) == {"dify-客服"}


def test_phoenix_is_asked_in_the_project_of_each_trace(store: Store) -> None:
    keep(store, BILLING, SUPPORT)
    with OtlpTwin("phoenix", any_project=True) as twin:
        to = routed("phoenix", twin.url)
        units = [unit(to, BILLING, 1), unit(to, SUPPORT, 2)]
        assert to.missing(units) == {1, 2}
        twin.faults.lose_spans = 1
        to.send(units)
        assert to.missing(units) == {1}
        assert [missing for missing, _, _ in audited(store, to).missing] == [BILLING.trace.trace_id]
        to.send(units[:1])
        assert to.missing(units) == set()
        assert audited(store, to).is_clean
