from __future__ import annotations

import html
import re

from exporter.config import WebSettings
from exporter.model import Confidence, Finding, Verdict
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.conftest import Serve, Site
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

DAY = 86_400 * SECOND
RETRY = Finding("retry_billed", 100, 0, Confidence.CERTAIN, "Twice.", "Look.")
TITLE = Finding("hidden_title", 30, 5, Confidence.CERTAIN, "Title.", "Look.")
ESTIMATE = Finding("plugin_estimate", -20, 0, Confidence.CERTAIN, "Guessed.", "Look.")


def text_of(site: Site, path: str) -> str:
    answer = site.get(path)
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def kept(store: Store) -> None:
    """Four calls: Dify 1,000 + 200 of which 900 + 190 are verified, vendor 1,020 + 200; 10 + 5 stay unexplained."""
    calls = [
        {"dify": (500, 100), "local": (510, 100), "vendor": (600, 100), "findings": (RETRY,), "verdict": Verdict.EXPLAINED},
        {"dify": None, "local": None, "vendor": (30, 5), "findings": (TITLE,), "verdict": Verdict.EXPLAINED},
        {"dify": (400, 90), "local": (400, 90), "vendor": (390, 95), "findings": (ESTIMATE,), "verdict": Verdict.UNEXPLAINED,
         "cost": usd("0.02"), "vendor_cost": usd("0.03")},
        {"dify": (100, 10), "local": (100, 10), "vendor": None, "verdict": Verdict.UNVERIFIED},
    ]  # fmt: skip
    keep(store, build_trace(1, calls=calls, verdict=Verdict.UNEXPLAINED))


def test_the_overview_adds_up_three_readings_verdicts_causes_and_apps(store: Store, serve: Serve) -> None:
    kept(store)
    text = text_of(serve(), "/")
    for words in (
        "dify Dify recorded 1,000 → to 200 of 4 calls, 1 without it",
        "USD 0.0200",
        "local Counted here 1,010 → to 200 of 4 calls, 1 without it",
        "vendor Vendor reports 1,020 → to 200 of 4 calls, 1 without it",
        "Vendor − Dify +120 in +10 out +11.9% of what Dify recorded, in 3 calls that the vendor was heard of",
        "15 tokens of it are unexplained",
        "Verdicts of 4 model calls",
        "2 explained 1 unexplained 1 unverified",
        "Retry billed 1 +100 → 0",
        "Conversation title 1 +30 → +5",
        "Estimated by the plugin 1 −20 → 0",
        "Support chat gpt-4o-mini 4 1,000 → 200 1,020 → 200 +120 → +10",
    ):
        assert words in text, words
    assert (
        text.index("Retry billed 1")
        < text.index("Conversation title 1")
        < text.index("Estimated by the plugin 1")
    )


def test_the_chart_and_its_table_say_the_same(store: Store, serve: Serve) -> None:
    kept(store)
    keep(store, build_trace(2, started_at=NOON - 3 * 3600 * SECOND, calls=[{"vendor": None}]))
    site = serve()
    source, text = site.get("/").text, text_of(site, "/")
    assert "2026-11-23 12:00 1,200 1,210 1,220" in text
    assert "2026-11-23 09:00 19 19 0" in text
    chart = source[source.index('aria-labelledby="chart-title') : source.index('class="times"')]
    heights = [float(value) for value in re.findall(r' height="([\d.]+)"', chart)]
    assert len(heights) == 5, "an hour without a number has no bar"
    assert max(heights) == 100
    assert sorted(heights)[2] == round(100 * 1200 / 1220, 3)


def test_a_ledger_that_has_gone_quiet_is_shown_up_to_its_newest_trace(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, started_at=NOON - 40 * DAY))
    text = text_of(serve(), "/")
    assert "Nothing happened in this time up to now" in text
    assert "of 1 call" in text
    month = text_of(serve(), "/?period=month")
    assert "Nothing happened" in month
    keep(store, build_trace(2, started_at=NOON - 3 * DAY))
    assert "Nothing happened" not in text_of(serve(), "/?period=week")


