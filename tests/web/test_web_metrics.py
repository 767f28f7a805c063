from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.samples import Sample

from exporter import __version__
from exporter.config import WebSettings
from exporter.model import Confidence, Finding, RecordKind, RecordRef, Verdict
from exporter.state import assignments, evidence, health, outbox, records
from exporter.state.assignments import Assignment
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from exporter.vendor.record import VendorCall
from exporter.web.metrics_catalog import FAMILIES
from exporter.web.readiness import Readiness
from tests.web.conftest import Serve, Site
from tests.web.traces_by_hand import NOON, SECOND, SECRET, build_trace, keep, usd

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
OF_THE_MOMENT = {
    "dify_exporter_scrape_duration_seconds", "dify_exporter_state_bytes", "dify_exporter_state_disk_free_bytes",
}  # fmt: skip
RETRY = Finding("retry_billed", 12, 0, Confidence.CERTAIN, "two requests", "fewer retries")
WEIGHTED = Finding("price_weighted", -30, -1, Confidence.LIKELY, "a weighted number", "believe the vendor")


def samples(site: Site, accept: str = "text/plain", reader: ModuleType = parser) -> list[Sample]:
    answer = site.get("/metrics", Accept=accept)
    assert answer.status_code == 200, answer.text
    return [
        sample for family in reader.text_string_to_metric_families(answer.text) for sample in family.samples
    ]


def values(found: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    """Label values (in order of label names) → value."""
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for sample in found
        if sample.name == name
    }


def nonzero(found: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    """The same, without the series that only wait for their first value."""
    return {key: value for key, value in values(found, name).items() if value}


def test_counters_equal_the_sums_over_the_calls(store: Store, serve: Serve) -> None:
    traces = [
        build_trace(
            1, calls=[{"dify": (100, 20), "local": (101, 20), "vendor": (112, 20), "findings": (RETRY,)}]
        ),
        build_trace(
            2, calls=[{"dify": (7, 3), "vendor": None, "verdict": Verdict.UNVERIFIED}, {"local": None}]
        ),
        build_trace(
            3,
            app="KB chat",
            calls=[{"model": "qwen-plus", "provider": "tongyi", "dify": (5, 5), "vendor": (5, 5)}],
        ),
    ]
    keep(store, *traces)
    expected: dict[str, dict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))
    for trace in traces:
        for item in trace.assessments:
            names = (trace.trace.app.name, item.call.model or "", item.call.provider or "")
            for name, reading in (("recorded", item.dify), ("local", item.local), ("vendor", item.vendor)):
                if reading is not None:
                    for direction in ("input", "output"):
                        amount = getattr(reading.tokens, direction)
                        expected[f"dify_{name}_tokens_total"][(names[0], direction, *names[1:])] += amount
    found = samples(serve())
    for name in ("dify_recorded_tokens_total", "dify_local_tokens_total", "dify_vendor_tokens_total"):
        assert nonzero(found, name) == expected[name], name


def test_openmetrics_is_given_when_asked_for_and_says_the_same(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1), build_trace(2, app="KB chat"))
    site = serve(destinations=("langfuse",))
    answer = site.get("/metrics", Accept=OPENMETRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert site.get("/metrics").headers["Content-Type"].startswith("text/plain; version=0.0.4")
    as_text, as_openmetrics = samples(site), samples(site, OPENMETRICS, openmetrics_parser)
    ours = {sample.name for sample in as_text if sample.name.startswith("dify_")} - OF_THE_MOMENT
    assert len(ours) > 30
    for name in ours:
        assert values(as_openmetrics, name) == values(as_text, name), name


def test_findings_count_by_direction_and_cause_on_the_side_that_counted_more(
    store: Store, serve: Serve
) -> None:
    keep(store, build_trace(1, calls=[{"findings": (RETRY,)}, {"findings": (WEIGHTED, RETRY)}]))
    found = samples(serve())
    names = ("gpt-4o-mini", "openai")
    assert nonzero(found, "dify_unrecorded_tokens_total") == {
        ("Support chat", "retry_billed", "input", *names): 24
    }
    assert nonzero(found, "dify_overrecorded_tokens_total") == {
        ("Support chat", "price_weighted", "input", *names): 30,
        ("Support chat", "price_weighted", "output", *names): 1,
    }


def test_money_is_kept_apart_by_currency(store: Store, serve: Serve) -> None:
    costs = [{"cost": usd("0.5"), "vendor_cost": usd("0.75")}, {"cost": usd("0.25")}]
    keep(store, build_trace(1, calls=costs))
    found = samples(serve())
    assert values(found, "dify_recorded_cost_total") == {
        ("Support chat", "USD", "gpt-4o-mini", "openai"): 0.75
    }
    assert values(found, "dify_vendor_cost_total") == {("Support chat", "USD", "gpt-4o-mini", "openai"): 0.75}


def test_calls_count_by_verdict(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, calls=[{}, {}, {"verdict": Verdict.UNEXPLAINED}]))
    assert nonzero(samples(serve()), "dify_calls_total") == {
        ("Support chat", "gpt-4o-mini", "openai", "agree"): 2,
        ("Support chat", "gpt-4o-mini", "openai", "unexplained"): 1,
    }


