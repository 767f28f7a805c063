"""OpenAI's usage and costs through their twin: sums, pages, late and amended buckets, keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from exporter import config, evidence_report, printing
from exporter.clock import micros
from exporter.config import BillSettings
from exporter.errors import Misconfigured, Unreachable
from exporter.intake import Intake
from exporter.vendor.bills.registry import build
from tests.contract.litellm_twin import SECRET
from tests.contract.openai_usage_twin import ADMIN_KEY, OpenAiUsageTwin
from tests.contract.spending import EXPIRED_KEY, Spent
from tests.contract.twin_server import Refused, Request, Response
from tests.vendor.bills.taking import NOON, SECOND, account, seconds, spending, total


@pytest.fixture
def twin() -> Iterator[OpenAiUsageTwin]:
    with OpenAiUsageTwin(spending()) as found:
        yield found


def of(twin: OpenAiUsageTwin, folder: Path, **values: Any) -> Any:
    return account(folder, **{"kind": "openai", "key": ADMIN_KEY, "url": twin.url, **values})


def ended(twin: OpenAiUsageTwin, until: int) -> list[Spent]:
    return [item for item in twin.spent if item.at < until]


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
@pytest.mark.parametrize("page_size", [7, 10**6])
def test_tokens_and_requests_are_those_of_the_requests_one_by_one(
    tmp_path: Path, twin: OpenAiUsageTwin, width: str, page_size: int
) -> None:
    twin.page_size = page_size
    start = (NOON - timedelta(days=9)).isoformat()
    with of(twin, tmp_path, width=width, start=start, reports=["completions", "embeddings"]) as openai:
        openai.take()
        rows = openai.rows()
    last = max(row.ends_at for row in rows) // SECOND
    spent = ended(twin, last)
    assert len(spent) > 200
    assert total(rows, lambda row: row.tokens.input) == sum(item.input for item in spent)
    assert total(rows, lambda row: row.tokens.output) == sum(item.output for item in spent)
    assert total(rows, lambda row: row.tokens.cache_read) == sum(item.cached for item in spent)
    assert total(rows, lambda row: row.tokens.cache_write) == sum(item.written for item in spent)
    assert total(rows, lambda row: row.requests) == len(spent)
    by_group = Counter((item.model, item.key, "batch" if item.is_batch else "") for item in spent)
    found: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        found[(row.model, row.key, row.group)] += row.requests or 0
    assert found == by_group


def test_costs_are_dollars_per_day_and_line_item_beside_the_tokens(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    with of(twin, tmp_path, group_by="project") as openai:
        openai.take()
        costs, usage = openai.rows("costs"), openai.rows("completions")
    midnight = seconds(NOON.replace(hour=0))
    assert sum((row.cost or Decimal(0)) for row in costs) == pytest.approx(
        sum(item.cents for item in ended(twin, midnight)) / 100
    )
    assert {row.currency for row in costs} == {"USD"}
    assert {row.key for row in costs} == {"proj_dify", None}
    assert {row.model for row in costs} == {row.model for row in usage}
    assert all(row.tokens.input is None and row.requests is None for row in costs)
    assert all((row.ends_at - row.starts_at) == 86_400 * SECOND for row in costs)


def test_embeddings_have_no_output_and_speech_has_no_tokens(tmp_path: Path) -> None:
    spent = [
        Spent(seconds(NOON) - 9_000, "text-embedding-3-small", 50, endpoint="embeddings"),
        Spent(seconds(NOON) - 9_000, "gpt-4o-mini-tts", endpoint="audio_speeches"),
    ]
    with OpenAiUsageTwin(spent) as twin, of(twin, tmp_path) as openai:
        openai.take()
        (embedding,), (speech,) = openai.rows("embeddings"), openai.rows("audio_speeches")
    assert (embedding.tokens.input, embedding.tokens.output, embedding.requests) == (50, 0, 1)
    assert (speech.tokens.input, speech.tokens.output, speech.requests) == (None, None, 1)


def test_only_stretches_that_have_ended_are_read_and_the_next_ones_later(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    with of(twin, tmp_path, reports=["completions"]) as openai:
        openai.now = NOON + timedelta(minutes=2)
        openai.take()
        assert max(row.ends_at for row in openai.rows()) // SECOND <= seconds(NOON) - 3_600
        openai.now = NOON + timedelta(minutes=6)
        openai.take()
        assert max(row.ends_at for row in openai.rows()) // SECOND == seconds(NOON)
        asked = len(twin.asked)
        openai.now = NOON + timedelta(minutes=30)
        openai.take()
        assert len(twin.asked) == asked
        assert openai.changes() == []


def test_a_late_request_changes_its_stretch_and_the_first_word_is_kept(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    with of(twin, tmp_path, reports=["completions"]) as openai:
        openai.take()
        late = replace(twin.spent[20], input=5_000, output=60, cached=0)
        twin.spent.append(late)
        openai.now = NOON + timedelta(hours=1, minutes=10)
        openai.take()
        (change,) = openai.changes()
        assert total(openai.rows(), lambda row: row.tokens.input) == sum(item.input for item in twin.spent)
        with openai.store.read() as connection:
            ((told, seen_at, replaced_at),) = connection.execute(
                "SELECT input, seen_at, replaced_at FROM usage_revisions"
            ).fetchall()
    assert {name: change[name] for name in ("report", "stretches", "rows", "gone", "input", "output")} == {
        "report": "completions", "stretches": 1, "rows": 1, "gone": 0, "input": 5_000, "output": 60,
    }  # fmt: skip
    assert told == twin.spent[20].input
    assert seen_at == seconds(NOON) * SECOND
    assert replaced_at == seconds(NOON + timedelta(hours=1, minutes=10)) * SECOND


def test_what_is_not_told_any_more_leaves_the_sums_and_stays_as_a_revision(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    with of(twin, tmp_path, reports=["completions"]) as openai:
        openai.take()
        gone = twin.spent.pop(30)
        openai.now = NOON + timedelta(hours=1, minutes=10)
        openai.take()
        assert total(openai.rows(), lambda row: row.requests) == len(twin.spent)
        (change,) = openai.changes()
    assert (change["gone"], change["input"], change["output"]) == (1, -gone.input, -gone.output)


def test_what_changed_before_the_reread_is_left_as_it_was(tmp_path: Path, twin: OpenAiUsageTwin) -> None:
    with of(twin, tmp_path, reports=["completions"], reread="3h") as openai:
        openai.take()
        twin.spent.pop(30)
        openai.now = NOON + timedelta(hours=1, minutes=10)
        openai.take()
        assert openai.changes() == []


def test_another_width_replaces_what_was_read_and_counts_nothing_twice(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    with of(twin, tmp_path, reports=["completions"]) as openai:
        openai.now = NOON.replace(hour=0) + timedelta(minutes=10)
        openai.take()
        openai.settings = openai.settings.model_copy(update={"width": "1d"})
        openai.take()
        rows = openai.rows()
    assert {row.ends_at - row.starts_at for row in rows} == {86_400 * SECOND}
    assert total(rows, lambda row: row.requests) == len(ended(twin, seconds(NOON.replace(hour=0))))


def test_an_expired_and_a_project_key_are_told_apart_from_a_bad_address(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    for key in (EXPIRED_KEY, "sk-proj-1"):
        with of(twin, tmp_path, key=key) as openai:
            ((name, problem),) = openai.take().failed
        assert name == "openai"
        assert isinstance(problem, Misconfigured)
        assert "admin key" in str(problem.hint)
        assert key not in f"{problem} {problem.hint}"


def test_being_asked_to_wait_stores_nothing_by_halves_and_is_made_up_later(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    twin.page_size = 50
    with of(twin, tmp_path, reports=["completions"]) as openai:
        twin.faults.retry_after = "17"
        twin.faults.throttle = 1
        ((_, problem),) = openai.take().failed
        assert isinstance(problem, Unreachable)
        assert "17 s" in str(problem)
        assert SECRET not in f"{problem} {problem.hint}"
        assert openai.rows() == []
        openai.take()
        assert total(openai.rows(), lambda row: row.requests) == len(ended(twin, seconds(NOON) - 3_600))


def test_a_report_that_fails_holds_up_no_other(tmp_path: Path, twin: OpenAiUsageTwin) -> None:
    class WithoutCompletions(OpenAiUsageTwin):
        def report(self, request: Request) -> Response:
            if request.path.endswith("completions"):
                raise Refused(403, "no access to this")
            return super().report(request)

    with (
        WithoutCompletions(twin.spent) as other,
        of(other, tmp_path, reports=["completions", "costs"]) as openai,
    ):
        intake = Intake(openai.store, build([openai.settings]), lambda: micros(NOON))
        assert intake.take(at_once=True).failed
        assert intake.take(at_once=True).failed
        assert openai.rows("costs")


def test_a_row_that_cannot_be_read_is_set_aside_with_its_place_and_nothing_is_taken_back_for_it(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    class Garbled(OpenAiUsageTwin):
        def usage(self, *given: Any) -> list[dict[str, Any]]:
            found = super().usage(*given)
            return [
                row | {"input_tokens": "many"} if row["api_key_id"] == "key_batch" else row for row in found
            ]

    with Garbled(spending(6)) as garbled, of(garbled, tmp_path, reports=["completions"]) as openai:
        openai.take()
        refused = openai.refused()
        assert {row.key for row in openai.rows()} == {"key_dify", None}
    assert {reason for _, reason in refused} == {"input_tokens is not a number"}
    assert all("completions of 2026-11-" in place and " row " in place for place, _ in refused)


def test_what_cannot_be_grouped_or_read_is_said_before_anything_is_asked() -> None:
    for values in ({"group_by": "region"}, {"reports": ["usage"]}):
        with pytest.raises(Misconfigured, match="bills openai"):
            build([BillSettings(kind="openai", key=ADMIN_KEY, **values)])  # type: ignore[arg-type]


def test_check_says_that_every_report_can_be_read(twin: OpenAiUsageTwin, tmp_path: Path) -> None:
    with of(twin, tmp_path, reports=["completions", "costs"]) as openai:
        (puller,) = build([openai.settings])
        assert puller.check().count("can be read") == 2


def test_evidence_shows_each_report_with_its_money_and_what_was_told_otherwise_before(
    tmp_path: Path, twin: OpenAiUsageTwin
) -> None:
    with of(twin, tmp_path, reports=["completions", "costs"]) as openai:
        openai.take()
        gone = twin.spent.pop(30)
        openai.now = NOON + timedelta(hours=1, minutes=10)
        openai.take()
        settings = config.load(Path("/dev/null"), {}).settings
        document = evidence_report.document(openai.store, settings, micros(openai.now))
    written = StringIO()
    printing.evidence(Console(file=written, width=200), document)
    text = written.getvalue()
    assert {(row["report"], row["currency"]) for row in document["buckets"]} == {
        ("completions", None), ("costs", "USD"),
    }  # fmt: skip
    assert "costs" in text
    assert " USD" in text
    assert f"1 stretches were told otherwise before; since then {-gone.input:+,} input" in text
