"""The whole difference between Dify and the vendor in both recordings, cause by cause, as their READMEs work it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from exporter.compare.verdict import assess, compare_trace
from exporter.local.estimates import classify_recorded
from exporter.local.reading import read_local
from exporter.model import AssessedTrace, Assessment, Call, Confidence, Status, VendorReading, Verdict
from exporter.vendor.asked.messages import prompt_of
from exporter.vendor.asked.parts import asked_of
from exporter.vendor.fingerprint import fingerprint_call
from exporter.vendor.matching.match import Match, match
from exporter.vendor.reading import Owned, relayed, vendor_reading
from exporter.vendor.record import parse
from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import canonical

WITHOUT_REQUEST = {"1.12.1": {38, 40}, "1.14.0": {61, 62, 63, 64, 65, 66, 67, 68}}
"""Rows that never asked a model: moderation hits, and agent nodes that died before their first call."""

CHILD_COUNTED_IN = {"1.12.1": {89}, "1.14.0": set[int]()}
"""NO in the README because a child run is counted in; here the child is a trace of its own."""

LOST_BRANCH = {"1.12.1": set[int](), "1.14.0": {42}}
"""A stopped node of a vendor that is told no user: nothing proves which request was its own."""

NOT_IN_CALLS = {"1.12.1": (19, 48), "1.14.0": (62 - 25, 57 - 21)}
"""Of the README's difference, what no matched call can show: the deleted conversation (rows 99, 100); the lost branch."""

DIFFERENCE = {"1.12.1": (6_417, 976), "1.14.0": (6_630, 876)}

Amount = tuple[int, int]

CAUSES: dict[str, list[tuple[Amount, dict[str, set[int]]]]] = {
    "1.12.1": [
        # stopped through /stop; of a plain workflow nothing tells a stop from a killed process
        ((2_613, 505), {"recorded_nothing_stopped": {13, 29, 50, 57, 68, 73, 119}, "recorded_nothing_abandoned": {117}}),
        # client hung up
        ((226, 115), {"client_hung_up": {14}, "rounds_not_in_message": {116}}),
        # stream cut or error event in mid-stream; row 78 was tried four times
        ((158, 179), {"stream_cut": {19, 20, 78}, "retry_billed": {78}}),
        ((20, -24), {"plugin_estimate": {21, 22, 33, 34, 52}}),
        ((3_318, 0), {"cache_price_weighted": {104, 105, 106}}),
        # API process killed: leaves the same rows as a client that hung up, and as a stop
        ((63, 153), {"client_hung_up": {122}, "recorded_nothing_abandoned": {123}}),
    ],
    "1.14.0": [
        (
            (610 - 37, 327 - 36),
            {"recorded_nothing_stopped": {6, 23, 28, 35}, "recorded_nothing_abandoned": {94}},
        ),
        ((39, 69), {"client_hung_up": {7}}),
        ((121, 152), {"stream_cut": {9, 46}, "retry_billed": {46}}),
        ((16, -7), {"plugin_estimate": {10, 12}}),
        ((3_318, 0), {"cache_price_weighted": {14, 15, 16}}),
        # worker killed; the chatflow's message shows that nothing was saved
        ((154, 94), {"recorded_nothing_abandoned": {82}, "process_died": {83}}),
        ((41, 43), {"client_hung_up": {117}}),
        ((1_965, 170), {"agent_total_only": {95, 96}}),
        ((366, 28), {"agent_rounds_lost": {107}, "rounds_not_in_message": {108}}),
    ],
}  # fmt: skip
"""The README's causes: amounts, and the findings and rows (first column of its table) that they are made of."""

