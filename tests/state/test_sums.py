"""The quarter-hour sums equal what the ledger's calls add up to, whatever was corrected and wherever a window is cut."""

from __future__ import annotations

import sqlite3
from collections import Counter
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.model import Confidence, Finding, Verdict
from exporter.state import migrations, sums
from exporter.state.prune import prune
from exporter.state.store import Store
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

MINUTE = 60 * SECOND
RETRY = Finding(
    "retry_billed", 120, 3, Confidence.CERTAIN, "two requests", "look at retries", usd("0.0000123")
)


def ledger_of_an_hour(store: Store) -> None:
    """Seven calls, one every nine minutes, of two apps, each kind of reading there and absent."""
    calls: list[dict[str, object]] = [
        {"cost": usd("0.0000061"), "vendor_cost": usd("0.0000062")},
        {"vendor": (132, 10), "findings": (RETRY,), "verdict": Verdict.EXPLAINED},
        {"vendor": None, "verdict": Verdict.UNVERIFIED},
        {"dify": None, "vendor": (5, 4), "verdict": Verdict.UNEXPLAINED},
        {"vendor": (12, 7), "independent": False, "verdict": Verdict.UNVERIFIED},
        {"local": None, "model": None, "provider": None},
        {"dify": (100, 50), "vendor": (90, 50), "verdict": Verdict.UNEXPLAINED, "model": "qwen-plus"},
    ]
    for number, call in enumerate(calls):
        app = "Support chat" if number % 2 else "Search"
        keep(store, build_trace(number + 1, app=app, started_at=NOON + number * 9 * MINUTE, calls=[call]))


def ledger_of_two_days(store: Store) -> None:
    """A call every 47 minutes, of two apps and two models."""
    for number in range(62):
        call: dict[str, object] = {
            "vendor": (12 + number, 7), "verdict": Verdict.UNEXPLAINED, "model": "gpt-4o" if number % 3 else "qwen-plus",
        }  # fmt: skip
        app, started_at = ("Search", "Support chat")[number % 2], NOON + number * 47 * MINUTE
        keep(store, build_trace(number + 1, app=app, started_at=started_at, calls=[call]))


def added_up(store: Store, since: int, until: int) -> dict[str, int]:
    """The same from the stored calls, written out once more."""
    found: Counter[str] = Counter()
    with store.read() as connection:
        rows = connection.execute("SELECT started_at, document FROM calls").fetchall()
    for started_at, text in rows:
        document = orjson.loads(text)
        if not since <= started_at < until:
            continue
        found["calls"] += 1
        for name in ("dify", "local", "vendor"):
            reading = document["readings"][name]
            if reading is not None and (name != "vendor" or reading["independent"]):
                found[f"{name}.input"] += reading["input"]
                found[f"{name}.output"] += reading["output"]
        for finding in document["findings"]:
            found["findings.input"] += finding["input"]
        if document["unexplained"]:
            found["unexplained.input"] += document["unexplained"]["input"]
    return {name: value for name, value in found.items() if value}


def total_of(store: Store, since: int, until: int) -> Counter[str]:
    with store.read() as connection:
        total: Counter[str] = Counter()
        for values in sums.between(connection, since, until).values():
            total.update(values)
    return total


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("sums") / "state.db")
    ledger_of_an_hour(store)
    return store


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("long") / "state.db")
    ledger_of_two_days(store)
    return store


@given(st.integers(-300, 3000), st.integers(0, 3300))
@example(0, 48 * 60)  # of whole blocks
@example(240, 240)
@example(-480, 24 * 60)  # a day of UTC+8
def test_a_window_of_many_hours_adds_up_to_the_calls_in_it(long: Store, first: int, minutes: int) -> None:
    since, until = NOON + first * MINUTE, NOON + (first + minutes) * MINUTE
    total, expected = total_of(long, since, until), added_up(long, since, until)
    for name in ("calls", "dify.input", "local.output", "vendor.input", "unexplained.input"):
        assert total[name] == expected.get(name, 0), name


