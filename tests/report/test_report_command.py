"""The report as a user asks for it: odd names, odd windows, and what is not known."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from exporter.cli import app as program
from exporter.clock import rfc3339
from exporter.model import AssessedTrace, Confidence, Finding, Micros, Tokens, Verdict
from exporter.state import buckets
from exporter.state.store import Store
from exporter.vendor.pullers.base import Bucket
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

DAY = 86_400 * SECOND


def ask(state: Path, *more: str) -> Result:
    return CliRunner().invoke(program, ["--state", str(state), "report", *more])


def around(moment: Micros) -> list[str]:
    return ["--since", rfc3339(moment - DAY), "--until", rfc3339(moment + DAY), "--zone", "UTC"]


def plain(text: str) -> str:
    """Without the frame around messages, and in one line."""
    return " ".join(re.sub("[╭╮╰╯│─]", " ", text).split())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One call of an app with an odd name, of which the vendor was not heard."""
    store = Store(tmp_path / "state.db")
    keep(store, build_trace(1, app="[prod] b[/b]ot", started_at=NOON, calls=[{"vendor": None}]))
    store.close()
    return store.path


def test_brackets_in_a_name_are_shown_as_they_are(state: Path) -> None:
    done = ask(state, *around(NOON), "--by", "app")
    assert done.exit_code == 0, done.output
    assert "[prod]" in done.stdout
    assert "b[/b]ot" in done.stdout


def test_a_reading_that_nobody_told_is_an_empty_cell_and_a_dash_and_no_0(state: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(ask(state, *around(NOON), "--csv").stdout))
    assert (row["dify_input"], row["vendor_input"], row["vendor_output"]) == ("12", "", "")
    text = ask(state, *around(NOON)).stdout
    assert "0 → 0" not in text
    assert "; no vendor's number to hold it against\n" in text  # and no tolerance, where nothing is judged
    assert "0 / 0" not in ask(state, *around(NOON), "--html", "-").stdout.split("<h2>By App")[1]


