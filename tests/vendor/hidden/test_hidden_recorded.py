"""Both recorded instances: every hidden request of the vendor's log is recognised, none is given to a wrong trace.

Truth, independent of fingerprints: the log's `kind`, its texts in full, the READMEs' tables (which requests belong to
which message or run), the messages and conversation names of the dumps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import micros
from exporter.local.vocabulary import count
from exporter.model import StepKind, Trace
from exporter.vendor.hidden.attach import Attached, attach
from exporter.vendor.hidden.credentials import is_credential_check
from exporter.vendor.hidden.steps import with_hidden
from exporter.vendor.hidden.traces import fingerprint_trace
from exporter.vendor.record import VendorCall, parse
from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import canonical, lines

PURPOSES = {
    "title": "title",
    "suggested": "suggested_questions",
    "embedding": "embedding",
    "rerank": "rerank",
}
CREDENTIALS = {"1.12.1": {*range(1, 8)}, "1.14.0": {*range(1, 8), 224, 233}}
INDEXING = {"1.12.1": {8, 9, 10, 83, 274}, "1.14.0": {8, 9}}
DELETED = {"1.12.1": {226, 227}, "1.14.0": set()}
"""Requests of the conversation that was deleted: the answer and the title."""

LATE = {79: 38}
"""1.12.1: the README says that the title call of row 38 fell into row 39."""

RENAMED = {16}
"""1.12.1, row 5: the conversation of row 1 was renamed, so its title was made a second time."""


@dataclass(frozen=True)
class Recording:
    name: str
    traces: dict[str, Trace]
    log: dict[str, dict[str, Any]]
    rows: Mapping[int, list[recorded.TruthRow]]
    evidence: list[VendorCall]
    bare: list[VendorCall]

    def seq(self, request: VendorCall) -> int:
        return int(self.log[request.id]["seq"])

    def kind(self, request: VendorCall) -> str:
        return str(self.log[request.id]["kind"])

    def told(self, seq: int) -> set[str]:
        """The traces that the README names for a request."""
        named = {i for row in self.rows.get(seq, []) for i in row.ids}
        return {t.trace_id for t in self.traces.values() if named & set(recorded.record_ids(t))}

    def attached(self, requests: list[VendorCall]) -> Iterator[tuple[VendorCall, Attached]]:
        found = attach([fingerprint_trace(t) for t in self.traces.values()], requests)
        return ((one, found[one.source, one.id]) for one in requests if (one.source, one.id) in found)


@pytest.fixture(scope="module", params=["1.12.1", "1.14.0"])
def recording(request: pytest.FixtureRequest, shared: Path) -> Recording:
    instance = recorded.V1_12 if request.param == "1.12.1" else recorded.V1_14
    names = conversation_names(shared, instance)
    traces = [
        replace(t, conversation_name=names.get(t.session_id)) for t in recorded.traces(shared, instance)
    ]
    rows: dict[int, list[recorded.TruthRow]] = {}
    truth = recorded.truth(shared, instance)
    for row in truth:
        for seq in row.seqs:
            if seq not in LATE or instance is not recorded.V1_12:
                rows.setdefault(seq, []).append(row)
    if instance is recorded.V1_12:
        rows |= {seq: [row for row in truth if row.number == number] for seq, number in LATE.items()}
    log = list(lines(shared / "dify" / instance.log))
    return Recording(
        request.param,
        {t.trace_id: t for t in traces},
        {line["id"]: line for line in log},
        rows,
        [parse({**canonical(line), "request": line["request"]}, "gateway") for line in log],
        [parse(without_texts(canonical(line)), "gateway") for line in log],
    )


def conversation_names(shared: Path, instance: recorded.Instance) -> dict[str | None, str | None]:
    return {
        row["id"]: row["name"] for row in recorded._tables(shared / "dify" / instance.dump)["conversations"]
    }


def without_texts(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in record.items()
        if name not in ("request", "response_text", "tool_calls")
    }


def words(line: dict[str, Any]) -> str:
    """What a logged title or suggestion was made for, cut out of its prompt by hand."""
    text = str(line["request"]["messages"][0]["content"])
    if line["kind"] == "title":
        return text.split("User Input:\n")[-1].rstrip("\n")
    return text.split("\nPlease help me predict")[0].split("Human: ")[-1]


# ── recognising ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_hidden_request_is_recognised_and_no_other(recording: Recording) -> None:
    for one in recording.evidence:
        assert one.purpose == PURPOSES.get(recording.kind(one)), recording.seq(one)
        assert one.about or one.purpose is None, recording.seq(one)


def test_every_credential_check_is_told_and_no_other(recording: Recording) -> None:
    found = {recording.seq(one) for one in recording.evidence if is_credential_check(one)}
    by_operation = {recording.seq(one) for one in recording.evidence if one.purpose}
    assert found == CREDENTIALS[recording.name] - by_operation


# ── attaching ───────────────────────────────────────────────────────────────────────────────────────────────


def test_no_hidden_request_is_given_to_a_trace_that_the_readme_does_not_name(recording: Recording) -> None:
    for requests in (recording.evidence, recording.bare):
        for one, attached in recording.attached(requests):
            told = recording.told(recording.seq(one))
            assert attached.trace_id is None or not told or attached.trace_id in told, recording.seq(one)


def test_every_hidden_request_whose_trace_the_readme_names_finds_it(recording: Recording) -> None:
    kinds: Counter[str] = Counter()
    for one, attached in recording.attached(recording.evidence):
        if recording.told(recording.seq(one)):
            assert attached.trace_id is not None, recording.seq(one)
            kinds[attached.purpose] += 1
    named = [
        line for line in recording.log.values() if line["kind"] in PURPOSES and recording.told(line["seq"])
    ]
    assert kinds == Counter(PURPOSES[line["kind"]] for line in named)
    assert kinds["title"] >= 40


def test_only_what_belongs_to_no_trace_stays_apart(recording: Recording) -> None:
    apart = {
        recording.seq(one)
        for one, attached in recording.attached(recording.evidence)
        if attached.trace_id is None
    }
    hidden = {recording.seq(one) for one in recording.evidence if one.purpose is not None}
    renamed = RENAMED if recording.name == "1.12.1" else set()
    no_trace = CREDENTIALS[recording.name] | INDEXING[recording.name] | DELETED[recording.name] | renamed
    assert apart == hidden & no_trace


def test_the_words_of_each_request_are_those_of_its_trace(recording: Recording) -> None:
    """Also of those for which the README names no trace (windows with several runs)."""
    for one, attached in recording.attached(recording.evidence):
        if attached.trace_id is None:
            continue
        trace, line = recording.traces[attached.trace_id], recording.log[one.id]
        asked = str(trace.steps[0].input)
        if one.operation == "embeddings":
            assert count("cl100k_base", asked).tokens == line["usage"]["prompt_tokens"], recording.seq(one)
        elif one.operation == "rerank":
            assert line["request"]["query"] == asked
        elif one.purpose == "title":
            assert words(line) == asked.strip()
        else:
            assert words(line) == f"{asked}\nAssistant: {trace.steps[0].output}"


def test_a_title_is_given_to_the_nearest_message_with_its_words(recording: Recording) -> None:
    for one, attached in recording.attached(recording.evidence):
        if attached.purpose == "title" and attached.trace_id is not None:
            asked = words(recording.log[one.id])
            began = micros(datetime.fromisoformat(recording.log[one.id]["time"]))
            same = [t for t in recording.traces.values() if str(t.steps[0].input).strip() == asked]
            nearest = min(same, key=lambda t: abs(began - t.started_at))
            assert attached.trace_id == nearest.trace_id, recording.seq(one)


def test_without_texts_only_embeddings_of_lonely_traces_are_given(recording: Recording) -> None:
    found = {recording.seq(one): a for one, a in recording.attached(recording.bare) if a.trace_id is not None}
    assert len(found) == {"1.12.1": 0, "1.14.0": 2}[recording.name]
    assert all({a.trace_id} == recording.told(seq) for seq, a in found.items())


def test_the_traces_get_their_hidden_calls(recording: Recording) -> None:
    by_trace: dict[str, list[tuple[VendorCall, Attached]]] = {}
    for one, attached in recording.attached(recording.evidence):
        by_trace.setdefault(attached.trace_id or "", []).append((one, attached))
    for trace_id, found in by_trace.items():
        if not trace_id:
            continue
        trace = recording.traces[trace_id]
        whole = with_hidden(trace, found)
        assert len(whole.calls) == len(trace.calls) + len(found)
        spans = [step.span_id for step in whole.steps]
        assert len(set(spans)) == len(spans)
        below = {step.span_id for step in whole.steps if step.kind is StepKind.RETRIEVAL}
        parents = {
            s.call.kind: s.parent_id for s in whole.steps if s.call and s.call.kind.startswith("hidden:")
        }
        assert parents.get("hidden:title") in (None, whole.steps[0].span_id)
        if trace.app.mode == "advanced-chat" and "hidden:embedding" in parents:
            assert parents["hidden:embedding"] in below