@pytest.mark.parametrize("minutes", [0, 1, 15, 240, 247, 255, 470, 480, 1441])
def test_what_is_pruned_is_in_no_window_however_long(minutes: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    ledger_of_two_days(store)
    cut = NOON + minutes * MINUTE
    with store.transaction("test") as connection:
        sums.prune(connection, cut)
    for until in (NOON + 3000 * MINUTE, NOON + 48 * 60 * MINUTE, cut - cut % sums.BLOCK + sums.BLOCK):
        total = total_of(store, NOON - 300 * MINUTE, until)
        expected = added_up(store, cut - cut % sums.QUARTER, until)
        assert (total["calls"], total["vendor.input"]) == (expected["calls"], expected["vendor.input"])


@given(st.integers(-20, 80), st.integers(0, 100))
def test_every_window_adds_up_to_the_calls_in_it(filled: Store, first: int, minutes: int) -> None:
    since, until = NOON + first * MINUTE, NOON + (first + minutes) * MINUTE
    total = total_of(filled, since, until)
    expected = added_up(filled, since, until)
    for name in ("calls", "dify.input", "dify.output", "local.output", "vendor.input", "unexplained.input"):
        assert total[name] == expected.get(name, 0), name


def test_difference_of_judged_calls_is_findings_and_rest(filled: Store) -> None:
    total = total_of(filled, NOON, NOON + 60 * MINUTE)
    for part in ("input", "output"):
        difference = total[f"verified.vendor.{part}"] - total[f"verified.dify.{part}"]
        assert difference == total[f"finding.retry_billed.{part}"] + total[f"unexplained.{part}"]
    assert total["verified.calls"] == 5


def test_a_correction_takes_back_what_was_said_before(store: Store) -> None:
    keep(store, build_trace(1, calls=[{"vendor": None, "verdict": Verdict.PENDING}]), exported=False)
    keep(store, build_trace(1, calls=[{"vendor": (30, 7), "verdict": Verdict.UNEXPLAINED}]))
    keep(store, build_trace(1, calls=[{"vendor": (12, 7)}]))
    total = total_of(store, NOON - MINUTE, NOON + MINUTE)
    assert {name: total[name] for name in ("calls", "verdict.agree", "verdict.pending", "unexplained.input")} == {
        "calls": 1, "verdict.agree": 1, "verdict.pending": 0, "unexplained.input": 0,
    }  # fmt: skip
    assert total["vendor.input"] == 12
    with store.read() as connection:
        assert connection.execute("SELECT gap FROM traces").fetchone() == (0,)


def test_money_is_kept_to_a_tenth_of_a_nano(filled: Store) -> None:
    total = total_of(filled, NOON, NOON + 60 * MINUTE)
    assert sums.money(total["dify.cost.USD"]) == Decimal("0.0000061")
    assert sums.money(total["finding.retry_billed.cost.USD"]) == Decimal("0.0000123")


def test_sums_outlive_the_calls_they_came_from(filled: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    ledger_of_an_hour(store)
    before = total_of(store, NOON, NOON + 60 * MINUTE)
    with store.transaction("test") as connection:
        connection.execute(
            "INSERT INTO records SELECT kind, record_id, created_at, 'done', 0, 1, NULL, 0 FROM traces"
        )
        assert prune(connection, NOON + 90 * MINUTE) == 7
    assert total_of(store, NOON, NOON + 60 * MINUTE) == before
    with store.transaction("test") as connection:
        sums.prune(connection, NOON + 30 * MINUTE)
    assert total_of(store, NOON, NOON + 60 * MINUTE)["calls"] == 3


def test_a_state_file_without_sums_gets_them_from_its_ledger(filled: Store, tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    steps = Path(migrations.__file__).with_name("steps")
    for name in ("0001_first.sql", "0002_evidence.sql"):
        old.executescript((steps / name).read_text(encoding="utf-8"))
    old.execute("ATTACH ? AS new", (str(filled.path),))
    columns = [row[1] for row in old.execute("PRAGMA main.table_info(traces)")]
    old.execute(f"INSERT INTO traces SELECT {', '.join(columns)} FROM new.traces")
    old.execute("INSERT INTO calls SELECT * FROM new.calls")
    old.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
    old.execute("PRAGMA user_version = 2")
    old.close()
    taken_over = Store(tmp_path / "old.db")
    with taken_over.read() as found, filled.read() as expected:
        for table in ("sums", "sum_blocks"):
            query = (
                "SELECT starts_at, app_name, workspace_id, model, measure, value"
                f" FROM {table} JOIN sum_groups ON id = group_id WHERE value != 0 ORDER BY 1, 2, 3, 4, 5"
            )
            assert found.execute(query).fetchall() == expected.execute(query).fetchall() != []
        gaps = "SELECT trace_id, gap FROM traces ORDER BY 1"
        assert found.execute(gaps).fetchall() == expected.execute(gaps).fetchall()