@pytest.mark.parametrize(
    "window",
    [
        ["--month", "9999-12"],
        ["--month", "2026-13"],
        ["--since", "0206-11-01"],
        ["--since", "0001-01-01", "--zone", "+08:00"],
    ],
)
def test_a_time_that_is_a_slip_of_the_pen_is_refused(state: Path, window: list[str]) -> None:
    done = ask(state, *window)
    assert (done.exit_code, "expected a" in plain(done.output)) == (2, True), done.output


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (["--since", "yesterday"], "--since: 'yesterday' is not a time; expected a day such as 2026-11-23"),
        (["--until", "2026-13-01"], "--until: '2026-13-01' is not a time"),
        (["--since", "2026-11-23", "--until", "2026-11-22"], "--since 2026-11-23 is not before --until 2026-11-22"),
        (["--since", "2098-01-01"], "--since 2098-01-01 lies in the future"),
        (["--month", "2026-11", "--since", "2026-11-02"], "--month stands for --since and --until"),
        (["--zone", "Mars/Olympus"], "unknown time zone 'Mars/Olympus'"),
        (["--by", "colour"], "colour is none of"),
        (["--tolerance", "inf"], "inf is no share in percent"),
        (["--json", "--csv"], "--json and --csv would be printed into one another"),
        (["--html", "-", "--json"], "--json and --html - would be printed into one another"),
        (["--lang", "zh"], "--lang is of the page that --html writes"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_usage_error_that_says_why(
    state: Path, window: list[str], words: str
) -> None:
    done = ask(state, *window)
    assert (done.exit_code, words in plain(done.output)) == (2, True), done.output
    assert "settings" not in done.output


def test_an_offset_in_a_time_is_heard(state: Path) -> None:
    """Noon of UTC is eight in the evening at +08:00."""
    for since, calls in (
        ("2026-11-23T20:00:00+08:00", 1),
        ("2026-11-23T20:00:01+08:00", 0),
        ("2026-11-23T12:00:00", 1),
    ):
        done = ask(state, "--since", since, "--until", "2026-11-24", "--zone", "UTC", "--json")
        assert json.loads(done.stdout)["total"]["calls"] == calls, since


def test_a_page_is_written_beside_what_is_printed(state: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = ask(state, *around(NOON), "--json", "--html", str(page))
    assert json.loads(done.stdout)["total"]["calls"] == 1
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert f"written: {page}" in done.stderr
    away = ask(state, *around(NOON), "--html", str(tmp_path / "no" / "folder.html"))
    assert (away.exit_code, "cannot be written" in plain(away.output)) == (2, True)


def test_an_empty_ledger_has_a_report_in_every_form(tmp_path: Path) -> None:
    Store(tmp_path / "empty.db").close()
    for form in ([], ["--json"], ["--csv"], ["--html", "-"], ["--html", "-", "--lang", "zh"]):
        done = ask(tmp_path / "empty.db", *around(NOON), *form)
        assert done.exit_code == 0, done.output
    assert "The ledger has no such call in this window." in ask(tmp_path / "empty.db", *around(NOON)).stdout


def of_app(
    trace: AssessedTrace, app_id: str, name: str, workspace: tuple[str, str] = ("w-1", "Team A")
) -> AssessedTrace:
    app = replace(trace.trace.app, id=app_id, name=name, tenant_id=workspace[0], tenant_name=workspace[1])
    return replace(trace, trace=replace(trace.trace, app=app))


HELPDESK, HELPDESK_COPY = "1a2b3c4d-0000-4000-8000-000000000001", "9f8e7d6c-0000-4000-8000-000000000002"


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    """Two apps called Helpdesk with one and two calls, and one that was called Shop and is called Store now."""
    store = Store(tmp_path / "apps.db")
    keep(
        store,
        of_app(build_trace(1, started_at=NOON), HELPDESK, "Helpdesk"),
        of_app(build_trace(2, started_at=NOON + SECOND, calls=[{}, {}]), HELPDESK_COPY, "Helpdesk"),
        of_app(build_trace(3, started_at=NOON - 3600 * SECOND), "shop", "Shop"),
        of_app(build_trace(4, started_at=NOON, calls=[{"model": "gpt-4o"}]), "shop", "Store"),
    )
    store.close()
    return store.path


def rows(state: Path, *more: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ask(state, *around(NOON), "--csv", *more).stdout)))


def test_two_apps_of_one_name_stay_two_and_are_told_apart(apps: Path) -> None:
    shown = {row["app"]: (row["calls"], row["app_id"]) for row in rows(apps, "--by", "app")}
    assert shown == {
        "Helpdesk (1a2b3c4d)": ("1", HELPDESK), "Helpdesk (9f8e7d6c)": ("2", HELPDESK_COPY), "Store": ("2", "shop"),
    }  # fmt: skip
    text = ask(apps, *around(NOON)).stdout
    assert "Helpdesk (1a2b3c4d)" in text
    assert "Helpdesk (9f8e7d6c)" in text


def test_apps_of_one_name_in_two_workspaces_are_told_apart_by_these(tmp_path: Path) -> None:
    store = Store(tmp_path / "two.db")
    keep(
        store,
        of_app(build_trace(1, started_at=NOON), HELPDESK, "Helpdesk"),
        of_app(build_trace(2, started_at=NOON), HELPDESK_COPY, "Helpdesk", ("w-2", "Team B")),
    )
    store.close()
    assert {row["app"] for row in rows(store.path, "--by", "app")} == {
        "Helpdesk (Team A, 1a2b3c4d)", "Helpdesk (Team B, 9f8e7d6c)",
    }  # fmt: skip


def test_an_app_is_asked_for_by_its_id_its_name_and_the_name_it_had(apps: Path) -> None:
    for asked_for, calls in ((HELPDESK, 1), ("Helpdesk", 3), ("Store", 2), ("Shop", 2)):
        document = json.loads(ask(apps, *around(NOON), "--app", asked_for, "--json").stdout)
        assert document["total"]["calls"] == calls, asked_for