HIDDEN: dict[str, dict[str, tuple[str, Amount]]] = {
    "1.12.1": {
        "title": ("hidden_title", (15_476, 2_733)),
        "suggested": ("hidden_questions", (1_017, 115)),
        "embedding": ("hidden_embedding", (396, 0)),
        "rerank": ("hidden_rerank", (688, 0)),
    },
    "1.14.0": {
        "title": ("hidden_title", (8_056, 1_348)),
        "suggested": ("hidden_questions", (299, 38)),
        "embedding": ("hidden_embedding", (197, 0)),
        "rerank": ("hidden_rerank", (130, 0)),
    },
}
"""The README's hidden calls by the log's own kind."""

KINDS = {"suggested": "hidden:suggested_questions"}


@dataclass(frozen=True)
class Assessed:
    name: str
    traces: list[AssessedTrace]
    truth: list[recorded.TruthRow]
    log: dict[str, dict[str, Any]]

    def findings(self) -> Iterator[tuple[Assessment, str, Amount]]:
        for trace in self.traces:
            for one in trace.assessments:
                for item in one.findings:
                    yield one, item.code, (item.input, item.output)

    def of_row(self, number: int) -> AssessedTrace:
        [ids] = [row.ids for row in self.truth if row.number == number]
        [found] = [trace for trace in self.traces if set(recorded.record_ids(trace.trace)) & set(ids)]
        return found

    def of_code(self, code: str) -> list[Assessment]:
        return [one for one, found, _ in self.findings() if found == code]


@pytest.fixture(scope="module", params=["1.12.1", "1.14.0"])
def assessed(request: pytest.FixtureRequest, shared: Path) -> Assessed:
    instance = recorded.V1_12 if request.param == "1.12.1" else recorded.V1_14
    traces = recorded.traces(shared, instance)
    prints = [
        fingerprint_call(call, trace.app.id, trace.user_aliases) for trace, call in recorded.calls(traces)
    ]
    found = match(prints, recorded.evidence(shared, instance))
    log = recorded.log_by_id(shared, instance)
    compared = []
    for trace in traces:
        assessments = []
        for call in trace.calls:
            dify = classify_recorded(call)
            seen = found.get(call.call_id)
            messages = len(call.prompt) if call.prompt else None
            vendor = _with_requests(vendor_reading(Owned(seen), messages), log) if seen else relayed(dify)
            local = read_local(call)
            assessments.append(
                assess(
                    call, dify, local, vendor, tolerance_percent=5, evidence_expected=False, sums=trace.sums
                )
            )
        compared.append(compare_trace(trace, assessments))
    return Assessed(request.param, compared, recorded.truth(shared, instance), log)


def _with_requests(reading: VendorReading, log: dict[str, dict[str, Any]]) -> VendorReading:
    """The reading with what the log's request bodies held besides messages."""
    attempts = []
    for attempt in reading.attempts:
        asked = asked_of(log[attempt.id]["request"], prompt_of(log[attempt.id]["request"]))
        attempts.append(replace(attempt, tools=asked.tools, has_schema=asked.has_schema, media=asked.media))
    return replace(reading, attempts=tuple(attempts))


def _sum(amounts: Iterator[Amount]) -> Amount:
    given, written = 0, 0
    for amount in amounts:
        given, written = given + amount[0], written + amount[1]
    return given, written


def test_the_findings_add_up_to_the_whole_difference_and_nothing_stays_unexplained(
    assessed: Assessed,
) -> None:
    found, missing = _sum(amount for _, _, amount in assessed.findings()), NOT_IN_CALLS[assessed.name]
    assert (found[0] + missing[0], found[1] + missing[1]) == DIFFERENCE[assessed.name]
    unexplained = [
        item.call.call_id
        for trace in assessed.traces
        for item in trace.assessments
        if item.verdict is Verdict.UNEXPLAINED
    ]
    assert unexplained == []


