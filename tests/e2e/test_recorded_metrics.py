"""The metrics of the whole recorded databases are the numbers of their READMEs, and a second run adds nothing to them."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from test_recorded_dumps import TRUTH, Dump, Exported, dump, export

from exporter import config
from exporter.config import WebSettings
from exporter.daemon import App
from exporter.state.store import Store
from exporter.web.metrics import build_registry, exposition
from exporter.web.readiness import Readiness
from tests.vendor.convert_recording import canonical

__all__ = ["dump"]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Pair = tuple[float, float]
Call = dict[str, Any]


@dataclass
class Scraped:
    """What the program made of a dump, and what /metrics then says."""

    exported: Exported
    state: Path
    gone: set[str]
    """Traces that were exported."""
    samples: list[Sample]

    def tokens(self, name: str, **wanted: str) -> Pair:
        """Input and output of a metric over all its series with these labels."""
        found: defaultdict[str, float] = defaultdict(float)
        for sample in self.samples:
            if sample.name == name and wanted.items() <= sample.labels.items():
                found[sample.labels["direction"]] += sample.value
        return found["input"], found["output"]

    def sum(self, name: str, **wanted: str) -> float:
        return sum(s.value for s in self.samples if s.name == name and wanted.items() <= s.labels.items())


@pytest.fixture(scope="module")
def scraped(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    folder = tmp_path_factory.mktemp("metrics")
    exported = export(dump, [canonical(line) for line in dump.log], "generic", folder)
    store = Store(folder / "s.db")
    with store.read() as connection:
        gone = {row[0] for row in connection.execute("SELECT trace_id FROM traces WHERE revision > 0")}
    store.close()
    return Scraped(exported, folder / "s.db", gone, scrape(folder / "s.db"))


def scrape(state: Path) -> list[Sample]:
    store = Store(state)
    registry = build_registry(store, Readiness, WebSettings(), (), lambda: 2**62)
    body, _ = exposition(registry, OPENMETRICS)
    store.close()
    return [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]


def test_the_three_readings_are_those_of_the_readme(scraped: Scraped) -> None:
    truth = TRUTH[scraped.exported.version]
    waits = [call for call in scraped.exported.calls if call not in _counted(scraped)]
    assert _less(truth["dify"], _sum(waits, "dify")) == scraped.tokens("dify_recorded_tokens_total")
    assert scraped.tokens("dify_evidence_tokens") == truth["billed"]
    assert scraped.tokens("dify_foreign_tokens") == truth["out_of_reach"]
    billed = _less(truth["billed"], truth["out_of_reach"])
    assert _less(billed, _sum(waits, "vendor")) == scraped.tokens("dify_vendor_tokens_total")


def _counted(scraped: Scraped) -> list[Call]:
    """The calls of exported traces: not those that belong to no trace, nor those of runs that are not finished yet."""
    return [call for call in scraped.exported.calls if call["trace_id"] in scraped.gone]


def _sum(calls: list[Call], name: str) -> Pair:
    readings = [call["readings"][name] for call in calls if call["readings"][name]]
    known = [reading for reading in readings if reading.get("independent", True)]
    return sum(item["input"] or 0 for item in known), sum(item["output"] or 0 for item in known)


def _less(whole: Pair, part: Pair) -> Pair:
    return whole[0] - part[0], whole[1] - part[1]


def test_from_difys_number_to_the_vendors_nothing_is_missing(scraped: Scraped) -> None:
    assert scraped.tokens("dify_unexplained_tokens_total") == (0, 0)
    reached = scraped.tokens("dify_compared_tokens_total")
    more = scraped.tokens("dify_unrecorded_tokens_total")
    less = scraped.tokens("dify_overrecorded_tokens_total")
    assert (reached[0] + more[0] - less[0], reached[1] + more[1] - less[1]) == scraped.tokens(
        "dify_vendor_tokens_total"
    )


def test_every_call_is_counted_once_in_each_way_of_counting(scraped: Scraped) -> None:
    calls = len(_counted(scraped))
    for name in (
        "dify_calls_by_kind_total",
        "dify_calls_by_accuracy_total",
        "dify_judged_calls",
        "dify_calls_total",
    ):
        assert scraped.sum(name) == calls, name


def test_the_histogram_holds_each_call_that_has_two_numbers(scraped: Scraped) -> None:
    ratios = []
    for call in _counted(scraped):
        dify, vendor = call["readings"]["dify"], call["readings"]["vendor"]
        if dify and dify["total"] and vendor and vendor["independent"]:
            ratios.append((vendor["input"] + vendor["output"]) / dify["total"])
    assert scraped.sum("dify_discrepancy_ratio_count") == len(ratios)
    assert scraped.sum("dify_discrepancy_ratio_sum") == pytest.approx(sum(ratios))
    for bound in (0.999, 1.0, 1.1, 2.0):
        within = sum(ratio <= bound for ratio in ratios)
        assert scraped.sum("dify_discrepancy_ratio_bucket", le=str(bound)) == within, bound


def test_exemplars_are_traces_of_the_ledger_with_that_ratio(scraped: Scraped) -> None:
    known = {call["trace_id"] for call in _counted(scraped)}
    exemplars = [sample.exemplar for sample in scraped.samples if sample.exemplar]
    assert len(exemplars) > 10
    assert {exemplar.labels["trace_id"] for exemplar in exemplars} <= known
    assert {tuple(exemplar.labels) for exemplar in exemplars} == {("trace_id",)}


def test_a_second_run_counts_nothing_again(scraped: Scraped, dump: Dump) -> None:
    settings = config.load(
        Path(os.devnull), {}, {"dify.database.url": dump.dsn, "state.path": str(scraped.state)}
    ).settings
    with App(settings) as app:
        app.run_once()
    before = {
        (s.name, *sorted(s.labels.items())): s.value for s in scraped.samples if s.name.endswith("_total")
    }
    after = {(s.name, *sorted(s.labels.items())): s.value for s in scrape(scraped.state)}
    moved = [key for key, value in before.items() if key[0].startswith("dify_") and after[key] != value]
    assert [key for key in moved if not key[0].startswith("dify_exporter_")] == []
