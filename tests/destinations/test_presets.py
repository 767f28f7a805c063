"""Every platform of Dify's monitoring page, played by a twin that keeps its rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations.base import Answer, Confirmation, Outcome, Unit
from exporter.destinations.holdings import Exported, Tells
from exporter.destinations.otlp import Otlp
from exporter.destinations.presets import PRESETS
from exporter.model import AssessedTrace, chosen
from exporter.spans import otlp
from tests.contract.otlp_twin import KEY, RULES, OtlpTwin
from tests.contract.twin_server import attributes
from tests.destinations.destination_units import RESOURCE, unit
from tests.spans import assessed_traces as traces

SETTINGS: dict[str, dict[str, Any]] = {
    "opik": {"api_key": KEY, "workspace": "acme", "project": "dify"},
    "mlflow": {"experiment": "7"},
    "databricks": {"api_key": KEY, "table": "main.llm.dify_otel_spans"},
    "weave": {"api_key": KEY, "entity": "acme", "project": "dify"},
    "arize": {"api_key": KEY, "space_id": "space-1", "project": "dify"},
    "phoenix": {"api_key": KEY, "project": "dify"},
    "aliyun-arms": {"api_key": KEY},
    "aliyun-cloudmonitor": {"api_key": KEY},
    "tencent-apm": {"api_key": KEY},
}
CLOUDS = {
    "opik": "https://www.comet.com/opik/api/v1/private/otel/v1/traces",
    "weave": "https://trace.wandb.ai/otel/v1/traces",
    "arize": "https://otlp.arize.com/v1/traces",
    "aliyun-arms": f"http://tracing-analysis-dc-cn-hangzhou.aliyuncs.com/adapt_{KEY}/api/otlp/traces",
}
TRACES = [
    traces.chatflow(1000),
    traces.chatflow(2000),
    traces.one_call(3000, vendor=None),
    traces.one_call(4000, vendor=None, dify=None),
    traces.one_call(5000, vendor=None, dify=None, local=None, findings=()),
    traces.one_call(6000, vendor=traces.vendor(tokens=traces.Tokens(900, 70, 300, 200, 40))),
]


def destination(kind: str, endpoint: str, **changes: Any) -> Otlp:
    known = {"kind": kind, "endpoint": endpoint, "timeout": "5s", **SETTINGS[kind], **changes}
    return Otlp(DestinationSettings(**known), ContentSettings(), RESOURCE)


def units(to: Otlp, of: list[AssessedTrace] = TRACES) -> list[Unit]:
    return [unit(to, assessed, number) for number, assessed in enumerate(of, 1)]


def chosen_tokens(of: list[AssessedTrace] = TRACES) -> tuple[int, int]:
    """The counts of the chosen readings, added up without any span."""
    found = [choice[1] for trace in of for item in trace.assessments if (choice := chosen(item)) is not None]
    return sum(tokens.input or 0 for tokens in found), sum(tokens.output or 0 for tokens in found)


def refused(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        DestinationSettings(**settings)
    return str(caught.value)


def test_every_preset_is_tested_here() -> None:
    assert set(PRESETS) - {"otlp"} == set(RULES) == set(SETTINGS)


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_platform_holds_whole_trees_and_sums_the_chosen_readings(kind: str) -> None:
    with OtlpTwin(kind) as twin:
        to = destination(kind, twin.url)
        for item in units(to):
            assert to.send([item]).outcome is Outcome.ACCEPTED
        assert twin.violations == []
        assert len(twin.spans) == sum(len(trace.trace.steps) for trace in TRACES)
        parents = {
            (trace_id, span_id): span.parent_span_id.hex() or None
            for (trace_id, span_id), span in twin.spans.items()
        }
        assert parents == {
            (trace.trace.trace_id, step.span_id): step.parent_id
            for trace in TRACES
            for step in trace.trace.steps
        }
        assert twin.tokens() == chosen_tokens()


@pytest.mark.parametrize("kind", SETTINGS)
def test_check_is_content_with_the_right_settings_and_leaves_nothing_behind(kind: str) -> None:
    with OtlpTwin(kind) as twin:
        (line,) = destination(kind, twin.url).check()
        assert line.ok, line.seen
        assert twin.spans == {}
        assert twin.violations == []


@pytest.mark.parametrize("kind", [kind for kind in SETTINGS if "api_key" in SETTINGS[kind]])
def test_a_wrong_key_holds_the_traces_and_is_never_shown(kind: str) -> None:
    with OtlpTwin(kind) as twin:
        to = destination(kind, twin.url, api_key="key-wrong")
        answer = to.send(units(to))
        assert answer.outcome is Outcome.HOLD
        assert "key-wrong" not in answer.reason
        assert twin.spans == {}


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_address_that_was_pasted_whole_works_as_well(kind: str) -> None:
    with OtlpTwin(kind) as twin:
        path = RULES[kind].path
        ends = ["", "/"] if KEY in path else ["", "/", path, path.removesuffix("/v1/traces")]
        for end in ends:
            to = destination(kind, twin.url + end)
            assert to.check()[0].ok, end


@pytest.mark.parametrize("kind", CLOUDS)
def test_without_an_endpoint_spans_go_to_the_platforms_cloud(kind: str) -> None:
    region = {"region": "cn-hangzhou"} if kind == "aliyun-arms" else {}
    assert destination(kind, "", **region)._url == CLOUDS[kind]


def test_mlflow_gets_requests_that_it_can_write_in_time_unless_the_operator_says_otherwise() -> None:
    assert destination("mlflow", "http://127.0.0.1:1").limits.max_spans == 100
    assert destination("mlflow", "http://127.0.0.1:1", max_spans=500).limits.max_spans == 500
    assert destination("mlflow", "http://127.0.0.1:1", max_spans=7).limits.max_spans == 7
    assert destination("phoenix", "http://127.0.0.1:1").limits.max_spans == 500


def test_the_operators_headers_win_and_are_sent_besides() -> None:
    with OtlpTwin("phoenix") as twin:
        to = destination("phoenix", twin.url, api_key="other", headers={"authorization": f"Bearer {KEY}"})
        assert to.check()[0].ok


# ── what a platform does with a span that comes twice ───────────────────────────────────────────────────────


def test_a_later_revision_goes_only_where_a_span_cannot_be_there_twice() -> None:
    takers = {kind for kind in SETTINGS if destination(kind, "http://127.0.0.1:1", region="x").corrects}
    assert takers == {"mlflow", "phoenix"}


def test_phoenix_adds_the_spans_of_a_later_revision_and_changes_none() -> None:
    with OtlpTwin("phoenix") as twin:
        to = destination("phoenix", twin.url)
        early, late = unit(to, traces.one_call(1, vendor=None)), unit(to, traces.one_call(1), revision=2)
        root, _ = otlp.split(early.spans)
        to.send([replace(early, spans=otlp.frame([root]), span_count=1)])
        to.send([late])
        assert twin.tokens() == (240, 42)
        to.send([early])
        assert twin.tokens() == (240, 42)
        assert len(twin.spans) == 2


def test_mlflow_takes_a_correction_and_sums_it_anew() -> None:
    with OtlpTwin("mlflow") as twin:
        to = destination("mlflow", twin.url)
        early, late = traces.one_call(1, vendor=None), traces.one_call(1)
        assert to.send([unit(to, early)]).outcome is Outcome.ACCEPTED
        assert twin.tokens() == (120, 30)
        assert to.send([unit(to, late, revision=2)]).outcome is Outcome.ACCEPTED
        assert twin.tokens() == (240, 42)
        assert twin.violations == []


def test_what_phoenix_acknowledged_and_lost_is_found_and_may_be_sent_again() -> None:
    with OtlpTwin("phoenix") as twin:
        to = destination("phoenix", twin.url)
        sent = units(to)
        assert to.missing(sent) == {item.seq for item in sent}, "the project is not there yet"
        twin.faults.lose_spans = 14  # the first trace, and two spans of the second
        assert to.send(sent).outcome is Outcome.ACCEPTED
        assert to.missing(sent) == {1, 2}
        assert to.send(sent[:2]).outcome is Outcome.ACCEPTED
        assert to.missing(sent) == set()
        assert twin.tokens() == chosen_tokens()
        assert twin.violations == []


def test_the_audit_may_ask_phoenix_span_by_span_and_no_platform_that_cannot_tell() -> None:
    known = [
        Exported(
            trace.trace.trace_id,
            trace.trace.ref,
            trace.trace.started_at,
            trace.trace.ended_at,
            1,
            tuple((step.span_id, step.started_at) for step in trace.trace.steps),
            trace.trace.app,
        )
        for trace in TRACES
    ]
    with OtlpTwin("phoenix") as twin:
        to = destination("phoenix", twin.url)
        assert isinstance(to, Tells)
        assert {held.absent for held in to.holdings().held(known, frozenset()).values()} == {12, 2}
        twin.faults.lose_spans = 14
        to.send(units(to))
        twin.faults.no_reads = 1  # it is asked again after the pause that it names
        found = to.holdings().held(known, frozenset())
        assert [found[trace.trace_id].absent for trace in known] == [12, 2, 0, 0, 0, 0]
        assert {held.extra for held in found.values()} == {0}
    for kind in set(SETTINGS) - {"phoenix"}:
        assert not isinstance(destination(kind, "http://127.0.0.1:1"), Tells)


def test_a_phoenix_that_cannot_be_asked_is_not_believed_to_have_lost_anything() -> None:
    with OtlpTwin("phoenix") as twin:
        to = destination("phoenix", twin.url)
        sent = units(to)
        to.send(sent)
        twin.faults.no_reads = 1
        assert to.missing(sent) is None
    assert to.missing(sent) is None


def test_the_answer_is_believed_only_where_it_comes_after_the_writing() -> None:
    rules = {kind: destination(kind, "http://127.0.0.1:1").confirmation for kind in SETTINGS}
    assert rules.pop("mlflow") is Confirmation.AT_ONCE
    assert rules.pop("phoenix") is Confirmation.READ_BACK
    assert set(rules.values()) == {Confirmation.AGE}


def test_pages_have_links_where_the_address_tells_them() -> None:
    trace_id = "ab" * 16
    assert destination("phoenix", "http://phoenix:6006/v1/traces").link(trace_id) == (
        f"http://phoenix:6006/redirects/traces/{trace_id}"
    )
    assert destination("mlflow", "http://mlflow:5000").link(trace_id) == (
        f"http://mlflow:5000/#/experiments/7/traces?selectedEvaluationId=tr-{trace_id}"
    )
    assert destination("arize", "").link(trace_id) is None


# ── what each platform reads ────────────────────────────────────────────────────────────────────────────────


def held(kind: str) -> dict[str, dict[str, Any]]:
    """Attributes by step kind of one chatflow, as the platform gets them."""
    with OtlpTwin(kind) as twin:
        to = destination(kind, twin.url)
        assert to.send(units(to, TRACES[:1])).outcome is Outcome.ACCEPTED
        by_id = {span_id: attributes(span) for (_, span_id), span in twin.spans.items()}
    found: dict[str, dict[str, Any]] = {}
    for step in TRACES[0].trace.steps:
        found.setdefault(str(step.kind), by_id[step.span_id])
    return found


def test_opik_gets_everything_of_ours_as_metadata_and_the_vendors_cost() -> None:
    found = held("opik")
    root, leaf = found["message"], found["model"]
    assert root["opik.metadata.dify_exporter.verdict"] == "explained"
    assert root["opik.metadata.dify_exporter.findings"] == '["retry_billed"]'
    assert root["opik.tags"] == '["Support bot","advanced-chat","verdict:explained"]'
    assert leaf["thread_id"] == traces.uuid(900)
    assert leaf["gen_ai.usage.cost"] == 0.0000612
    assert leaf["gen_ai.system"] == "openai"
    assert "opik.tags" not in leaf


def test_mlflow_gets_the_cost_of_the_chosen_reading_and_the_verdict_as_a_tag() -> None:
    found = held("mlflow")
    assert found["model"]["mlflow.llm.cost"] == '{"total_cost":0.0000612}'
    assert found["message"]["mlflow.traceTag.verdict"] == "explained"
    assert found["retrieval"]["openinference.span.kind"] == "RETRIEVER"


def test_weave_gets_each_count_under_one_name_only() -> None:
    found = held("weave")
    assert not [name for name in found["model"] if name.startswith("gen_ai.usage.")]
    assert found["model"]["llm.token_count.prompt"] == 240
    assert found["model"]["wandb.thread_id"] == traces.uuid(900)
    assert found["message"]["wandb.is_turn"] is True
    assert "wandb.is_turn" not in found["model"]
    assert not [name for name in found["model"] if "_messages." in name]


@pytest.mark.parametrize("kind", ["aliyun-arms", "aliyun-cloudmonitor"])
def test_alibaba_gets_its_own_names_besides(kind: str) -> None:
    found = held(kind)
    leaf = found["model"]
    assert leaf["gen_ai.span.kind"] == "LLM"
    assert leaf["gen_ai.session.id"] == traces.uuid(900)
    assert leaf["gen_ai.user.id"] == "user-17"
    assert leaf["gen_ai.framework"] == "dify"
    assert leaf["input.value"] == leaf["gen_ai.input.messages"]
    assert leaf["gen_ai.usage.total_tokens"] == 282
    assert "gen_ai.usage.total_tokens" not in found["message"]


def test_tencent_gets_entry_spans_and_its_own_kinds() -> None:
    found = held("tencent-apm")
    assert found["message"]["gen_ai.is_entry"] == "true"
    assert "gen_ai.is_entry" not in found["model"]
    kinds = {kind: item["gen_ai.span.kind"] for kind, item in found.items()}
    assert kinds["message"] == "WORKFLOW"
    assert kinds["model"] == "GENERATION"
    assert kinds["tool"] == "TOOL"
    assert kinds["node"] == "TASK"
    assert found["message"]["gen_ai.entity.input"] == "Why was I billed twice?"
    assert found["model"]["gen_ai.completion"] == found["model"]["gen_ai.output.messages"]


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("mlflow", ["endpoint", "experiment", "not its name"]),
        ("databricks", ["endpoint", "api_key", "table"]),
        ("weave", ["api_key", "entity"]),
        ("arize", ["api_key", "space_id"]),
        ("phoenix", ["endpoint"]),
        ("aliyun-arms", ["api_key", "adapt_"]),
        ("aliyun-cloudmonitor", ["endpoint", "api_key"]),
        ("tencent-apm", ["endpoint", "api_key", "Collector", "access point"]),
    ],
)
def test_what_is_missing_is_said_with_where_to_find_it(kind: str, words: list[str]) -> None:
    said = refused(kind=kind)
    assert [word for word in words if word not in said] == []


def test_opik_needs_a_key_for_the_cloud_or_an_address_of_its_own() -> None:
    assert "api_key" in refused(kind="opik")
    assert DestinationSettings(kind="opik", endpoint="http://opik:5173").name == "opik"


def test_alibaba_needs_a_region_or_an_address() -> None:
    assert "region" in refused(kind="aliyun-arms", api_key=KEY)


def test_a_license_key_in_the_address_is_refused_without_being_shown() -> None:
    said = refused(
        kind="aliyun-cloudmonitor", api_key=KEY, endpoint="https://x.log.aliyuncs.com/a/adapt_s3cret"
    )
    assert "api_key" in said
    assert "s3cret" not in said


def test_a_plain_collector_may_listen_on_any_port() -> None:
    assert DestinationSettings(kind="otlp", endpoint="http://collector:4317").endpoint


def test_an_unknown_experiment_is_said_to_be_an_address_that_does_not_exist() -> None:
    with OtlpTwin("mlflow") as twin:
        to = destination("mlflow", twin.url, experiment="8")
        answer: Answer = to.send(units(to))
        assert answer.outcome is Outcome.HOLD