def test_each_cause_has_the_size_and_the_rows_of_the_readme(assessed: Assessed) -> None:
    told: set[tuple[str, int]] = set()
    for amount, codes in CAUSES[assessed.name]:
        found = [
            (code, row, (item.input, item.output))
            for code, rows in codes.items()
            for row in rows
            for one in assessed.of_row(row).assessments
            for item in one.findings
            if item.code == code
        ]
        assert {(code, row) for code, row, _ in found} == {
            (code, row) for code, rows in codes.items() for row in rows
        }
        assert _sum(part for _, _, part in found) == amount, codes
        told |= {(code, row) for code, row, _ in found}
    by_call = {
        one.call.call_id: row.number
        for row in assessed.truth
        for trace in assessed.traces
        if set(recorded.record_ids(trace.trace)) & set(row.ids)
        for one in trace.assessments
    }
    with_amount = {
        (code, by_call[one.call.call_id]) for one, code, part in assessed.findings() if part != (0, 0)
    }
    assert with_amount == told


def test_every_row_is_judged_as_the_readme_judges_it(assessed: Assessed) -> None:
    by_id = {identity: trace for trace in assessed.traces for identity in recorded.record_ids(trace.trace)}
    judged = 0
    for row in assessed.truth:
        trace = next((by_id[identity] for identity in row.ids if identity in by_id), None)
        if trace is None or row.is_same not in ("yes", "NO") or not trace.assessments:
            continue
        if row.number in WITHOUT_REQUEST[assessed.name] | LOST_BRANCH[assessed.name]:
            expected = Verdict.UNVERIFIED
        elif row.is_same == "yes" or row.number in CHILD_COUNTED_IN[assessed.name]:
            expected = Verdict.AGREE
        else:
            expected = Verdict.EXPLAINED
        if (
            row.number == 123
        ):  # the workflow killed together with the chat of row 122, whose requests stand there
            expected = Verdict.EXPLAINED
        assert trace.verdict is expected, row.text
        judged += 1
    assert judged > 90


def test_the_traces_whose_sums_are_wrong_are_told(assessed: Assessed) -> None:
    told = Counter(item.code for trace in assessed.traces for item in trace.findings)
    del told["mixed_currencies"]
    expected = {
        "1.12.1": {"message_total_zero": 2, "run_total_zero": 3, "workflow_tool_counted_twice": 1},
        "1.14.0": {
            "message_total_zero": 4,
            "run_total_zero": 3,
            "workflow_tool_counted_twice": 2,
            "containers_counted_twice": 2,
        },
    }
    assert dict(told) == expected[assessed.name]


def test_the_tool_whose_child_run_is_counted_twice_is_named(assessed: Assessed) -> None:
    """README 1.12.1, row 89: outer 137 = 94 own + 43 inner. README 1.14.0, row 112: 114 = 84 + the child's 30."""
    row, words = {
        "1.12.1": (89, "137 tokens: 94 of its own calls and 43 of the workflow"),
        "1.14.0": (112, "114 tokens: 84 of its own calls and 30 of the workflow"),
    }[assessed.name]
    [found] = [item for item in assessed.of_row(row).findings if item.code == "workflow_tool_counted_twice"]
    assert words in found.evidence


def test_traces_with_renminbi_and_dollars_are_told(assessed: Assessed) -> None:
    """The README's table of apps: one branch of these is priced in RMB, the other in USD."""
    told = {
        trace.trace.app.name
        for trace in assessed.traces
        if any(item.code == "mixed_currencies" for item in trace.findings)
    }
    expected = {"1.12.1": {"Report workflow (parallel)"}, "1.14.0": {"Report workflow (parallel)", "Chatflow with iteration and loop",
        "Chatflow with human approval", "Workflow with human approval", "Workflow with agent node"}}  # fmt: skip
    assert told == expected[assessed.name]


def test_an_estimate_of_a_plugin_names_its_rule(assessed: Assessed) -> None:
    """README: openai's plugin counts with tiktoken, the OpenAI-compatible one with GPT-2."""
    words = {"openai": "tiktoken (o200k_base)", "openai_api_compatible": "GPT-2 tokens of the first message"}
    estimates = assessed.of_code("plugin_estimate")
    assert len(estimates) == {"1.12.1": 5, "1.14.0": 2}[assessed.name]
    for one in estimates:
        [found] = [item for item in one.findings if item.code == "plugin_estimate"]
        assert words[one.call.provider or ""] in found.evidence
        assert found.confidence is Confidence.CERTAIN


