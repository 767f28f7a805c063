"""Every query of every board is executed by a real Prometheus over an hour of recorded traffic, and the numbers on the boards
are held against sums over the calls themselves, and against the report."""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import requests
import yaml
from psycopg.rows import dict_row

from exporter.config import WebSettings
from exporter.report import document as reports
from exporter.report.window import read_window
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.dashboards import boards
from tests.dashboards.boards import Target
from tests.dashboards.prometheus_server import Prometheus, program, running, write_blocks
from tests.dashboards.recorded_hour import BEGIN, END, STEP_SECONDS, Hour, recorded_hour

ROOT = Path(__file__).parents[2]
SECONDS = round(END - BEGIN.timestamp())
DIRECTIONS = ("input", "output")
ABSENT_UNTIL_LATER = re.compile("dify_exporter_audit_|dify_exporter_job_last_")
"""Nothing was audited in this hour."""


@dataclass(frozen=True)
class Scraped:
    """The hour, the Prometheus that holds it, and the address of the exporter it scrapes now."""

    hour: Hour
    prometheus: Prometheus
    live: str


def _folder_of_recordings() -> Path | None:
    """The whole recordings where they are, else none: the demo's recording serves then."""
    folder = Path(os.environ.get("DIFY_EXPORTER_SHARED") or ROOT.parent / "shared")
    return folder if (folder / "dify" / "dify-1.12.1.sql.gz").exists() else None


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    program("prometheus")
    with _scraping(tmp_path_factory.mktemp("whole"), _folder_of_recordings(), 1) as found:
        yield found


@pytest.fixture(scope="module")
def half_proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """The demo's recording with every second record of the vendor's log."""
    program("prometheus")
    with _scraping(tmp_path_factory.mktemp("half"), None, 2) as found:
        yield found


@contextmanager
def _scraping(folder: Path, shared: Path | None, one_record_of: int) -> Iterator[Scraped]:
    with ExitStack() as stack:
        hour = stack.enter_context(recorded_hour(folder, shared, one_record_of=one_record_of))
        storage = write_blocks(folder, hour.openmetrics())
        server = WebServer(
            build_app(hour.app.store, Readiness, WebSettings(), ("sink", "ledger"), clock=hour.app.now)  # type: ignore[call-arg]
        )
        port = server.start("127.0.0.1", 0)
        stack.callback(server.stop)
        config = _quick_configuration(folder, f"127.0.0.1:{port}")
        yield Scraped(hour, stack.enter_context(running(config, storage)), f"127.0.0.1:{port}")


