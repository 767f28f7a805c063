"""Retrieved documents: read from what Dify wrote, drawn by the platforms that draw documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.model import AssessedTrace, StepKind, Verdict
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.openinference import DOCUMENTS_SHOWN, OpenInferenceProjector
from exporter.spans.retrieved import Retrieved, retrieved
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, leaf

# The output of a knowledge retrieval node as Dify 1.12.1 stored it; one document, its text shortened.
RECORDED = (
    '{"result": [{"metadata": {"_source": "knowledge", "dataset_id": "b10233bb-a71c-4057-8a79-96a24b8020a7",'
    ' "dataset_name": "Aurora handbook", "document_id": "1d52a1c9-74d9-4b71-b5b7-2bd0431c0cad",'
    ' "document_name": "warranty.txt", "data_source_type": "upload_file",'
    ' "segment_id": "121bc0e7-f5e1-46c2-b3ca-3857a9037634", "retriever_from": "workflow",'
    ' "score": 0.32737874634414976, "child_chunks": [], "segment_hit_count": 4, "segment_word_count": 335,'
    ' "segment_position": 1, "doc_metadata": null, "position": 1}, "title": "warranty.txt", "files": null,'
    ' "content": "Warranty. Mail jo.doe@example.com within 30 days."}]}'
)
TOLD = {
    "title": "warranty.txt",
    "dataset_name": "Aurora handbook",
    "document_name": "warranty.txt",
    "document_id": "1d52a1c9-74d9-4b71-b5b7-2bd0431c0cad",
    "position": 1,
}
SEGMENT, SCORE = "121bc0e7-f5e1-46c2-b3ca-3857a9037634", 0.32737874634414976


def retrieval(output: str | None, kind: StepKind = StepKind.RETRIEVAL) -> AssessedTrace:
    root = traces.step(1, StepKind.WORKFLOW)
    found = traces.step(2, kind, root.span_id, output=output)
    return AssessedTrace(traces.trace(1, (root, found)), (), Verdict.UNVERIFIED)


def many(count: int) -> str:
    return json.dumps({"result": [{"content": f"text {number}", "metadata": {}} for number in range(count)]})


def test_a_recorded_output_gives_text_segment_score_and_where_it_is_from() -> None:
    text = "Warranty. Mail jo.doe@example.com within 30 days."
    assert retrieved(RECORDED) == [Retrieved(text, SEGMENT, SCORE, TOLD)]


@pytest.mark.parametrize(
    "output",
    [
        None,
        "",
        "Warranty. All devices …",
        "{cut",
        "[1]",
        '{"result": null}',
        '{"result": "text"}',
        '{"result": []}',
        '{"result": [1, null, "x", {}, {"content": 7}]}',
        '{"text": "no list"}',
    ],
)
def test_what_lists_no_documents_has_none(output: str | None) -> None:
    assert retrieved(output) == []


@pytest.mark.parametrize("metadata", [None, [], {"score": None, "segment_id": 5}, {"score": True}])
def test_what_a_document_does_not_tell_is_none(metadata: Any) -> None:
    output = json.dumps({"result": [{"content": "text", "metadata": metadata, "title": None}]})
    assert retrieved(output) == [Retrieved("text", None, None, {})]


def test_what_no_store_can_hold_is_replaced() -> None:
    output = json.dumps({"result": [{"content": "a\x00b", "title": "c\x00d"}]})
    assert retrieved(output) == [Retrieved("a\ufffdb", None, None, {"title": "c\ufffdd"})]


def test_openinference_spells_documents_out_and_keeps_the_output() -> None:
    found = leaf(OpenInferenceProjector(full(mode="full"))(retrieval(RECORDED))).attributes
    at = "retrieval.documents.0.document."
    assert found[f"{at}content"] == "Warranty. Mail jo.doe@example.com within 30 days."
    assert (found[f"{at}id"], found[f"{at}score"], json.loads(found[f"{at}metadata"])) == (
        SEGMENT,
        SCORE,
        TOLD,
    )
    assert json.loads(found["output.value"]) == json.loads(RECORDED)


def test_langsmith_draws_documents_in_its_own_form() -> None:
    found = leaf(LangSmithProjector(full(mode="full"))(retrieval(RECORDED))).attributes
    (document,) = json.loads(found["gen_ai.completion"])["documents"]
    assert document == {
        "page_content": "Warranty. Mail jo.doe@example.com within 30 days.",
        "type": "Document",
        "metadata": {**TOLD, "id": SEGMENT, "score": SCORE},
    }


def test_documents_pass_the_content_rule() -> None:
    for projector in (OpenInferenceProjector, LangSmithProjector):
        assert b"jo.doe" not in b"".join(projector(full(mode="redacted"))(retrieval(RECORDED)))
        assert b"Warranty" in b"".join(projector(full(mode="redacted"))(retrieval(RECORDED)))
        assert b"Warranty" not in b"".join(projector(full(mode="none"))(retrieval(RECORDED)))


def test_a_long_list_stays_below_the_limit_of_receivers_and_is_whole_in_the_output() -> None:
    item = leaf(OpenInferenceProjector(full())(retrieval(many(200))))
    shown = [key for key in item.attributes if key.endswith(".document.content")]
    assert len(shown) == DOCUMENTS_SHOWN
    assert len(item.span.attributes) <= 128
    assert len(json.loads(item.attributes["output.value"])["result"]) == 200


def test_where_messages_are_not_spelled_out_documents_are_not_either() -> None:
    found = leaf(OpenInferenceProjector(full(), messages_shown=0)(retrieval(RECORDED))).attributes
    assert not [key for key in found if key.startswith("retrieval.documents")]


def test_a_retrieval_whose_output_is_text_and_another_step_with_such_a_list_are_shown_as_they_are() -> None:
    for of in (retrieval("Warranty."), retrieval(RECORDED, StepKind.TOOL)):
        found = leaf(OpenInferenceProjector(full(mode="full"))(of)).attributes
        assert not [key for key in found if key.startswith("retrieval.documents")]
        found = leaf(LangSmithProjector(full(mode="full"))(of)).attributes
        assert "documents" not in json.loads(found["gen_ai.completion"])
