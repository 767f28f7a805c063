"""Calls that Dify makes on its own, calls without a row, and foreign requests are findings with their whole amount."""

from __future__ import annotations

import pytest

from exporter.compare.catalog import FINDINGS, Level
from exporter.compare.foreign import foreign_traffic
from exporter.compare.hidden import unrecorded_code
from exporter.model import Confidence, Status, Tokens, Verdict
from tests.compare.judged_calls import attempt, call, codes, dify, judged, only, vendor


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("hidden:title", "hidden_title"),
        ("hidden:suggested_questions", "hidden_questions"),
        ("hidden:embedding", "hidden_embedding"),
        ("embedding", "hidden_embedding"),
        ("hidden:rerank", "hidden_rerank"),
        ("rerank", "hidden_rerank"),
        ("hidden:retrieval", "hidden_retrieval"),
        ("hidden:metadata_filter", "hidden_retrieval"),
        ("hidden:knowledge_router", "hidden_retrieval"),
        ("hidden:segment_summary", "hidden_indexing"),
        ("hidden:question_answer_segments", "hidden_indexing"),
        ("hidden:prompt_generator", "hidden_other"),
        ("hidden:credential_check", "hidden_other"),
        ("hidden:whatever_comes_next", "hidden_other"),
    ],
)
def test_a_hidden_call_is_explained_with_its_whole_amount(kind: str, code: str) -> None:
    found = judged(call(kind=kind, answer=None), None, vendor(attempt(198, 34)))
    assert (found.verdict, codes(found)) == (Verdict.EXPLAINED, [(code, 198, 34)])
    assert "198 + 34 tokens" in only(found).evidence
    assert only(found).confidence is Confidence.CERTAIN


def test_a_hidden_call_that_dify_recorded_is_compared_like_any_other() -> None:
    recorded = dify(420, 5)
    found = judged(call(kind="hidden:retrieval"), recorded, vendor(attempt(420, 5)))
    assert (found.verdict, found.findings) == (Verdict.AGREE, ())


def test_what_a_user_asked_for_is_not_hidden() -> None:
    assert [unrecorded_code(call(kind=kind)) for kind in ("chat", "completion")] == [None, None]


def test_a_call_whose_row_is_gone_is_explained_with_its_whole_amount() -> None:
    lone = call(note="row_missing", answer=None)
    found = judged(lone, None, vendor(attempt(19, 48)))
    assert (found.verdict, codes(found)) == (Verdict.EXPLAINED, [("row_missing", 19, 48)])
    assert only(found).confidence is Confidence.LIKELY


@pytest.mark.parametrize("about", [{"kind": "hidden:title"}, {"note": "row_missing"}])
def test_of_an_uncounted_call_that_dify_records_nowhere_only_that_is_said(about: dict[str, str]) -> None:
    lone = call(status=Status.STOPPED, **about)
    found = judged(lone, None, vendor(attempt(0, 0, "aborted"), tokens=Tokens()))
    assert codes(found) == [("vendor_usage_unknown", 0, 0)]


def test_foreign_traffic_is_told_with_its_amount() -> None:
    found = foreign_traffic(3, 19, 48)
    assert (found.code, found.input, found.output) == ("foreign_traffic", 19, 48)
    assert found.confidence is Confidence.POSSIBLE
    assert "19 + 48 tokens for 3 request(s)" in found.evidence
    assert FINDINGS[found.code].level is Level.WINDOW