def _quick_configuration(folder: Path, target: str) -> Path:
    """The configuration that Compose uses, with this target, these rules, and a second instead of a minute."""
    config = yaml.safe_load((ROOT / "dashboards" / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    config["rule_files"] = [str(_quick_rules(folder, Path(name).name)) for name in config["rule_files"]]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


def _quick_rules(folder: Path, name: str) -> Path:
    rules = yaml.safe_load((ROOT / "dashboards" / name).read_text("utf-8"))
    for group in rules["groups"]:
        group["interval"] = "1s"
    (folder / name).write_text(yaml.safe_dump(rules), "utf-8")
    return folder / name


def value(scraped: Scraped, board: str, title: str, letter: str = "A") -> float:
    """The one number that this panel shows for the hour."""
    found = answered(scraped, board, title, letter)
    assert len(found) == 1, f"{title}: {found}"
    return found[0][1]


def answered(
    scraped: Scraped, board: str, title: str, letter: str = "A"
) -> list[tuple[dict[str, str], float]]:
    expression = boards.target_of(board, title, letter).target["expr"]
    return scraped.prometheus.at(boards.filled(expression, SECONDS), END)


def by(scraped: Scraped, board: str, title: str, *labels: str, letter: str = "A") -> dict[Any, float]:
    """The panel's numbers by label values, those of zero left out."""
    return {
        tuple(found[label] for label in labels) if len(labels) > 1 else found[labels[0]]: amount
        for found, amount in answered(scraped, board, title, letter)
        if amount
    }


# ── every query ──


@pytest.mark.parametrize("item", boards.targets(), ids=str)
def test_every_query_is_answered_over_an_hour_of_traffic(scraped: Scraped, item: Target) -> None:
    found = _numbers(scraped, item, boards.EVERYTHING, BEGIN.timestamp(), END)
    may_be_empty = item.panel["fieldConfig"]["defaults"].get("noValue") and (
        ABSENT_UNTIL_LATER.search(item.target["expr"]) or "_cost_total" in item.target["expr"]
    )
    assert may_be_empty or any(not math.isnan(number) for number in found)


@pytest.mark.parametrize("item", boards.targets(), ids=str)
def test_every_query_takes_chosen_values(scraped: Scraped, item: Target) -> None:
    call = next(call for call in scraped.hour.exported if call["readings"]["vendor"])
    chosen = {
        **boards.EVERYTHING,
        "instance": "dify-exporter:9464",
        "app": re.escape(call["app_name"]).replace("\\", "\\\\"),
        "provider": call["provider"],
        "model": re.escape(call["model"]).replace("\\", "\\\\"),
    }
    _numbers(scraped, item, chosen, BEGIN.timestamp(), END)


@pytest.mark.parametrize("item", boards.targets(), ids=str)
def test_no_panel_of_a_fresh_exporter_is_empty_without_a_word(scraped: Scraped, item: Target) -> None:
    """Just after the very first scrape, of an exporter that has met nothing yet."""
    first = BEGIN.timestamp()
    found = _numbers(scraped, item, boards.EVERYTHING, first - 60, first + STEP_SECONDS / 2)
    assert found or item.panel["fieldConfig"]["defaults"].get("noValue")


def _numbers(scraped: Scraped, item: Target, values: dict[str, str], start: float, end: float) -> list[float]:
    seconds = max(60, round(end - start))
    expression = boards.filled(item.target["expr"], seconds, values)
    if item.target.get("instant"):
        return [number for _, number in scraped.prometheus.at(expression, end)]
    rows = scraped.prometheus.over(expression, start, end, 30)
    return [number for _, numbers in rows for number in numbers]


VARIABLES = [
    pytest.param(board, name, id=f"{board}: {name}")
    for board in boards.BOARDS
    for name, item in boards.variables(board).items()
    if item["type"] == "query"
]


@pytest.mark.parametrize(("board", "name"), VARIABLES)
def test_every_variable_finds_its_values(scraped: Scraped, board: str, name: str) -> None:
    query = boards.variables(board)[name]["query"]["query"]
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found is not None, query
    selector = boards.filled(found[1], SECONDS)
    asked = {"match[]": selector, "start": BEGIN.timestamp(), "end": END}
    values = set(scraped.prometheus.get(f"label/{found[2]}/values", asked))
    expected = {
        "instance": {"dify-exporter:9464"},
        "app": {call["app_name"] for call in scraped.hour.exported},
        "provider": {call["provider"] or "unknown" for call in scraped.hour.exported},
        "model": {call["model"] or "unknown" for call in scraped.hour.exported},
        "currency": {
            reading["currency"]
            for call in scraped.hour.exported
            for reading in call["readings"].values()
            if reading and reading["cost"] is not None
        },
    }[name]
    assert expected <= values
    assert name != "instance" or values == expected


# ── the numbers, against sums over the calls ──


def tokens(calls: list[dict[str, Any]], name: str) -> int:
    """Input and output of one reading over these calls."""
    return sum(
        call["readings"][name][part] or 0 for call in calls if call["readings"][name] for part in DIRECTIONS
    )


def proven(hour: Hour) -> list[dict[str, Any]]:
    """The calls with a vendor's own number."""
    return [call for call in hour.exported if (call["readings"]["vendor"] or {}).get("independent")]


def test_the_three_readings_are_the_sums_over_the_calls(scraped: Scraped) -> None:
    hour = scraped.hour
    assert value(scraped, "readings", "Dify recorded") == tokens(hour.exported, "dify")
    assert value(scraped, "readings", "Local count") == tokens(hour.exported, "local")
    assert value(scraped, "readings", "Vendor billed") == tokens(proven(hour), "vendor")
    assert tokens(proven(hour), "vendor") > 0


def test_the_gap_is_that_of_the_calls_with_evidence_alone(scraped: Scraped) -> None:
    hour = scraped.hour
    gap = tokens(proven(hour), "vendor") - tokens(proven(hour), "dify")
    assert value(scraped, "readings", "Gap") == gap
    assert value(scraped, "readings", "Gap, of Dify's number") == pytest.approx(
        gap / tokens(proven(hour), "dify")
    )
    share = sum(call["verdict"] in ("agree", "explained", "unexplained") for call in hour.exported)
    assert value(scraped, "readings", "Calls with evidence") == pytest.approx(share / len(hour.exported))


def test_calls_without_evidence_are_no_gap(half_proven: Scraped) -> None:
    """Half of the vendor's log is missing: the vendor's sum is far below Dify's, and still the gap is that of the known calls."""
    hour = half_proven.hour
    known = proven(hour)
    gap = tokens(known, "vendor") - tokens(known, "dify")
    assert 0 < len(known) < len(hour.exported) * 0.9
    assert tokens(hour.exported, "dify") > tokens(known, "dify")
    assert value(half_proven, "readings", "Dify recorded") == tokens(hour.exported, "dify")
    assert value(half_proven, "readings", "Gap") == gap
    steps = by(half_proven, "causes", "Step by step", "step")
    rest = sum(
        call["unexplained"][part] or 0 for call in hour.exported if call["unexplained"] for part in DIRECTIONS
    )
    assert steps["1  Dify recorded"] == tokens(known, "dify")
    assert steps.get("4  not explained", 0) == rest
    models = {call["model"] for call in hour.exported if call["model"]}
    whole = {
        model for model in models if all(call in known for call in hour.exported if call["model"] == model)
    }
    shown = by(half_proven, "models", "By model", "model", letter="F")
    assert set(shown) <= whole


@pytest.mark.parametrize(
    ("title", "label", "field"), [("By app", "app", "app_name"), ("By model", "model", "model")]
)
def test_the_tables_are_the_sums_of_each_app_and_model(
    scraped: Scraped, title: str, label: str, field: str
) -> None:
    def expected(
        amount: Callable[[list[dict[str, Any]]], float], calls: list[dict[str, Any]]
    ) -> dict[str, float]:
        names = {call[field] or "unknown" for call in calls}
        sums = {
            name: amount([call for call in calls if (call[field] or "unknown") == name]) for name in names
        }
        return {name: total for name, total in sums.items() if total}

    hour = scraped.hour
    columns = {
        "A": expected(len, hour.exported),
        "C": expected(lambda calls: tokens(calls, "dify"), hour.exported),
        "D": expected(lambda calls: tokens(calls, "local"), hour.exported),
        "E": expected(lambda calls: tokens(calls, "vendor"), proven(hour)),
        "F": expected(lambda calls: tokens(calls, "vendor") - tokens(calls, "dify"), proven(hour)),
    }
    for letter, wanted in columns.items():
        assert by(scraped, "readings", title, label, letter=letter) == wanted, letter


def test_the_largest_gaps_are_ranked(scraped: Scraped) -> None:
    gaps: Counter[str] = Counter()
    for call in proven(scraped.hour):
        gaps[call["app_name"]] += tokens([call], "vendor") - tokens([call], "dify")
    largest = sorted((abs(gap) for gap in gaps.values() if gap), reverse=True)[:10]
    shown = by(scraped, "readings", "Apps with the largest gap", "app")
    assert sorted(shown.values(), reverse=True) == largest
    assert all(shown[name] == abs(gaps[name]) for name in shown)


def test_verdicts_are_those_of_the_calls(scraped: Scraped) -> None:
    assert by(scraped, "readings", "Verdicts now", "verdict") == Counter(
        call["verdict"] for call in scraped.hour.exported
    )


def found_by_cause(calls: list[dict[str, Any]], sign: int) -> Counter[str]:
    """Tokens of the findings with that sign, as a positive number."""
    sums: Counter[str] = Counter()
    for call in calls:
        for finding in call["findings"]:
            for part in DIRECTIONS:
                if finding[part] * sign > 0:
                    sums[finding["code"]] += abs(finding[part])
    return sums


def test_the_steps_lead_from_difys_number_to_the_vendors(scraped: Scraped) -> None:
    hour = scraped.hour
    steps = by(scraped, "causes", "Step by step", "step")
    more, less = found_by_cause(hour.exported, +1), found_by_cause(hour.exported, -1)
    expected = {
        "1  Dify recorded": tokens(proven(hour), "dify"),
        **{f"2  + {code}": amount for code, amount in more.items()},
        **{f"3  − {code}": -amount for code, amount in less.items()},
        "5  vendor billed": tokens(proven(hour), "vendor"),
    }
    assert {name: amount for name, amount in steps.items() if name != "4  not explained"} == expected
    first_to_fourth = sum(amount for name, amount in steps.items() if not name.startswith("5"))
    assert first_to_fourth == steps["5  vendor billed"]


def test_sums_of_findings_are_those_of_the_calls(scraped: Scraped) -> None:
    hour = scraped.hour
    assert value(scraped, "causes", "Not recorded by Dify") == found_by_cause(hour.exported, +1).total()
    assert value(scraped, "causes", "Recorded too much") == found_by_cause(hour.exported, -1).total()
    hidden = sum(n for code, n in found_by_cause(hour.exported, +1).items() if code.startswith("hidden_"))
    assert value(scraped, "causes", "Hidden calls") == hidden > 0
    rest = sum(
        abs(call["unexplained"][part] or 0)
        for call in hour.exported
        if call["unexplained"]
        for part in DIRECTIONS
    )
    assert value(scraped, "causes", "Not explained") == rest


def test_the_boards_say_what_the_report_says(scraped: Scraped) -> None:
    """The report covers also the requests that belong to no trace; these are the only difference."""
    hour = scraped.hour
    window = read_window("2026-11-01", "2026-12-01", "UTC", 0)
    with hour.app.store.read() as connection:
        question = reports.Question(window, ("app", "model"), 5.0, hour.app.now())
        report = reports.build(connection, hour.app.settings, question)
    lone = [call for call in hour.calls if call not in hour.exported]
    for name, title in (("dify", "Dify recorded"), ("local", "Local count")):
        told = sum(report["total"][name][part] for part in DIRECTIONS)
        assert value(scraped, "readings", title) == told - tokens(lone, name)
    signed: Counter[str] = Counter(found_by_cause(hour.exported, +1))
    signed.subtract(found_by_cause(hour.exported, -1))
    for code, amount in _signed(lone).items():
        signed[code] += amount
    told_by_code = {
        step["code"]: step["input"] + step["output"]
        for step in report["waterfall"]
        if step["step"] == "finding"
    }
    assert {code: n for code, n in signed.items() if n} == {code: n for code, n in told_by_code.items() if n}


def _signed(calls: list[dict[str, Any]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for call in calls:
        for finding in call["findings"]:
            sums[finding["code"]] += finding["input"] + finding["output"]
    return sums


@pytest.mark.parametrize(
    ("title", "name"), [("Dify's money", "dify"), ("Local money", "local"), ("Vendor's money", "vendor")]
)
def test_money_is_the_sum_of_the_calls_per_currency(scraped: Scraped, title: str, name: str) -> None:
    sums: Counter[str] = Counter()
    for call in proven(scraped.hour) if name == "vendor" else scraped.hour.exported:
        reading = call["readings"][name]
        if reading and reading["cost"] is not None:
            sums[reading["currency"]] += float(reading["cost"])  # type: ignore[assignment]
    shown = by(scraped, "reconciliation", title, "currency")
    assert shown == pytest.approx({currency: amount for currency, amount in sums.items() if amount})


# ── the copy of the ledger in PostgreSQL ──


def rows(hour: Hour, title: str, app: str = ".*") -> list[dict[str, Any]]:
    """What the panel shows, its SQL filled in as Grafana's PostgreSQL source does it."""
    statement = boards.target_of("reconciliation", title).target["rawSql"]
    span = "started_at BETWEEN '2026-11-01T00:00:00Z' AND '2026-12-01T00:00:00Z'"
    text = statement.replace("$__timeFilter(started_at)", span).replace("${app:regex}", app)
    text = re.sub(r"\$\{(provider|model):regex\}", ".*", text)
    with psycopg.connect(hour.ledger_url, row_factory=dict_row) as connection:
        return connection.execute(text.encode()).fetchall()


def test_the_table_by_day_is_the_sum_of_the_calls_of_each_day(scraped: Scraped) -> None:
    days: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in scraped.hour.exported:
        days[call["started_at"][:10]].append(call)
    shown = {row["day"]: row for row in rows(scraped.hour, "By day")}
    assert set(shown) == set(days)
    for day, calls in days.items():
        known = [call for call in calls if call in proven(scraped.hour)]
        row = shown[day]
        assert (row["calls"], row["with_evidence"]) == (len(calls), len(known))
        assert (row["dify"], row["local"]) == (tokens(calls, "dify"), tokens(calls, "local"))
        assert (row["vendor"], row["gap"]) == (
            tokens(known, "vendor"),
            tokens(known, "vendor") - tokens(known, "dify"),
        )


def test_money_by_day_is_that_of_the_calls(scraped: Scraped) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for call in scraped.hour.exported:
        reading = call["readings"]["dify"]
        if reading and reading["cost"] is not None:
            sums[call["started_at"][:10], reading["currency"]] += Decimal(reading["cost"])  # type: ignore[assignment]
    shown = {(row["day"], row["currency"]): row["dify"] for row in rows(scraped.hour, "Money by day")}
    assert {key: amount for key, amount in shown.items() if amount is not None} == sums


def test_the_calls_are_listed_the_largest_gap_first_and_can_be_narrowed_to_one_app(scraped: Scraped) -> None:
    shown = rows(scraped.hour, "Calls, the largest gap first")
    assert len(shown) == len(scraped.hour.exported)
    gaps = [abs(row["gap"] or 0) for row in shown]
    assert gaps == sorted(gaps, reverse=True)
    assert {row["trace"] for row in shown} == {call["trace_id"] for call in scraped.hour.exported}
    name = scraped.hour.exported[0]["app_name"]
    one = rows(scraped.hour, "Calls, the largest gap first", re.escape(name))
    assert {row["app"] for row in one} == {name}
    assert rows(scraped.hour, "Calls, the largest gap first", "no app's name") == []


# ── the live exporter: scrape, exemplars, rules ──


def test_a_scraped_exporter_is_up_and_its_exemplars_are_its_traces(scraped: Scraped) -> None:
    up = scraped.prometheus.until("query", lambda data: bool(data["result"]), {"query": "up"})["result"]
    assert {item["metric"]["instance"] for item in up} == {scraped.live}
    assert [item["value"][1] for item in up] == ["1"]
    now = float(up[0]["value"][0])
    asked = {"query": "dify_discrepancy_ratio_bucket", "start": BEGIN.timestamp() - 10**7, "end": now + 60}
    known = {call["trace_id"] for call in scraped.hour.exported}
    told = scraped.prometheus.get("query_exemplars", asked)
    traces = {item["labels"]["trace_id"] for series in told for item in series["exemplars"]}
    assert traces
    assert traces <= known


def test_links_lead_to_pages_that_the_exporter_has(scraped: Scraped) -> None:
    """Grafana's link variables replaced as Grafana does it."""
    call = next(call for call in proven(scraped.hour) if call["model"])
    values = {"app": call["app_name"], "model": call["model"], "Trace": call["trace_id"]}
    values = {**values, "App": values["app"], "Model": values["model"]}
    text = "".join(json.dumps(board) for board in boards.BOARDS.values())
    links = {json.loads(f'"{link}"') for link in re.findall(r'"url": "(\$\{page\}(?:\\"|[^"])*)"', text)}
    kinds = {link.removeprefix("${page}").partition("?")[0].partition("$")[0] for link in links}
    assert kinds == {"/traces", "/traces/"}
    for link in links:
        address = re.sub(
            r"\$\{(?:__field\.labels\.(\w+)|__data\.fields\[\"(\w+)\"\])(?::percentencode)?\}",
            lambda found: quote(values[found[1] or found[2]], safe=""),
            link.replace("${page}", f"http://{scraped.live}"),
        )
        assert "$" not in address, link
        answer = requests.get(address, timeout=60)
        assert answer.status_code == 200, address
        if "app=" in address:
            assert html.escape(call["app_name"]) in answer.text


def test_every_rule_is_evaluated_without_an_error(scraped: Scraped) -> None:
    data = scraped.prometheus.until(
        "rules",
        lambda data: all(rule["health"] != "unknown" for group in data["groups"] for rule in group["rules"]),
    )
    rules = [rule for group in data["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert sum(rule["type"] == "recording" for rule in rules) >= 7
    assert sum(rule["type"] == "alerting" for rule in rules) >= 12
    wanted = {
        rule["name"] for rule in rules
        if rule["type"] == "recording" and "ratio" not in rule["name"]
    }  # fmt: skip
    scraped.prometheus.until(
        "query",
        lambda data: wanted <= {item["metric"]["__name__"] for item in data["result"]},
        {"query": 'count by (__name__) ({__name__=~"[a-z_]+:dify.+"})'},
    )