def test_a_relayed_number_is_not_a_vendor_number(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, calls=[{"independent": False}]))
    found = samples(serve())
    assert nonzero(found, "dify_vendor_tokens_total") == {}
    assert sum(values(found, "dify_recorded_tokens_total").values()) == 19


def test_a_waiting_trace_is_not_counted_and_a_repeated_one_counts_once(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1), exported=False)
    site = serve()
    assert values(samples(site), "dify_recorded_tokens_total") == {}
    keep(store, build_trace(1))
    keep(store, build_trace(1))
    assert sum(values(samples(site), "dify_recorded_tokens_total").values()) == 19


def test_a_restart_changes_no_counter(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1), build_trace(2, calls=[{"findings": (RETRY,)}]))
    before = [
        sample
        for sample in samples(serve())
        if sample.name.startswith("dify_") and sample.name.endswith("_total")
    ]
    again = Store(store.path)
    after = [sample for sample in samples(serve(over=again)) if sample.name.startswith("dify_")]
    again.close()
    assert before
    for sample in before:
        assert sample in after


def grown(store: Store, tokens_by_app: dict[str, int], first_number: int) -> None:
    for number, (app, tokens) in enumerate(tokens_by_app.items(), start=first_number):
        keep(store, build_trace(number, app=app, calls=[{"dify": (tokens, 0), "model": f"model of {app}"}]))


def test_apps_and_models_beyond_the_largest_are_folded_into_other(store: Store, serve: Serve) -> None:
    grown(store, {"small": 2, "large": 100, "middle": 10, "tiny": 1}, 1)
    found = samples(serve(settings=WebSettings(top_apps=2, top_models=3)))
    recorded = {
        (app, model): value
        for (app, direction, model, _), value in values(found, "dify_recorded_tokens_total").items()
        if direction == "input"
    }
    assert recorded == {
        ("large", "model of large"): 100,
        ("middle", "model of middle"): 10,
        ("other", "model of small"): 2,
        ("other", "other"): 1,
    }
    assert nonzero(found, "dify_exporter_folded_labels") == {("app",): 2, ("model",): 1}


def test_nothing_is_folded_below_the_limit(store: Store, serve: Serve) -> None:
    grown(store, {"a": 1, "b": 2}, 1)
    found = samples(serve(settings=WebSettings(top_apps=2, top_models=2)))
    assert {key[0] for key in values(found, "dify_calls_total")} == {"a", "b"}
    assert set(values(found, "dify_exporter_folded_labels").values()) == {0}


def test_other_never_falls_when_a_folded_app_grows_or_the_exporter_restarts(
    store: Store, serve: Serve
) -> None:
    few = WebSettings(top_apps=2)
    grown(store, {"a": 50, "b": 40, "c": 30}, 1)
    site = serve(settings=few)
    assert sum_of(site, "other") == 30
    grown(store, {"c": 1000}, 10)
    assert sum_of(site, "other") == 1030
    again = Store(store.path)
    restarted = serve(settings=few, over=again)
    assert {app: sum_of(restarted, app) for app in ("a", "b", "other")} == {"a": 50, "b": 40, "other": 1030}
    again.close()


def sum_of(site: Site, app: str) -> float:
    found = values(samples(site), "dify_recorded_tokens_total")
    return sum(value for key, value in found.items() if key[0] == app and key[1] == "input")


def test_strange_names_survive_as_labels(store: Store, serve: Serve) -> None:
    name = 'a "quoted"\nback\\slash 名前 <script>'
    keep(store, build_trace(1, app=name))
    site = serve()
    assert {key[0] for key in values(samples(site), "dify_calls_total")} == {name}
    assert {key[0] for key in values(samples(site, OPENMETRICS, openmetrics_parser), "dify_calls_total")} == {
        name
    }


def test_no_user_trace_call_or_text_becomes_a_label(store: Store, serve: Serve) -> None:
    trace = build_trace(1, calls=[{"findings": (RETRY,)}])
    keep(store, trace)
    text = serve().get("/metrics").text
    for private in (SECRET, trace.trace.trace_id, trace.trace.ref.id, "chatcmpl-1", "two requests"):
        assert private not in text