def test_what_only_the_vendor_s_log_tells_is_named_with_its_number(assessed: Assessed) -> None:
    """README: 32,384 cached tokens (1,792 of them of row 29, of which Dify kept nothing) and 1,169 reasoning tokens of
    OpenAI's models and of a model that hands its reasoning out (README 1.14.0: 30,720 and 611)."""
    cached = [one.vendor for one in assessed.of_code("cached_at_full_price")]
    hidden = assessed.of_code("reasoning_invisible")
    expected = {"1.12.1": (32_384 - 1_792, 1_169 - 99), "1.14.0": (30_720, 611 - 99)}[assessed.name]
    assert sum(vendor.tokens.cache_read or 0 for vendor in cached if vendor) == expected[0]
    assert sum(one.vendor.tokens.reasoning or 0 for one in hidden if one.vendor) == expected[1]
    assert all(one.verdict is Verdict.AGREE for one in hidden)


def test_parts_that_no_recount_sees_are_named_with_the_vendor_s_price_for_them(assessed: Assessed) -> None:
    """The log's rules: a picture costs 255 tokens on gpt-4o, so two are 510; agents carry tool definitions."""
    told = {one.call.call_id: one for one in assessed.of_code("not_in_recount")}
    agents = [
        one
        for one in told.values()
        if any(attempt.tools for attempt in (one.vendor.attempts if one.vendor else ()))
    ]
    assert len(agents) >= {"1.12.1": 10, "1.14.0": 5}[assessed.name]
    if assessed.name == "1.14.0":
        for row, words in ((17, ("1 picture", "255 input tokens")), (18, ("2 picture", "510 input tokens"))):
            [said] = [
                item.evidence
                for one in assessed.of_row(row).assessments
                for item in one.findings
                if item.code == "not_in_recount"
            ]
            assert all(part in said for part in words), said


def test_hidden_calls_sum_to_the_readme_s_table(assessed: Assessed) -> None:
    for kind, (code, amount) in HIDDEN[assessed.name].items():
        found = []
        for line in assessed.log.values():
            if line["kind"] != kind:
                continue
            request = parse(canonical(line), "gateway")
            about = Call(f"hidden:{request.id}", KINDS.get(kind, f"hidden:{kind}"), None, request.model, 0, 1, Status.OK, None)  # fmt: skip
            seen = vendor_reading(Owned(Match((request,), "title", 0.9)))
            one = assess(about, None, None, seen, tolerance_percent=5, evidence_expected=False)
            assert one.verdict is Verdict.EXPLAINED
            found += [(item.input, item.output) for item in one.findings if item.code == code]
        assert _sum(iter(found)) == amount, kind


def test_the_request_of_a_deleted_conversation_is_a_missing_row(assessed: Assessed) -> None:
    """README 1.12.1, rows 99 and 100: 19 + 48 billed, message rows left: 0."""
    if assessed.name != "1.12.1":
        assert not [row for row in assessed.truth if "delete-conversation" in row.text]
        return
    [row] = [row for row in assessed.truth if row.number == 99]
    [line] = [line for line in assessed.log.values() if line["seq"] in row.seqs and line["kind"] == "answer"]
    request = parse(canonical(line), "gateway")
    about = Call(request.id, "chat", None, request.model, 0, 1, Status.OK, recorded=None, note="row_missing")
    seen = vendor_reading(Owned(Match((request,), "user", 0.5)))
    one = assess(about, None, None, seen, tolerance_percent=5, evidence_expected=False)
    assert [(item.code, item.input, item.output) for item in one.findings] == [("row_missing", 19, 48)]
