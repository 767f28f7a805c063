"""Which families there are, what they are called, and how many series they may have."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import pytest
from prometheus_client import parser

from docs.generate_metrics import PAGE, generated
from exporter import __version__, durations
from exporter.compare.catalog import FINDINGS
from exporter.config import WebSettings
from exporter.model import Confidence, Finding, Tokens
from exporter.state import assignments, evidence, health
from exporter.state.assignments import Assignment
from exporter.state.store import Store
from exporter.vendor.record import VendorCall
from exporter.web import labels
from exporter.web.metrics import exposition
from exporter.web.metrics_catalog import FAMILIES
from exporter.web.slow_metrics import Slow
from tests.dashboards.prometheus_server import program
from tests.web.metrics_by_hand import OPENMETRICS, Scraper, copied
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

RETRY = Finding("retry_billed", 12, 1, Confidence.CERTAIN, "two requests", "fewer retries", usd("0.1"))
WEIGHTED = Finding("price_weighted", -3, -1, Confidence.LIKELY, "weighted", "believe", usd("-0.1"))
PUBLIC = Path(__file__).parents[2] / "docs" / "metrics.md"


def full(store: Store) -> Scraper:
    """An exporter of which every family has a sample."""
    keep(
        store,
        build_trace(
            1,
            calls=[
                {
                    "dify": (10, 5),
                    "vendor": (25, 5),
                    "findings": (RETRY, WEIGHTED),
                    "cost": usd("1"),
                    "vendor_cost": usd("2"),
                }
            ],
        ),
    )
    with store.transaction("test") as connection:
        evidence.add(connection, [request("a"), request("b")], NOON)
        assignments.store(
            connection,
            [Assignment("gw", "a", "matched", call_id="message:1"), Assignment("gw", "b", "foreign")],
        )
        evidence.refuse(connection, "gw", "line 3", "not JSON", NOON)
        health.delivered(connection, "langfuse", NOON, traces=1, spans=2, requests=1)
        health.succeeded(connection, "poll", NOON)
        health.failed(connection, "poll", NOON, "no answer")
        health.remember(connection, "audit.langfuse", '{"at": 1700000000500000, "missing": 3, "doubled": 2}')
    return Scraper(store, None, "langfuse")


def request(identity: str, source: str = "gw", model: str = "gpt-4o-mini") -> VendorCall:
    return VendorCall(source, identity, NOON, NOON + SECOND, "chat", model, "ok", tokens=Tokens(8, 2))


def test_every_family_is_served_as_the_catalogue_says(store: Store) -> None:
    text = exposition(full(store).registry, "")[0].decode()
    found = {family.name: family for family in parser.text_string_to_metric_families(text)}
    for family in FAMILIES:
        served = found.pop(family.name)
        assert (served.type, served.documentation) == (family.kind, family.help), family.name
        assert served.samples, family.name
        assert {frozenset(sample.labels) - {"le"} for sample in served.samples} == {
            frozenset(family.labels)
        }, family.name
    assert all(name.startswith("process_") for name in found)


def test_the_table_of_the_documentation_is_that_of_the_catalogue() -> None:
    """`python docs/generate_metrics.py` writes it."""
    assert PAGE == PUBLIC
    assert generated(PUBLIC.read_text("utf-8")) == PUBLIC.read_text("utf-8")


def test_names_keep_to_the_rules_of_prometheus() -> None:
    names = [family.shown for family in FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(r"dify_[a-z_]+", family.shown), family.shown
        assert family.kind == "counter" or not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert family.help[-1] == "."
        assert set(family.labels).isdisjoint(
            {"trace", "trace_id", "user", "key", "call_id", "reason", "instance", "job_name"}
        )


def test_families_that_move_at_export_time_say_so() -> None:
    for family in FAMILIES:
        if family.labels[:1] == ("app",) and family.kind != "gauge":
            assert "Grows when traces are exported, so a backfill moves it" in family.help, family.name


def test_a_fresh_exporter_has_its_versions_and_zeros_for_what_is_configured(store: Store) -> None:
    scraper = Scraper(store, None, "langfuse", "otlp")
    found = scraper.scrape()
    versions = [sample.labels for sample in found if sample.name == "dify_exporter_build_info"]
    assert [labels_["version"] for labels_ in versions] == [__version__]
    jobs = {("poll",), ("evidence",), ("prune",), ("deliver:langfuse",), ("deliver:otlp",)}
    assert scraper.values("dify_exporter_job_runs_total") == dict.fromkeys(jobs, 0)
    for name in (
        "backlog_traces",
        "dead_letters",
        "in_doubt_traces",
        "delivered_traces_total",
        "request_failures_total",
    ):
        assert scraper.values(f"dify_exporter_{name}") == {("langfuse",): 0, ("otlp",): 0}
    text = exposition(scraper.registry, "")[0].decode()
    for family in FAMILIES:
        assert f"# TYPE {family.shown} {family.kind}\n" in text


def test_promtool_finds_nothing_to_complain_of(store: Store) -> None:
    body = exposition(full(store).registry, "")[0]
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=body, capture_output=True, check=False, timeout=60
    )
    complaints = [line for line in checked.stderr.decode().splitlines() if line.startswith("dify_")]
    assert complaints == []
    assert checked.returncode in (0, 3), checked.stderr


def test_providers_and_causes_beyond_the_largest_are_folded(store: Store) -> None:
    for number in range(labels.TOP_PROVIDERS + 3):
        keep(store, build_trace(number + 1, calls=[{"provider": f"p{number:03}", "dify": (number + 1, 0)}]))
    codes = [*FINDINGS, *(f"older_{number}" for number in range(labels.TOP_CAUSES))]
    causes = tuple(Finding(code, 1, 0, Confidence.CERTAIN, "e", "a") for code in codes)
    keep(store, build_trace(1000, calls=[{"provider": "p052", "findings": causes, "dify": (1, 0)}]))
    scraper = Scraper(store)
    found = scraper.scrape()
    providers = {sample.labels["provider"] for sample in found if sample.name == "dify_calls_total"}
    assert len(providers) == labels.TOP_PROVIDERS + 1
    assert {"other", "p052", "p003"} <= providers
    assert providers.isdisjoint({"p000", "p001", "p002"})
    told = {key[0] for key in scraper.values("dify_unrecorded_tokens_total")}
    assert len(told) == labels.TOP_CAUSES + 1
    assert sum(scraper.values("dify_unrecorded_tokens_total").values()) == len(codes)
    folded = scraper.values("dify_exporter_folded_labels")
    assert (folded[("provider",)], folded[("cause",)]) == (3, len(codes) - labels.TOP_CAUSES)


def test_two_readers_of_one_state_give_the_same_labels(store: Store) -> None:
    """The push has a collector of its own."""
    few = WebSettings(top_apps=2)
    one, other = Scraper(store, few), Scraper(store, few)
    for number, app in enumerate(("a", "b", "c", "d"), start=1):
        keep(store, build_trace(number, app=app, calls=[{"dify": (number * 100, 0)}]))
        for scraper in (one, other) if number % 2 else (other, one):
            shown = {s.labels["app"] for s in scraper.scrape() if s.name == "dify_calls_total"}
            assert shown == set(["a", "b", "other"][:number])


def test_labels_once_given_stay_over_a_restart_before_anything_was_folded(
    store: Store, tmp_path: Path
) -> None:
    few = WebSettings(top_apps=1)
    keep(store, build_trace(1, app="small", calls=[{"dify": (1, 0)}]))
    Scraper(store, few).scrape()
    keep(store, build_trace(2, app="large", calls=[{"dify": (1000, 0)}]))
    again = copied(store, tmp_path)
    found = {s.labels["app"] for s in Scraper(again, few).scrape() if s.name == "dify_calls_total"}
    assert found == {"small", "other"}
    again.close()


def test_evidence_is_told_by_source_and_standing(store: Store) -> None:
    with store.transaction("test") as connection:
        evidence.add(connection, [request(name) for name in "abcde"], NOON)
        evidence.add(connection, [request("x", "other-gw")], NOON + 5 * SECOND)
        assignments.store(
            connection,
            [
                Assignment("gw", "a", "matched", call_id="message:1"),
                Assignment("gw", "b", "copy", original="a"),
                Assignment("gw", "c", "hidden", trace_id="t"),
                Assignment("gw", "d", "foreign"),
            ],
        )
    scraper = Scraper(store)
    requests = scraper.values("dify_evidence_requests")
    assert {key: value for key, value in requests.items() if value} == {
        ("gw", "matched"): 1,
        ("gw", "copy"): 1,
        ("gw", "hidden"): 1,
        ("gw", "foreign"): 1,
        ("gw", "new"): 1,
        ("other-gw", "new"): 1,
    }
    assert len(requests) == 12, "every standing of a source is there"
    tokens = scraper.nonzero("dify_evidence_tokens")
    assert tokens[("input", "gw", "foreign")] == 8
    assert tokens[("output", "gw", "matched")] == 2
    assert scraper.values("dify_foreign_tokens") == {("input", "gw"): 8, ("output", "gw"): 2}
    seen = scraper.values("dify_exporter_evidence_last_seen_timestamp_seconds")
    assert seen == {("gw",): NOON / 1e6, ("other-gw",): NOON / 1e6 + 5}


def test_sources_and_foreign_models_beyond_the_largest_are_folded(store: Store) -> None:
    with store.transaction("test") as connection:
        evidence.add(
            connection, [request(str(n), f"source-{n:03}") for n in range(labels.TOP_SOURCES + 2)], NOON
        )
        evidence.add(connection, [request(f"m{n}", "source-000", f"model-{n}") for n in range(5)], NOON)
        assignments.store(connection, [Assignment("source-000", f"m{n}", "foreign") for n in range(5)])
    scraper = Scraper(store, WebSettings(top_models=3))
    sources = scraper.values("dify_exporter_evidence_records")
    assert len(sources) == labels.TOP_SOURCES + 1
    assert sum(sources.values()) == labels.TOP_SOURCES + 2 + 5
    assert sources[("other",)] == 2
    models = {
        s.labels["model"]: s.value
        for s in scraper.scrape()
        if s.name == "dify_foreign_tokens" and s.labels["direction"] == "input"
    }
    assert models == {"model-0": 8, "model-1": 8, "model-2": 8, "other": 16}
    folded = scraper.values("dify_exporter_folded_labels")
    assert (folded[("source",)], folded[("foreign_model",)]) == (2, 2)


def test_the_state_and_its_disk_are_measured(store: Store) -> None:
    scraper = Scraper(store)
    before = scraper.values("dify_exporter_state_bytes")[()]
    with store.transaction("test") as connection:
        health.remember(connection, "large", "x" * 1_000_000)
    assert scraper.values("dify_exporter_state_bytes")[()] >= before + 1_000_000
    assert scraper.values("dify_exporter_state_disk_free_bytes")[()] > 2**20


def test_time_spent_on_counting_adds_up_over_threads(store: Store) -> None:
    scraper, waiting = Scraper(store), threading.Event()
    before = scraper.values("dify_exporter_tokenizer_seconds_total")[()]

    def work() -> None:
        with durations.timed(durations.TOKENIZER):
            waiting.wait(0.02)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scraper.values("dify_exporter_tokenizer_seconds_total")[()] >= before + 0.05


def test_a_scrape_tells_how_long_it_took(store: Store) -> None:
    assert 0 < Scraper(store).values("dify_exporter_scrape_duration_seconds")[()] < 60


def test_what_is_slow_to_look_up_keeps_no_scrape_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up of a third of a second, which is then held up: the scrapes go on with what was known."""
    goes_on, looks = threading.Event(), []

    def look() -> int:
        looks.append(threading.current_thread())
        threading.Event().wait(0.3)
        if len(looks) > 1:
            assert goes_on.wait(30)
        return len(looks)

    slow = Slow(look)
    assert slow.value() == 1
    assert slow.value() == 1
    assert len(looks) == 1, "a slow one rests before it is repeated"
    slow._ended_at -= 1000
    assert [slow.value() for _ in range(3)] == [1, 1, 1]
    assert len(looks) == 2, "one at a time, in a thread of its own"
    goes_on.set()
    looks[1].join(30)
    assert slow.value() == 2


def test_what_is_quick_to_look_up_is_always_fresh() -> None:
    found = iter(range(5))
    quick = Slow(lambda: next(found))
    assert [quick.value() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_both_formats_are_read_by_the_real_parsers(store: Store) -> None:
    """`Scraper.scrape` reads both and compares their samples."""
    assert len(full(store).scrape()) > 120
    assert exposition(full(store).registry, OPENMETRICS)[0].endswith(b"# EOF\n")