def test_health_of_destinations_jobs_and_records_is_shown(store: Store, serve: Serve) -> None:
    parcels = [Parcel("langfuse", f"{number:032x}", 1, b"x" * 100, 3, NOON, NOON) for number in range(4)]
    with store.transaction("test") as connection:
        outbox.put(connection, parcels, NOON)
        units = outbox.take(connection, "langfuse", NOON, 4)
        outbox.sending(connection, [units[0].seq])
        outbox.acknowledged(connection, units[1:2], NOON, NOON)
        outbox.bury(connection, units[2], "HTTP 400")
        health.delivered(connection, "langfuse", NOON, traces=5, spans=15, confirmed=4, resent=1, requests=3)
        health.undelivered(connection, "otlp", NOON, "HTTP 401", hold=True)
        health.succeeded(connection, "poll", NOON)
        health.failed(connection, "confirm", NOON + SECOND, "no answer")
        ref = RecordRef(RecordKind.RUN, "r1", NOON)
        records.meet(connection, [ref], NOON)
        records.settle(connection, [records.Outcome(ref, "set_aside", "broken")])
    found = samples(
        serve(lambda: Readiness(("stopped",), (), False, NOON, 42.5), destinations=("langfuse", "langsmith"))
    )

    def value(name: str, *labels: str) -> float:
        return values(found, f"dify_exporter_{name}")[labels]

    assert value("backlog_traces", "langfuse") == 2
    assert value("in_doubt_traces", "langfuse") == 1
    assert value("acked_traces", "langfuse") == 1
    assert value("dead_letters", "langfuse") == 1
    assert value("backlog_bytes", "langfuse") == 400
    assert value("backlog_oldest_seconds", "langfuse") == 60
    assert value("delivered_spans_total", "langfuse") == 15
    assert value("confirmed_traces_total", "langfuse") == 4
    assert value("resent_traces_total", "langfuse") == 1
    assert value("request_failures_total", "otlp") == 1
    assert value("destination_on_hold", "otlp") == 1
    assert value("delivered_traces_total", "langsmith") == 0, (
        "a configured destination is there from the start"
    )
    assert value("delivery_last_success_timestamp_seconds", "langfuse") == NOON / 1e6
    assert value("job_last_success_timestamp_seconds", "poll") == NOON / 1e6
    assert value("job_last_failure_timestamp_seconds", "confirm") == NOON / 1e6 + 1
    assert value("job_runs_total", "poll") == 1
    assert value("records", "set_aside") == 1
    assert value("ready") == 0
    assert value("reading") == 0
    assert value("source_lag_seconds") == 42.5
    assert any(
        sample.labels.get("version") == __version__
        for sample in found
        if sample.name == "dify_exporter_build_info"
    )


def test_what_never_happened_has_no_time(store: Store, serve: Serve) -> None:
    with store.transaction("test") as connection:
        health.failed(connection, "poll", NOON, "no answer")
    found = samples(serve())
    assert values(found, "dify_exporter_job_last_success_timestamp_seconds") == {}
    assert values(found, "dify_exporter_source_lag_seconds") == {}


def vendor_call(identity: str) -> VendorCall:
    return VendorCall("my-gateway", identity, NOON, NOON + SECOND, "chat", "gpt-4o-mini", "ok")


def test_vendor_evidence_is_counted_by_source(store: Store, serve: Serve) -> None:
    with store.transaction("test") as connection:
        evidence.add(connection, [vendor_call("a"), vendor_call("b")], NOON)
        assignments.store(connection, [Assignment("my-gateway", "a", "matched", call_id="message:1")])
        evidence.refuse(connection, "my-gateway", "line 3", "not JSON", NOON)
    found = samples(serve())
    assert values(found, "dify_exporter_evidence_records") == {("my-gateway",): 2}
    assert values(found, "dify_exporter_evidence_matched") == {("my-gateway",): 1}
    assert values(found, "dify_exporter_evidence_refused") == {("my-gateway",): 1}


def test_every_metric_explains_itself_even_before_it_has_a_value(serve: Serve) -> None:
    text = serve().get("/metrics").text
    helped = set(re.findall(r"^# HELP (\S+) \S.+$", text, re.MULTILINE))
    typed = set(re.findall(r"^# TYPE (\S+) \S+$", text, re.MULTILINE))
    assert helped == typed
    assert {family.shown for family in FAMILIES} <= helped
    named_outside = {
        "dify_recorded_tokens_total", "dify_local_tokens_total", "dify_vendor_tokens_total", "dify_recorded_cost_total",
        "dify_vendor_cost_total", "dify_unrecorded_tokens_total", "dify_overrecorded_tokens_total", "dify_calls_total",
        "dify_exporter_build_info", "dify_exporter_source_lag_seconds", "dify_exporter_dead_letters",
    }  # fmt: skip
    assert named_outside <= helped
    assert all(name.startswith(("dify_", "process_")) for name in helped)


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="process metrics come from /proc, which is Linux"
)
def test_memory_and_processor_of_the_process_are_shown(serve: Serve) -> None:
    found = samples(serve())
    assert values(found, "process_resident_memory_bytes")[()] > 1_000_000
    assert values(found, "process_cpu_seconds_total")[()] > 0
