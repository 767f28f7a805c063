"""The scores of a trace: right sums, right reasons, and nothing where nothing is known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from assessed_traces import assessment, call, chatflow, dify, finding, local, one_call, step, trace, vendor

from exporter.documents import call_document, trace_document
from exporter.model import AssessedTrace, Confidence, Finding, Money, StepKind, Verdict
from exporter.spans.scores import COST, DIFY, LOCAL, NAMES, UNEXPLAINED, VERDICT, Score, ScoreType, scores
from exporter.web.overview import trace_row


def by_name(assessed: AssessedTrace) -> dict[str, Score]:
    return {score.name: score for score in scores(assessed)}


def with_calls(*assessments: object, verdict: Verdict = Verdict.EXPLAINED) -> AssessedTrace:
    return replace(chatflow(), assessments=tuple(assessments), verdict=verdict)  # type: ignore[arg-type]


def test_a_retried_call_says_how_much_dify_missed_and_why() -> None:
    found = by_name(one_call())
    assert list(found) == list(NAMES)
    assert found[DIFY].value == pytest.approx(150 / 282, abs=1e-6)
    assert found[LOCAL].value == pytest.approx(151 / 282, abs=1e-6)
    assert found[UNEXPLAINED].value == 0
    assert found[VERDICT].value == "explained"
    assert found[COST].value == pytest.approx(0.0000252)
    assert found[COST].exact == "0.0000252 USD"
    assert found[DIFY].comment == (
        "Dify recorded 150 tokens where the vendor counted 282 (retry_billed +132), over 1 of 1 model calls."
    )
    assert {score.type for score in found.values() if score.name != VERDICT} == {ScoreType.NUMERIC}
    assert found[VERDICT].type is ScoreType.CATEGORICAL


def test_difference_and_rest_are_those_of_the_traces_page() -> None:
    rest = assessment(call(2), vendor=vendor(500, 42), unexplained_input=260, verdict=Verdict.UNEXPLAINED)
    hidden = assessment(
        call(3, kind="hidden:title"),
        dify=None,
        local=None,
        vendor=vendor(70, 9),
        findings=(Finding("hidden_call", 70, 9, Confidence.CERTAIN, "", ""),),
    )
    alone = assessment(
        call(4), vendor=None, findings=(), unexplained_input=None, unexplained_output=None, verdict=Verdict.UNVERIFIED
    )  # fmt: skip
    of = with_calls(assessment(), rest, hidden, alone, verdict=Verdict.UNEXPLAINED)
    found = by_name(of)
    documents = [call_document(of.trace, each) for each in of.assessments]
    row = trace_row({**trace_document(of), "calls": documents, "exported": True})
    assert row.difference is not None
    page = int(row.difference.input.replace(" ", "").replace(",", "")), int(row.difference.output)
    all_of_vendor = 282 + 542 + 79
    assert page == (120 + 380 + 70, 12 + 12 + 9)
    assert found[DIFY].value == pytest.approx((all_of_vendor - sum(page)) / all_of_vendor, abs=1e-6)
    assert found[DIFY].value == pytest.approx(300 / all_of_vendor, abs=1e-6)
    assert found[UNEXPLAINED].value == 260
    assert "vendor − dify (+603)" in found[UNEXPLAINED].comment
    assert "3 of 4 model calls" in found[DIFY].comment
    assert found[LOCAL].value == pytest.approx(302 / (282 + 542), abs=1e-6)
    assert "2 of 4 model calls" in found[LOCAL].comment


@pytest.mark.parametrize("verdict", [Verdict.PENDING, Verdict.UNVERIFIED])
def test_without_vendor_evidence_only_the_verdict_exists(verdict: Verdict) -> None:
    of = one_call(vendor=None, verdict=verdict, findings=(), unexplained_input=None, unexplained_output=None)
    assert {name: score.value for name, score in by_name(of).items()} == {VERDICT: str(verdict)}


def test_a_vendor_number_that_came_through_dify_is_no_evidence() -> None:
    of = one_call(
        vendor=vendor(120, 30, independent=False, provenance="relayed"),
        verdict=Verdict.UNVERIFIED, findings=(), unexplained_input=None, unexplained_output=None,
    )  # fmt: skip
    assert list(by_name(of)) == [VERDICT]


def test_a_trace_without_model_calls_has_no_scores() -> None:
    of = AssessedTrace(trace(1, (step(1, StepKind.MESSAGE),)), (), Verdict.AGREE)
    assert scores(of) == ()


def test_a_vendor_that_billed_nothing_gives_no_ratio() -> None:
    of = one_call(dify=dify(0, 0), local=local(0, 0), vendor=vendor(0, 0), findings=(), verdict=Verdict.AGREE)
    assert DIFY not in by_name(of)
    assert LOCAL not in by_name(of)
    assert by_name(of)[UNEXPLAINED].value == 0


@pytest.mark.parametrize(
    ("of_dify", "of_vendor", "expected"),
    [
        (Money(Decimal("0.5"), "RMB"), Money(Decimal("0.7"), "USD"), None),
        (Money(Decimal("0.5"), "USD"), Money(Decimal("0.7"), "RMB"), None),
        (None, Money(Decimal("0.7"), "USD"), None),
        (Money(Decimal("0.5"), "USD"), None, None),
        (Money(Decimal("0.7"), "USD"), Money(Decimal("0.70"), "usd"), "0 USD"),
        (Money(Decimal("20"), "USD"), Money(Decimal("10"), "USD"), "-10 USD"),
    ],
)
def test_money_is_compared_only_where_both_sides_said_dollars(
    of_dify: Money | None, of_vendor: Money | None, expected: str | None
) -> None:
    found = by_name(one_call(dify=dify(cost=of_dify), vendor=vendor(cost=of_vendor)))
    assert (found[COST].exact if COST in found else None) == expected


def test_a_call_that_dify_never_recorded_cost_nothing_in_difys_books() -> None:
    found = by_name(one_call(dify=None, vendor=vendor(cost=Money(Decimal("0.002"), "USD"))))
    assert found[COST].value == pytest.approx(0.002)


def test_ids_are_those_of_trace_and_name_whatever_is_known_later() -> None:
    early = one_call(vendor=None, verdict=Verdict.PENDING, findings=(), unexplained_input=None)
    late = one_call()
    assert by_name(early)[VERDICT].id == by_name(late)[VERDICT].id
    ids = [score.id for score in (*scores(late), *scores(one_call(50)))]
    assert len(set(ids)) == len(ids)
    assert all(str(UUID(one)) == one for one in ids)


def test_reasons_hold_no_text_of_prompts_answers_or_evidence() -> None:
    secret = "jo.doe@example.com"
    of = one_call(findings=(replace(finding(), evidence=secret, advice=secret),))
    words = " ".join(score.comment for score in scores(of))
    assert secret not in words
    assert "invoices" not in words
