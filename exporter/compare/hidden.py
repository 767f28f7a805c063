"""Calls that Dify records nowhere: those it makes on its own, and those whose row is gone. Which finding each of them is.

The whole vendor amount is the finding, because Dify's side is nothing.
"""

from __future__ import annotations

from exporter.compare.wording import finding, split
from exporter.model import Call, Confidence, Finding

PREFIX = "hidden:"
ROW_MISSING = "row_missing"
"""The note of a call that stands for a vendor request alone, of a user or app that Dify knows."""

_CODES = {
    "title": "hidden_title",
    "suggested_questions": "hidden_questions",
    "embedding": "hidden_embedding",
    "rerank": "hidden_rerank",
    "retrieval": "hidden_retrieval",
    "knowledge_router": "hidden_retrieval",
    "metadata_filter": "hidden_retrieval",
    "question_answer_segments": "hidden_indexing",
    "segment_summary": "hidden_indexing",
}


def unrecorded_code(call: Call) -> str | None:
    """The finding of a call that Dify records nowhere, by its kind or its note; None for all others."""
    if call.kind.startswith(PREFIX):
        return _CODES.get(call.kind.removeprefix(PREFIX), "hidden_other")
    if call.note == ROW_MISSING:
        return ROW_MISSING
    return _CODES[call.kind] if call.kind in ("embedding", "rerank") else None


def unrecorded(call: Call, amount: tuple[int, int]) -> Finding | None:
    """The finding of a call that Dify records nowhere and the vendor billed `amount` for; None for all others."""
    code = unrecorded_code(call)
    if code is None:
        return None
    confidence = Confidence.LIKELY if code == ROW_MISSING else Confidence.CERTAIN
    what = call.kind.removeprefix(PREFIX).replace("_", " ")
    return finding(code, confidence, amount, billed=split(*amount), what=what)
