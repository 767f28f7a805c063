"""The report over a whole recording is the reconciliation that its README states: the same sums, the same causes, no rest; and
held against the vendor's own sums per minute, the bill is accounted for to the token."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter import config
from exporter.clock import micros
from exporter.config import BillSettings, ScopeSettings
from exporter.daemon import App
from exporter.intake import Intake
from exporter.model import Tokens
from exporter.report import document as reports
from exporter.report.window import read_window
from exporter.state import buckets
from exporter.vendor.bills import registry as bills
from exporter.vendor.pullers.base import Bucket
from exporter.vendor.record import VendorCall, parse
from tests.contract.openai_usage_twin import ADMIN_KEY, OpenAiUsageTwin
from tests.contract.spending import Spent
from tests.e2e.recorded import CAUSES, TRUTH, Dump, restored, settings_for
from tests.vendor.convert_recording import canonical

MINUTE = 60_000_000
PARTS = ("input", "output")
LEFT_NOTHING = (
    "recorded_nothing_stopped", "recorded_nothing_abandoned", "recorded_nothing_failed", "recorded_nothing_finished",
    "client_hung_up", "process_died", "agent_rounds_lost", "stream_cut", "retry_billed", "rounds_not_in_message",
)  # fmt: skip
GROUPS = {
    "nothing kept of a call": LEFT_NOTHING,
    "no usage sent": ("plugin_estimate", "estimate_gpt2"),
    "price-weighted": ("cache_price_weighted",),
    "rows deleted": ("row_missing",),
    "agent total": ("agent_total_only",),
}
HIDDEN = {
    "hidden_title": "title",
    "hidden_questions": "suggested_questions",
    "hidden_embedding": "embedding",
    "hidden_rerank": "rerank",
    "hidden_other": "credential_check",
}


@pytest.fixture(scope="module", params=sorted(TRUTH))
def dump(request: pytest.FixtureRequest, shared: Path) -> Iterator[Dump]:
    with restored(request.param, shared) as found:
        yield found


@pytest.fixture(scope="module")
def requests(dump: Dump) -> list[VendorCall]:
    return [parse(canonical(line), "log") for line in dump.log]


@pytest.fixture(scope="module")
def matched(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """After a run with the vendor's log."""
    folder = tmp_path_factory.mktemp("matched")
    with App(settings_for(dump, [canonical(line) for line in dump.log], "generic", folder)) as app:
        app.run_once()
        yield app