def test_an_app_or_model_that_was_never_seen_is_told_with_those_that_are_near(apps: Path) -> None:
    for asked_for, words in (
        (["--app", "helpdsk"], "no app 'helpdsk' was ever seen; there is 'Helpdesk'"),
        (["--model", "gpt4o"], "no model 'gpt4o' was ever seen; there is 'gpt-4o'"),
    ):
        done = ask(apps, *around(NOON), *asked_for)
        assert (done.exit_code, words in plain(done.output)) == (2, True), done.output


def test_a_report_on_one_app_or_model_holds_nothing_of_the_others(tmp_path: Path) -> None:
    """Each app has a call that runs over the window's start; a bill has stretches and a day that was told otherwise before."""
    store = Store(tmp_path / "cut.db")
    edge = NOON - DAY - SECOND // 2
    keep(
        store,
        of_app(build_trace(1, started_at=edge, calls=[{"dify": (10, 1)}]), HELPDESK, "Helpdesk"),
        of_app(
            build_trace(2, started_at=edge, calls=[{"dify": (200, 2), "model": "gpt-4o"}]), "shop", "Shop"
        ),
    )
    day = Bucket("bill", NOON - DAY, NOON, "gpt-4o", None, Tokens(5, 5))
    with store.transaction("test") as connection:
        buckets.put(connection, [day], NOON)
        buckets.put(connection, [replace(day, tokens=replace(day.tokens, input=9))], NOON + SECOND)
    store.close()
    whole = json.loads(ask(store.path, *around(NOON), "--json").stdout)
    assert (whole["borders"]["since"]["calls"], len(whole["bill_stretches"]), len(whole["bill_changes"])) == (
        2,
        1,
        1,
    )
    for only in (["--app", "Shop"], ["--model", "gpt-4o"]):
        one = json.loads(ask(store.path, *around(NOON), "--json", *only).stdout)
        assert one["borders"]["since"] == {"calls": 1, "input": 200, "output": 2}
        assert (one["bills"], one["bill_stretches"], one["bill_changes"]) == ([], [], [])
    text = plain(ask(store.path, *around(NOON), "--app", "Shop").stdout)
    assert "Only the app Shop; bills and the traffic of others are left out." in text
    assert "bill tells nothing after" not in text
    assert "Only: App Shop." in ask(store.path, *around(NOON), "--app", "Shop", "--html", "-").stdout


def test_csv_has_the_money_of_each_cause_and_nothing_where_nobody_can_tell_it(tmp_path: Path) -> None:
    def caused(code: str, tokens: int, cost: str | None) -> dict[str, object]:
        finding = Finding(
            code, tokens, 0, Confidence.CERTAIN, "seen", "do", None if cost is None else usd(cost)
        )
        return {"vendor": (12 + tokens, 7), "findings": (finding,), "verdict": Verdict.EXPLAINED}

    store = Store(tmp_path / "money.db")
    keep(
        store,
        build_trace(
            1, app="a", calls=[caused("retry_billed", 12, "0.00003"), caused("price_differs", 0, "-0.5")]
        ),
        build_trace(2, app="b", calls=[caused("retry_billed", 4, None)]),
    )
    store.close()
    a, b = sorted(rows(store.path, "--by", "app"), key=lambda row: row["app"])
    assert (a["finding_retry_billed"], a["finding_retry_billed_cost_USD"]) == ("12", "0.00003")
    assert (a["finding_price_differs_cost_USD"], "finding_price_differs" in a) == ("-0.5", False)
    assert (b["finding_retry_billed"], b["finding_retry_billed_cost_USD"]) == ("4", "")
    assert b["finding_price_differs_cost_USD"] == "0"


def test_an_amount_too_small_for_four_digits_is_not_shown_as_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "small.db")
    keep(store, build_trace(1, calls=[{"cost": usd("0.0000061"), "vendor_cost": usd("12.3456789")}]))
    store.close()
    for form in ([], ["--html", "-"]):
        text = ask(store.path, *around(NOON), *form).stdout
        assert "0.0000061 USD" in text
        assert "12.3457 USD" in text