def test_the_first_page_says_how_far_behind_reading_is_or_what_is_wrong(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1))
    good = serve(lambda: Readiness(read_at=NOON + 57 * SECOND, lag_seconds=0.0))
    assert "Dify was read 3 s ago, and nothing is behind." in text_of(good, "/")
    behind = serve(lambda: Readiness(read_at=NOON, lag_seconds=90.0, warnings=("a",)))
    assert "Dify was read 1 min 00 s ago; what is read lies 1 min 30 s behind." in text_of(behind, "/")
    bad = serve(lambda: Readiness(("Dify cannot be read. Check the password.",)))
    assert "Not ready Dify cannot be read. Check the password." in text_of(bad, "/")


def test_an_old_address_of_the_list_leads_to_where_it_stands_now(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, verdict=Verdict.UNEXPLAINED))
    answer = serve().get("/?verdict=unexplained&app=Support+chat")
    assert answer.url.endswith("/traces?verdict=unexplained&app=Support+chat")
    assert f"{1:032x}" in answer.text


def test_the_bars_of_the_reconciliation_add_up_from_dify_to_the_vendor(store: Store, serve: Serve) -> None:
    kept(store)
    site = serve()
    text = text_of(site, "/reconciliation?since=2026-11-23&until=2026-11-23")
    for words in (
        "Dify recorded: 1,090 1,090 900 → 190 3 USD 0.0200",
        "Retry billed Earlier attempts",
        "Retry billed: +100 +100 +100 → 0 1 –",
        "Conversation title: +35 +35 +30 → +5 1 –",
        "Estimated by the plugin: −20 −20 −20 → 0 1 –",
        "Unexplained: +15 +15 +10 → +5 – –",
        "The vendor reports: 1,220 1,220 1,020 → 200 3 USD 0.0300",
        "Without a vendor number of their own: 1 call, for which Dify recorded 100 → 10 tokens that nothing confirms.",
        "2026-11-23 Traces 4 3 900 → 190 910 → 190 1,020 → 200 +120 → +10 +115 +15",
    ):
        assert words in text, words
    source = site.get("/reconciliation?since=2026-11-23&until=2026-11-23").text
    bars = [
        tuple(map(float, bar)) for bar in re.findall(r'x="([\d.]+)%" width="([\d.]+)%" height="18"', source)
    ]
    dify, retry, title, estimate, rest, vendor = bars
    assert dify[0] == vendor[0] == 0
    assert retry[0] == round(sum(dify), 3)
    assert abs(title[0] - sum(retry)) < 0.01
    assert abs(estimate[0] + estimate[1] - sum(title)) < 0.01, "what makes it less goes back"
    assert abs(rest[0] - estimate[0]) < 0.01
    assert abs(sum(vendor) - sum(rest)) < 0.01


def test_the_reconciliation_is_narrowed_by_day_app_and_model(store: Store, serve: Serve) -> None:
    kept(store)
    keep(store, build_trace(2, app="KB chat", calls=[{"model": "qwen-plus"}]))
    keep(store, build_trace(3, app="KB chat", started_at=NOON - DAY, calls=[{"model": "qwen-plus"}]))
    site = serve()
    week = text_of(site, "/reconciliation")
    assert "All days 6 5" in week
    assert week.index("2026-11-23 Traces 5 4") < week.index("2026-11-22 Traces 1 1")
    kb = text_of(site, "/reconciliation?app=KB+chat&since=2026-11-23&until=2026-11-23")
    assert "2026-11-23 Traces 1 1 12 → 7" in kb
    qwen = text_of(site, "/reconciliation?model=qwen-plus")
    assert "All days 2 2 24 → 14" in qwen
    none = text_of(site, "/reconciliation?since=2026-11-01&until=2026-11-02")
    assert "there is nothing to reconcile" in none


def test_a_trace_leads_to_where_else_it_can_be_looked_at(store: Store) -> None:
    keep(store, build_trace(1))
    app = build_app(
        store,
        Readiness,
        WebSettings(),
        links=lambda trace_id: [("langfuse", f"https://lf.example/{trace_id}")],
    )
    server = WebServer(app)
    site = Site(store, server, server.start("127.0.0.1", 0))
    try:
        source = site.get(f"/traces/{1:032x}").text
    finally:
        server.stop()
    assert f'<a href="https://lf.example/{1:032x}" rel="noreferrer">Open in langfuse</a>' in source