@pytest.fixture(scope="module")
def alone(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """After a run without it."""
    with App(settings_for(dump, None, "generic", tmp_path_factory.mktemp("alone"))) as app:
        app.run_once()
        yield app


def report(
    app: App,
    by: tuple[str, ...] = ("app", "model"),
    scopes: list[ScopeSettings] | None = None,
    zone: str = "UTC",
    tolerance: float = 5.0,
) -> Any:
    settings = replace_scopes(app.settings, scopes or [])
    window = read_window("2026-11-01", "2026-12-01", zone, app.now())
    with app.store.read() as connection:
        return reports.build(connection, settings, reports.Question(window, by, tolerance, app.now()))


def replace_scopes(settings: config.Settings, scopes: list[ScopeSettings]) -> config.Settings:
    return settings.model_copy(update={"report": settings.report.model_copy(update={"scopes": scopes})})


def pair(numbers: dict[str, int]) -> tuple[int, int]:
    return numbers["input"], numbers["output"]


def summed(items: list[dict[str, int]]) -> tuple[int, int]:
    return sum(item["input"] for item in items), sum(item["output"] for item in items)


def test_the_sums_are_those_of_the_readme_and_nothing_is_left_unexplained(dump: Dump, matched: App) -> None:
    found, truth = report(matched), TRUTH[dump.version]
    lost = truth["out_of_reach"]
    assert pair(found["total"]["dify"]) == truth["dify"]
    assert pair(found["total"]["vendor"]) == (truth["billed"][0] - lost[0], truth["billed"][1] - lost[1])
    assert found["total"]["unexplained"]["size"] == 0
    assert (found["verdict"], reports.exit_code(found)) == ("within", 0)
    assert summed(found["foreign"]) == lost


def test_the_causes_are_those_of_the_readme(dump: Dump, matched: App) -> None:
    by_code = {item["code"]: item for item in report(matched)["total"]["findings"]}
    told = {
        name: summed([by_code[code] for code in codes if code in by_code]) for name, codes in GROUPS.items()
    }
    lost = TRUTH[dump.version]["out_of_reach"]
    known = CAUSES[dump.version]["nothing kept of a call"]
    assert told == CAUSES[dump.version] | {"nothing kept of a call": (known[0] - lost[0], known[1] - lost[1])}
    hidden = {purpose: pair(by_code[code]) for code, purpose in HIDDEN.items()}
    assert hidden == {purpose: TRUTH[dump.version][purpose][1:] for purpose in hidden}
    explaining = {code for code, item in by_code.items() if any(pair(item))}
    assert explaining <= {code for codes in GROUPS.values() for code in codes} | set(HIDDEN)


def test_the_way_from_difys_number_ends_at_the_vendors(matched: App) -> None:
    steps = report(matched)["waterfall"]
    names = [step["step"] for step in steps]
    start, end = names.index("dify"), names.index("vendor")
    for part in PARTS:
        assert sum(step[part] for step in steps[start:end]) == steps[end][part]


@pytest.mark.parametrize(
    "by", [("app",), ("model",), ("key",), ("day",), ("kind",), ("provider", "workspace", "day")]
)
def test_rows_add_up_to_the_total_whatever_they_are_cut_by(matched: App, by: tuple[str, ...]) -> None:
    found = report(matched, by, zone="Asia/Kolkata")
    assert sum(row["calls"] for row in found["rows"]) == found["total"]["calls"]
    for name in ("dify", "local", "vendor"):
        assert summed([row[name] for row in found["rows"]]) == pair(found["total"][name])
    assert summed([row["difference"] for row in found["rows"] if row["difference"]]) == pair(
        found["total"]["difference"]
    )


def test_minute_sums_of_the_vendor_are_accounted_for_to_the_token(
    dump: Dump, matched: App, requests: list[VendorCall]
) -> None:
    """The log as an organisation's usage report tells it: per minute and model, no requests one by one."""
    with matched.store.transaction("test") as connection:
        buckets.put(connection, minutes(requests), matched.now())
    (bill,) = report(matched)["bills"]
    truth = TRUTH[dump.version]
    assert pair(bill["bill"]) == truth["billed"]
    assert bill["rest"] == {"requests": 0, "input": 0, "output": 0} or bill["rest_percent"] == 0.0
    assert pair(bill["rest"]) == (0, 0)
    assert bill["verdict"] == "within"


def test_without_single_requests_the_bill_shows_the_whole_gap_and_no_call_is_judged(
    dump: Dump, alone: App, requests: list[VendorCall]
) -> None:
    with alone.store.transaction("test") as connection:
        buckets.put(connection, minutes(requests), alone.now())
    found, truth = report(alone, tolerance=4.0), TRUTH[dump.version]
    (bill,) = found["bills"]
    assert pair(bill["bill"]) == truth["billed"]
    assert pair(bill["ledger"]["dify"]) == truth["dify"]
    assert (found["total"]["verified_calls"], found["total"]["difference"]) == (0, None)
    assert (bill["verdict"], reports.exit_code(found)) == ("above", 1)
    hidden_models = {row["model"]: row for row in bill["models"]}
    embedding = hidden_models["text-embedding-3-small"]
    assert pair(embedding["rest"]) == truth["embedding"][1:]


def test_a_scope_that_is_not_difys_is_left_out_of_the_comparison(
    matched: App, requests: list[VendorCall]
) -> None:
    with matched.store.transaction("test") as connection:
        buckets.put(connection, minutes(requests), matched.now())
        others = [replace(item, key="batch-job", source="usage") for item in minutes(requests)]
        buckets.put(connection, others, matched.now())
    unmapped = report(matched)["bills"][-1]
    assert unmapped["verdict"] == "above"
    scopes = [ScopeSettings(name="nightly batch", key="batch-*", foreign=True)]  # type: ignore[call-arg]
    by_scope = {bill["scope"]: bill for bill in report(matched, scopes=scopes)["bills"]}
    assert by_scope["nightly batch"]["verdict"] == "foreign"
    assert pair(by_scope[None]["rest"]) == (0, 0)


def test_the_log_read_through_openais_usage_report_is_accounted_for_to_the_token(
    dump: Dump, matched: App, tmp_path: Path
) -> None:
    """The vendor's own log as an organisation, asked by the minute over HTTP: pages, embeddings apart, costs beside."""
    spent = [item for line in dump.log if (item := spent_of(line)) is not None]
    first = datetime.fromtimestamp(min(item.at for item in spent), UTC).replace(hour=0, minute=0, second=0)
    with OpenAiUsageTwin(spent, page_size=500) as twin:
        settings = BillSettings(
            kind="openai", name="openai-org", key=ADMIN_KEY, url=twin.url, width="1m", start=first.isoformat()
        )  # type: ignore[arg-type, call-arg]
        later = micros(first) + 3 * 1440 * MINUTE
        taken = Intake(matched.store, bills.build([settings]), lambda: later).take(at_once=True)
    assert (taken.failed, taken.refused) == ((), 0)
    (bill,) = [item for item in report(matched)["bills"] if item["source"] == "openai-org"]
    truth = TRUTH[dump.version]
    assert pair(bill["bill"]) == truth["billed"]
    assert pair(bill["rest"]) == (0, 0)
    assert bill["bill"]["requests"] == len(spent)
    assert bill["bill"]["reasoning"] is None
    assert bill["verdict"] == "within"


def spent_of(line: dict[str, Any]) -> Spent | None:
    """A request of the log as the organisation was billed for it; None: not billed."""
    call = parse(canonical(line), "log")
    if call.tokens is None:
        return None
    model = call.response_model or call.model
    tokens = call.tokens
    return Spent(
        call.start // 1_000_000, model, tokens.input or 0, tokens.output or 0, tokens.cache_read or 0,
        tokens.cache_write or 0, endpoint="embeddings" if "embedding" in model else "completions",
    )  # fmt: skip


def minutes(requests: list[VendorCall]) -> list[Bucket]:
    """The requests summed per minute and model, as OpenAI's usage report groups them."""
    found: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for request in requests:
        if request.tokens is None:
            continue
        sums = found[(request.start // MINUTE * MINUTE, request.response_model or request.model)]
        sums.update({"requests": 1, "input": request.tokens.input or 0, "output": request.tokens.output or 0})
    return [
        Bucket(
            "usage",
            minute,
            minute + MINUTE,
            model,
            None,
            Tokens(sums["input"], sums["output"]),
            sums["requests"],
        )
        for (minute, model), sums in found.items()
    ]
