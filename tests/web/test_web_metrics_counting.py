"""Counted once, whatever is corrected, killed or started again; and from zero, so that rates see all of it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from exporter.config import WebSettings
from exporter.model import Accuracy, Confidence, DifyKind, Finding, Money, Tokens, Verdict
from exporter.state import counted, ledger, migrations, totals
from exporter.state.store import Store
from tests.web.metrics_by_hand import LATER, Scraper, changed, copied, counters
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

RETRY = Finding(
    "retry_billed", 12, 0, Confidence.CERTAIN, "two requests", "fewer retries", Money(Decimal("0.25"), "USD")
)
WEIGHTED = Finding("price_weighted", -30, -1, Confidence.LIKELY, "weighted", "believe the vendor", Money(Decimal("-1"), "USD"))  # fmt: skip
NAMES = {"app": "Support chat", "provider": "openai", "model": "gpt-4o-mini"}


def test_a_correction_that_is_taken_back_and_comes_again_counts_once(store: Store) -> None:
    scraper = Scraper(store)
    more, less = {"dify": (100, 10), "vendor": (120, 10)}, {"dify": (100, 10), "vendor": None}
    for calls in (more, less, more, less, less, more):
        keep(store, build_trace(1, calls=[calls]))
        assert scraper.nonzero("dify_vendor_tokens_total") == {("input",): 120, ("output",): 10}
        assert scraper.nonzero("dify_compared_tokens_total") == {("input",): 100, ("output",): 10}
        assert scraper.nonzero("dify_discrepancy_ratio_count") == {(): 1}
    keep(store, build_trace(1, calls=[{"dify": (100, 10), "vendor": (125, 10)}]))
    assert scraper.nonzero("dify_vendor_tokens_total") == {("input",): 125, ("output",): 10}


def test_a_fall_is_made_up_for_before_a_counter_grows_again(store: Store) -> None:
    scraper = Scraper(store)
    for tokens, counted_so_far in ((50, 50), (20, 50), (40, 50), (60, 60), (10, 60), (61, 61)):
        keep(store, build_trace(1, calls=[{"dify": (tokens, 0)}]))
        assert scraper.nonzero("dify_recorded_tokens_total") == {("input",): counted_so_far}


def test_the_ratio_of_a_call_is_observed_once_when_the_vendor_is_first_heard_of(store: Store) -> None:
    scraper = Scraper(store)
    keep(store, build_trace(1, calls=[{"dify": (80, 20), "vendor": None, "verdict": Verdict.UNVERIFIED}]))
    assert scraper.nonzero("dify_discrepancy_ratio_count") == {}
    for vendor in ((100, 25), (1000, 0), (100, 25)):
        keep(store, build_trace(1, calls=[{"dify": (80, 20), "vendor": vendor}]))
        assert scraper.nonzero("dify_discrepancy_ratio_count") == {(): 1}
        assert scraper.nonzero("dify_discrepancy_ratio_sum") == {(): 1.25}


def test_buckets_add_up_and_are_closed_above(store: Store) -> None:
    ratios = {
        "0.0": (0, 0),
        "0.5": (50, 0),
        "1.0": (100, 0),
        "1.001": (50, 50),
        "1.1": (110, 0),
        "+Inf": (1001, 0),
    }
    keep(store, build_trace(1, calls=[{"dify": (100, 0), "vendor": vendor} for vendor in ratios.values()]))
    buckets = {le: value for (le,), value in Scraper(store).values("dify_discrepancy_ratio_bucket").items()}
    assert list(buckets) == [*map(str, counted.BOUNDS[:-1]), "+Inf"]
    assert buckets["0.0"] == 1
    assert buckets["0.5"] == 2
    assert buckets["0.999"] == 2
    assert buckets["1.0"] == 4, "100/100 twice: once as input alone, once split"
    assert buckets["1.1"] == 5
    assert buckets["10.0"] == 5
    assert buckets["+Inf"] == 6


@pytest.mark.parametrize(
    "call",
    [
        {"dify": None, "vendor": (5, 5)},
        {"dify": (0, 0), "vendor": (5, 5)},
        {"dify": (5, 5), "vendor": None},
        {"dify": (5, 5), "vendor": (5, 5), "independent": False},
    ],
)
def test_without_two_numbers_there_is_no_ratio(store: Store, call: dict[str, object]) -> None:
    keep(store, build_trace(1, calls=[call]))
    assert Scraper(store).values("dify_discrepancy_ratio_count") == {(): 0}


def test_the_last_trace_of_a_bucket_is_its_exemplar(store: Store) -> None:
    first, second, other = (
        build_trace(n, calls=[{"dify": (100, 0), "vendor": (v, 0)}])
        for n, v in ((1, 100), (2, 100), (3, 300))
    )
    for trace in (first, second, other):
        keep(store, trace)
    exemplars = {
        sample.labels["le"]: sample.exemplar
        for sample in Scraper(store).scrape()
        if sample.name == "dify_discrepancy_ratio_bucket" and sample.exemplar
    }
    assert set(exemplars) == {"1.0", "5.0"}
    assert exemplars["1.0"].labels == {"trace_id": second.trace.trace_id}
    assert exemplars["5.0"].labels == {"trace_id": other.trace.trace_id}
    assert (exemplars["5.0"].value, float(exemplars["5.0"].timestamp)) == (3.0, NOON / 1e6)


def test_an_exemplar_survives_a_restart(store: Store, tmp_path: Path) -> None:
    keep(store, build_trace(1))
    again = copied(store, tmp_path)
    assert (
        [s.exemplar for s in Scraper(again).scrape() if s.exemplar]
        == [s.exemplar for s in Scraper(store).scrape() if s.exemplar]
        != []
    )
    again.close()


def test_every_series_of_a_known_model_begins_at_zero(store: Store) -> None:
    keep(
        store,
        build_trace(1, calls=[{"dify": (5, 0), "local": None, "vendor": None, "verdict": Verdict.PENDING}]),
    )
    scraper = Scraper(store)
    directions = {("input",), ("output",)}
    for name in ("recorded", "local", "vendor", "compared", "unexplained"):
        assert set(scraper.values(f"dify_{name}_tokens_total")) == directions, name
    assert scraper.values("dify_calls_total") == {**{(v.value,): 0 for v in Verdict}, ("pending",): 1}
    assert set(scraper.values("dify_judged_calls")) == {(v.value,) for v in Verdict}
    assert set(scraper.values("dify_calls_by_kind_total")) == {*((k.value,) for k in DifyKind), ("none",)}
    assert set(scraper.values("dify_calls_by_accuracy_total")) == {(a.value,) for a in Accuracy}
    assert set(scraper.values("dify_unpriced_calls_total")) == {("dify",), ("local",), ("vendor",)}
    assert scraper.values("dify_discrepancy_ratio_count") == {(): 0}


def test_a_cause_that_one_app_met_begins_at_zero_for_every_app_with_that_model(store: Store) -> None:
    keep(
        store,
        build_trace(1, app="a", calls=[{"findings": (RETRY,)}]),
        build_trace(2, app="b"),
        build_trace(3, app="c", calls=[{"model": "other-model"}]),
    )
    found = {
        (sample.labels["app"], sample.labels["direction"]): sample.value
        for sample in Scraper(store).scrape()
        if sample.name == "dify_unrecorded_tokens_total"
    }
    assert found == {("a", "input"): 12, ("a", "output"): 0, ("b", "input"): 0, ("b", "output"): 0}


def test_what_is_new_shows_zero_first_to_everyone_who_scrapes(store: Store, tmp_path: Path) -> None:
    keep(store, build_trace(1, calls=[{"findings": (RETRY,)}]))
    one, other = Scraper(store), Scraper(store)
    for scraper in (one, other):
        assert scraper.nonzero("dify_recorded_tokens_total", NOON + 59 * SECOND) == {}
        assert scraper.nonzero("dify_discrepancy_ratio_bucket", NOON + 59 * SECOND) == {}
        assert [sample.exemplar for sample in scraper.scrape() if sample.exemplar] == []
    restarted = copied(store, tmp_path)
    assert Scraper(restarted).nonzero("dify_recorded_tokens_total", NOON + 59 * SECOND) == {}
    restarted.close()
    for scraper in (one, other):
        assert scraper.nonzero("dify_recorded_tokens_total", NOON + 60 * SECOND) == {
            ("input",): 12,
            ("output",): 7,
        }
        assert scraper.nonzero("dify_unrecorded_tokens_total") == {("retry_billed", "input"): 12}


def test_a_clock_that_is_set_back_takes_nothing_back(store: Store) -> None:
    keep(store, build_trace(1))
    scraper = Scraper(store)
    before = dict(counters(scraper.scrape(NOON + 61 * SECOND)))
    after = dict(counters(scraper.scrape(NOON - 3600 * SECOND)))
    assert all(after[key] == value for key, value in before.items())


def test_no_time_at_zero_shows_everything_at_once(store: Store) -> None:
    keep(store, build_trace(1))
    scraper = Scraper(store, WebSettings(new_at_zero=0))
    assert scraper.nonzero("dify_recorded_tokens_total", NOON) == {("input",): 12, ("output",): 7}


def test_money_is_told_by_reading_and_by_cause(store: Store) -> None:
    trace = build_trace(1, calls=[{"cost": usd("2"), "vendor_cost": usd("3"), "findings": (RETRY, WEIGHTED)}])
    keep(store, changed(trace, lambda item: replace(item, local=replace(item.local, cost=usd("2.5")))))
    scraper = Scraper(store)
    assert scraper.values("dify_local_cost_total") == {("USD",): 2.5}
    assert scraper.values("dify_unrecorded_cost_total") == {("retry_billed", "USD"): 0.25}
    assert scraper.values("dify_overrecorded_cost_total") == {("price_weighted", "USD"): 1}
    assert scraper.nonzero("dify_unpriced_calls_total") == {}


def test_what_only_the_price_book_says_is_no_bill(store: Store) -> None:
    remark = replace(RETRY, input=0)
    unheard = {"vendor": None, "cost": usd("2"), "findings": (remark,), "verdict": Verdict.UNVERIFIED}
    keep(store, build_trace(1, calls=[unheard, {"cost": usd("1"), "vendor_cost": usd("1.5")}]))
    scraper = Scraper(store)
    assert scraper.values("dify_unrecorded_cost_total") == {}
    assert scraper.values("dify_recorded_cost_total") == {("USD",): 3}
    assert scraper.values("dify_compared_cost_total") == {("USD",): 1}
    assert scraper.values("dify_vendor_cost_total") == {("USD",): 1.5}


def test_a_finding_without_a_price_counts_tokens_and_no_money(store: Store) -> None:
    keep(store, build_trace(1, calls=[{"findings": (replace(RETRY, cost=None),)}]))
    scraper = Scraper(store)
    assert scraper.nonzero("dify_unrecorded_tokens_total") == {("retry_billed", "input"): 12}
    assert scraper.values("dify_unrecorded_cost_total") == {}


def test_calls_whose_money_is_not_known_are_counted_by_reading(store: Store) -> None:
    keep(
        store,
        build_trace(1, calls=[{"cost": usd("1")}, {"vendor": None, "local": (0, 0)}, {"independent": False}]),
    )
    assert Scraper(store).nonzero("dify_unpriced_calls_total") == {
        ("dify",): 2,
        ("local",): 2,
        ("vendor",): 1,
    }


def test_what_nobody_explains_counts_without_sign(store: Store) -> None:
    keep(
        store,
        build_trace(1, calls=[{"dify": (10, 5), "vendor": (13, 5)}, {"dify": (10, 5), "vendor": (6, 4)}]),
    )
    assert Scraper(store).nonzero("dify_unexplained_tokens_total") == {("input",): 7, ("output",): 1}


def test_calls_count_by_kind_and_by_accuracy(store: Store) -> None:
    trace = build_trace(1, calls=[{}, {"dify": None, "local": None}])
    estimated = changed(
        build_trace(2),
        lambda item: replace(
            item,
            dify=replace(item.dify, kind=DifyKind.ESTIMATE),
            local=replace(item.local, accuracy=Accuracy.NEAR),
        ),
    )
    keep(store, trace, estimated)
    scraper = Scraper(store)
    assert scraper.nonzero("dify_calls_by_kind_total") == {
        ("vendor_passed",): 1,
        ("none",): 1,
        ("estimate",): 1,
    }
    assert scraper.nonzero("dify_calls_by_accuracy_total") == {("exact",): 1, ("none",): 1, ("near",): 1}


def test_the_gauge_of_verdicts_follows_corrections_and_new_names(store: Store) -> None:
    scraper = Scraper(store)
    keep(store, build_trace(1, calls=[{"vendor": None, "verdict": Verdict.UNVERIFIED}, {}]))
    assert scraper.nonzero("dify_judged_calls") == {("unverified",): 1, ("agree",): 1}
    keep(store, build_trace(1, calls=[{}, {}]))
    assert scraper.nonzero("dify_judged_calls") == {("agree",): 2}
    assert scraper.nonzero("dify_calls_total") == {("unverified",): 1, ("agree",): 2}
    keep(store, build_trace(1, app="Renamed", calls=[{}, {"verdict": Verdict.EXPLAINED}]))
    by_app = {
        (sample.labels["app"], sample.labels["verdict"]): sample.value
        for sample in scraper.scrape()
        if sample.name == "dify_judged_calls" and sample.value
    }
    assert by_app == {("Renamed", "agree"): 1, ("Renamed", "explained"): 1}


def test_a_known_token_total_without_its_parts_makes_a_ratio(store: Store) -> None:
    trace = build_trace(1, calls=[{"dify": (0, 0), "vendor": (100, 20)}])
    total_only = lambda item: replace(item, dify=replace(item.dify, tokens=Tokens(), total=100))  # noqa: E731
    keep(store, changed(trace, total_only))
    assert Scraper(store).values("dify_discrepancy_ratio_sum") == {(): 1.2}


def test_a_transaction_that_is_rolled_back_counts_nothing(store: Store) -> None:
    def dies() -> None:
        with store.transaction("test") as connection:
            ledger.put(connection, [ledger.Entry(build_trace(1), b"", {}, (), NOON)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        dies()
    assert Scraper(store).values("dify_recorded_tokens_total") == {}


def test_a_state_from_before_keeps_its_counters_and_knows_todays_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        for number in sorted(n for n in migrations._STEPS if n < 5):
            old.executescript(migrations._STEPS[number])
        old.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
        old.execute("PRAGMA user_version = 4")
        old.execute("INSERT INTO totals VALUES ('recorded_tokens', 'a', 'openai', 'm', 'input', 41)")
        old.execute("INSERT INTO traces (trace_id, kind, record_id, created_at, app_id, app_name, app_mode, name, status,"
                    " verdict, started_at, ended_at, revision, document) VALUES ('t', 'message', 'r', 0, 'i', 'a', 'chat',"
                    " 'a', 'ok', 'agree', 0, 0, 1, '{}')")  # fmt: skip
        old.execute(
            "INSERT INTO calls VALUES ('c', 't', 0, 'i', 'a', 'openai', 'm', 'agree', 0, 0, 0, x'', '{}')"
        )
    old.close()
    store = Store(path)
    scraper = Scraper(store)
    assert scraper.nonzero("dify_recorded_tokens_total") == {("input",): 41}
    assert scraper.nonzero("dify_judged_calls") == {("agree",): 1}
    store.close()


def test_what_is_forgotten_of_a_trace_leaves_its_counters(store: Store) -> None:
    keep(store, build_trace(1, calls=[{"dify": (50, 0)}]))
    keep(store, build_trace(1, calls=[{"dify": (20, 0)}]))
    scraper = Scraper(store)
    with store.transaction("test") as connection:
        assert connection.execute("SELECT count(*) FROM overcounted").fetchone()[0] > 0
        totals.forget(connection, [build_trace(1).trace.trace_id])
        assert connection.execute("SELECT count(*) FROM overcounted").fetchone()[0] == 0
    assert scraper.nonzero("dify_recorded_tokens_total", LATER) == {("input",): 50}
