"""The whole recorded Dify through the whole program into every platform at once: each holds the ledger, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.otlp_grpc_twin import OtlpGrpcTwin
from tests.contract.otlp_twin import RULES, OtlpTwin
from tests.contract.twin_server import attributes
from tests.destinations.recorded_run import Ledger, audited, deliver, recorded_app, run_recorded
from tests.destinations.test_presets import SETTINGS

GRPC = ("aliyun-arms", "arize", "tencent-apm")
CALL_ID = ("dify_exporter.call.id", "opik.metadata.dify_exporter.call.id")


@dataclass
class Sent:
    """What the ledger has, and the platforms that got it."""

    ledger: Ledger
    twins: dict[str, OtlpTwin]
    over_grpc: dict[str, OtlpGrpcTwin]


@pytest.fixture(scope="module")
def sent(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    with ExitStack() as stack:
        twins = {kind: stack.enter_context(OtlpTwin(kind)) for kind in RULES}
        over_grpc = {kind: stack.enter_context(OtlpGrpcTwin(kind)) for kind in GRPC}
        destinations = [
            {"kind": kind, "endpoint": twin.url, "confirm_after": "100ms", **SETTINGS[kind]}
            for kind, twin in twins.items()
        ]
        destinations += [
            {
                "kind": kind,
                "name": f"{kind} over grpc",
                "endpoint": twin.url,
                "protocol": "grpc",
                **SETTINGS[kind],
            }
            for kind, twin in over_grpc.items()
        ]
        yield Sent(run_recorded(shared, tmp_path_factory.mktemp("presets"), destinations), twins, over_grpc)


@pytest.mark.parametrize("kind", RULES)
def test_every_call_of_the_ledger_is_there_once_in_whole_trees(sent: Sent, kind: str) -> None:
    twin = sent.twins[kind]
    assert twin.violations == []
    assert len({trace_id for trace_id, _ in twin.spans}) == sent.ledger.traces
    told = [attributes(span) for span in twin.spans.values()]
    held = [read[name] for read in told for name in CALL_ID if name in read]
    assert sorted(held) == sorted(call["call_id"] for call in sent.ledger.calls)


@pytest.mark.parametrize("kind", GRPC)
def test_over_grpc_the_platform_holds_the_very_same_spans(sent: Sent, kind: str) -> None:
    platform = sent.over_grpc[kind].platform
    assert platform.violations == []
    assert platform.spans == sent.twins[kind].spans


@pytest.mark.parametrize("kind", RULES)
def test_the_platform_sums_what_the_ledger_chose(sent: Sent, kind: str) -> None:
    only_llm = kind == "phoenix"  # its sums leave embeddings and reranks out; their spans carry their counts
    assert sent.twins[kind].tokens() == sent.ledger.chosen(only_llm=only_llm)
    assert sent.ledger.chosen() != sent.ledger.chosen(only_llm=True)


def test_the_audit_finds_and_repairs_what_phoenix_confirmed_and_lost_later(
    shared: Path, tmp_path: Path
) -> None:
    with OtlpTwin("phoenix") as twin:
        entry = {"kind": "phoenix", "endpoint": twin.url, "confirm_after": "100ms", **SETTINGS["phoenix"]}
        with recorded_app(shared, tmp_path, [entry]) as app:
            deliver(app)
            before = dict(twin.spans)
            lost = list(before)[100:160]
            for key in lost:
                del twin.spans[key]
            missing, doubled, again = audited(app, repair=True)
            assert missing <= {trace_id for trace_id, _ in lost}
            assert (doubled, again) == (0, len(missing))
            assert again > 0
            deliver(app)
            assert audited(app) == (set(), 0, 0)
        repaired = {key for key in lost if key[0] in missing}
        assert twin.spans.keys() == before.keys() - set(lost) | repaired
        assert {key: twin.spans[key] for key in repaired} == {key: before[key] for key in repaired}


def test_the_documents_of_every_recorded_knowledge_retrieval_are_spelled_out(sent: Sent) -> None:
    told = [attributes(span) for span in sent.twins["phoenix"].spans.values()]
    retrievals = [
        (read, json.loads(read["output.value"])["result"])
        for read in told
        if read["openinference.span.kind"] == "RETRIEVER" and read["output.mime_type"] == "application/json"
    ]
    assert sum(len(listed) for _, listed in retrievals) > 0
    for read, listed in retrievals:
        for number, document in enumerate(listed):
            at = f"retrieval.documents.{number}.document."
            assert read[f"{at}content"] == document["content"]
            assert read[f"{at}score"] == document["metadata"]["score"]
            assert json.loads(read[f"{at}metadata"])["title"] == document["title"]
        assert f"retrieval.documents.{len(listed)}.document.content" not in read
