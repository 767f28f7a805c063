"""Copied rows of the recorded instances: bursts, retries, stops, agent rounds, failures. Truth: the recordings' tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from exporter.model import Call, PromptMessage, Recorded, Status, Tokens, ToolCall
from exporter.vendor.fingerprint import fingerprint_call
from exporter.vendor.matching.match import match
from exporter.vendor.reading import Owned, vendor_reading
from exporter.vendor.record import parse

ROWS = orjson.loads((Path(__file__).parents[2] / "data" / "vendor" / "recorded-rows.json").read_bytes())
HIDDEN = {"title", "suggested", "embedding", "rerank"}


def restored(fields: Mapping[str, Any]) -> Call:
    """A Call from its copied fields; Dify's price is not needed here."""
    recorded, asked = fields["recorded"], fields["prompt"]
    return Call(
        **{
            **fields,
            "status": Status(fields["status"]),
            "recorded": Recorded(Tokens(**recorded["tokens"]), recorded["provenance"], recorded["total"])
            if recorded
            else None,
            "prompt": tuple(message(item) for item in asked) if asked else None,
            "tool_calls": tuple(ToolCall(**item) for item in fields["tool_calls"]),
        }
    )


def message(fields: Mapping[str, Any]) -> PromptMessage:
    return PromptMessage(**{**fields, "tool_calls": tuple(ToolCall(**item) for item in fields["tool_calls"])})


@pytest.fixture(params=sorted(ROWS))
def part(request: pytest.FixtureRequest) -> dict[str, Any]:
    return ROWS[request.param]


def owners(part: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The trace that got each request."""
    prints = [
        fingerprint_call(restored(item), other_users=trace["users"])
        for trace in part["traces"]
        for item in trace["calls"]
    ]
    found = match(prints, [parse(record, "gw") for record in part["records"]])
    trace_of = {item["call_id"]: trace for trace in part["traces"] for item in trace["calls"]}
    return {attempt.id: trace_of[name] for name, one in found.items() for attempt in one.attempts}


def test_no_request_is_given_to_another_trace(part: dict[str, Any]) -> None:
    owned = owners(part)
    for row in part["rows"]:
        for identity in row["requests"]:
            if identity in owned and row["ids"]:
                assert set(owned[identity]["ids"]) & set(row["ids"]), identity


def test_every_request_for_a_message_or_run_finds_its_call_and_no_hidden_one_does(
    part: dict[str, Any],
) -> None:
    owned = owners(part)
    for identity, kind in part["kinds"].items():
        assert (identity in owned) is (kind not in HIDDEN), kind


def test_readings_add_up_to_what_the_vendor_billed_for_each_row(part: dict[str, Any]) -> None:
    prints = {
        item["call_id"]: fingerprint_call(restored(item), other_users=trace["users"])
        for trace in part["traces"]
        for item in trace["calls"]
    }
    found = match(list(prints.values()), [parse(record, "gw") for record in part["records"]])
    compared = 0
    for row in part["rows"]:
        calls = [
            item for trace in part["traces"] if set(trace["ids"]) & set(row["ids"]) for item in trace["calls"]
        ]
        readings = [
            vendor_reading(Owned(found[item["call_id"]])) for item in calls if item["call_id"] in found
        ]
        if calls:
            compared += 1
            sums = (sum(r.tokens.input or 0 for r in readings), sum(r.tokens.output or 0 for r in readings))
            assert sums == tuple(row["billed"])
    assert compared >= len(part["rows"]) - 1


def test_each_chat_of_the_burst_gets_the_request_of_its_own_user() -> None:
    part = ROWS["1.12.1"]
    owned = owners(part)
    users = {record["id"]: record.get("user") for record in part["records"]}
    burst = {
        identity: trace for identity, trace in owned.items() if "burst-" in str(trace["calls"][0]["user"])
    }
    assert len(burst) == 8
    assert all(users[identity] in trace["users"] for identity, trace in burst.items())
