"""Every recorded vendor request comes out of every gateway's format with the vendor's own numbers.

The sample in the repository holds one short line of each kind in the two recordings (by address, stream, fault, tools,
cached and reasoning tokens, pictures), renumbered; the whole recordings are read too where they are at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.vendor.adapters import ADAPTERS
from exporter.vendor.record import VendorCall, parse
from tests.vendor.adapters.line_facts import BROKEN, is_anthropic, is_failed, operation
from tests.vendor.convert_recording import canonical, lines
from tests.vendor.formats import FORMATS, KNOWS, VARIANTS, converter, record_id

SAMPLE = Path(__file__).parents[2] / "data" / "vendor" / "formats-sample.jsonl"
NAMES = [*FORMATS, *VARIANTS]
ONLY_TEXT = {"apisix", "higress with texts"}
"""Formats that log what the model wrote, but not which tools it called."""
NO_BREAK = {"kong 3.6", "one-api"}
"""Formats in which an answer that broke off looks like any other."""
NO_TOOLS = {"generic", "higress with texts", "otlp old names"}
"""Formats (or, for generic, our converter) that leave the tool definitions out."""
NO_SCHEMA = {"apisix", "bedrock", "bedrock in CloudWatch", "otlp", "otlp events"}
"""Forms of a request in which a response format does not stand where OpenAI has it."""


def expected(line: dict[str, Any]) -> VendorCall:
    """The line's canonical evidence, with the whole request."""
    return parse({**canonical(line), "request": line["request"]}, "x")


def records(name: str, line: dict[str, Any]) -> list[object]:
    """What the adapter makes of the line, as it would arrive over the wire."""
    adapter, convert = converter(name)
    return list(ADAPTERS[adapter](json.loads(json.dumps(convert(line)))))


def visible(name: str, log: list[dict[str, Any]]) -> Iterator[tuple[VendorCall, VendorCall, dict[str, Any]]]:
    """Each line the format can show: what is expected, what came, the line."""
    for line in log:
        if not is_failed(line) or "failed" in KNOWS[name]:
            (record,) = records(name, line)
            yield expected(line), parse(record, "x"), line


def assert_the_same(name: str, log: list[dict[str, Any]]) -> None:
    seen = 0
    for want, have, line in visible(name, log):
        seen += 1
        place = f"{name}, line {line['seq']}"
        assert have.id == record_id(name, line), place
        assert (have.model, have.operation) == (want.model, want.operation), place
        assert have.status == ("ok" if name in NO_BREAK and line["fault"] in BROKEN else want.status), place
        assert_tokens(name, want, have, line)
        assert_who_and_when(name, want, have)
        if "texts" in KNOWS[name] and operation(line) == "chat":
            assert_texts(name, want, have)
    assert seen >= len(log) // 2


def assert_tokens(name: str, want: VendorCall, have: VendorCall, line: dict[str, Any]) -> None:
    if want.tokens is None or have.tokens is None:
        assert want.tokens is have.tokens, (name, line["seq"])
        return
    is_blind = name == "kong 3.6" and is_anthropic(
        line
    )  # Anthropic's prompt number, and nothing of the cache
    cached = (want.tokens.cache_read or 0) + (want.tokens.cache_write or 0) if is_blind else 0
    assert (have.tokens.input or 0) + cached == want.tokens.input, (name, line["seq"])
    assert have.tokens.output == want.tokens.output, (name, line["seq"])
    if "cache" in KNOWS[name]:
        assert (have.tokens.cache_read or 0) == (want.tokens.cache_read or 0), (name, line["seq"])
        assert (have.tokens.cache_write or 0) == (want.tokens.cache_write or 0), (name, line["seq"])


def assert_who_and_when(name: str, want: VendorCall, have: VendorCall) -> None:
    if "user" in KNOWS[name]:
        assert have.users == want.users, name
    if "times" in KNOWS[name]:
        assert have.started_at is not None
        assert have.ended_at is not None
        assert abs(have.started_at - want.start) <= 1000, name
        assert abs(have.ended_at - want.end) <= 1000, name
    else:
        assert want.start - 1_001_000 <= have.start <= want.end, name
        assert want.start - 1_001_000 <= have.end <= want.end, name


def assert_texts(name: str, want: VendorCall, have: VendorCall) -> None:
    assert have.prompt == want.prompt, name
    assert have.purpose == want.purpose, name
    assert (have.asked.messages, have.asked.chars, have.asked.media) == (
        want.asked.messages,
        want.asked.chars,
        want.asked.media,
    ), name
    if name not in NO_TOOLS:
        assert (have.asked.tools or 0) == want.asked.tools, name  # none may be unknown
    if name not in NO_SCHEMA and name not in NO_TOOLS:
        assert bool(have.asked.has_schema) == want.asked.has_schema, name
    if name not in ONLY_TEXT:
        assert have.answer == want.answer, name
    elif want.answer and want.answer.text:
        assert have.answer is not None
        assert (have.answer.text, have.answer.beginnings) == (want.answer.text, want.answer.beginnings), name


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_recorded_request_keeps_its_truth(name: str) -> None:
    assert_the_same(name, list(lines(SAMPLE)))


@pytest.mark.parametrize("log", ["vendor-calls.jsonl", "vendor-calls-1.14.0.jsonl"])
@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_request_keeps_its_truth(name: str, log: str, shared: Path) -> None:
    assert_the_same(name, list(lines(shared / "dify" / log)))


def test_a_batch_gives_the_records_of_its_entries() -> None:
    log = list(lines(SAMPLE))
    for name in NAMES:
        adapter, convert = converter(name)
        batch = json.loads(json.dumps([convert(line) for line in log]))
        alone = [record for entry in batch for record in ADAPTERS[adapter](entry)]
        assert list(ADAPTERS[adapter](batch)) == alone


def test_the_same_entry_always_gives_the_same_record() -> None:
    for line in lines(SAMPLE):
        for name in NAMES:
            assert records(name, line) == records(name, line)


def test_no_record_but_a_failed_one_shares_its_id_with_another() -> None:
    log = list(lines(SAMPLE))
    for name in NAMES:
        ids = [have.id for _, have, _ in visible(name, log)]
        assert len(set(ids)) == len(ids)


def test_a_failed_request_of_higress_is_named_and_does_not_say_what_was_asked() -> None:
    failed = [line for line in lines(SAMPLE) if is_failed(line)]
    for line in failed:
        (refused,) = records("higress with texts", line)
        assert str(refused) == "Unreadable(reason='ai_log names no model, as for a failed request')"
