"""The same request in two logs is one request; equal requests in one log are two."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.model import Tokens
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint, fingerprint_call
from exporter.vendor.matching.duplicates import copies
from exporter.vendor.matching.match import match
from exporter.vendor.matching.skew import shifted
from exporter.vendor.reading import Owned, vendor_reading
from exporter.vendor.record import VendorCall, parse
from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import canonical

T0 = 1_795_461_600_123_456
SECOND = 1_000_000
BARE = ("request", "response_text", "tool_calls")


def request(source: str, name: str, at: float = 0.0, lasts: float = 0.5, **changes: Any) -> VendorCall:
    known: dict[str, Any] = {
        "source": source,
        "id": name,
        "started_at": T0 + round(at * SECOND),
        "ended_at": T0 + round((at + lasts) * SECOND),
        "operation": "chat",
        "model": "gpt-4o",
        "status": "ok",
        "tokens": Tokens(20, 5),
    }
    return VendorCall(**{**known, **changes})


def copied(*requests: VendorCall) -> dict[str, str]:
    """Copy → original as source/id; asserts that the order changes nothing."""
    found = copies(requests)
    for seed in range(5):
        assert copies(random.Random(seed).sample(requests, len(requests))) == found
    return {"/".join(copy): "/".join(original) for copy, original in found.items()}


def test_a_shared_id_makes_copies_and_the_one_that_tells_most_is_the_original() -> None:
    rich = request(
        "log", "spend-17", 0.3, response_id="chatcmpl-0123456789", answer=AnswerPrint("a" * 32, 40)
    )
    assert copied(request("gw", "chatcmpl-0123456789"), rich) == {"gw/chatcmpl-0123456789": "log/spend-17"}


def test_a_shared_id_counts_even_where_one_gateway_counted_by_itself() -> None:
    estimated = request("gw", "chatcmpl-0123456789", tokens=Tokens(19, 4), is_estimated=True)
    billed = request("log", "chatcmpl-0123456789")
    assert copied(estimated, billed) == {"gw/chatcmpl-0123456789": "log/chatcmpl-0123456789"}


def test_short_ids_that_two_counters_gave_say_nothing_by_themselves() -> None:
    assert copied(request("gw", "17"), request("log", "17", tokens=Tokens(900, 5))) == {}
    assert copied(request("gw", "17"), request("log", "17", 60.0)) == {"log/17": "gw/17"}


def test_an_id_that_one_log_uses_twice_says_nothing() -> None:
    twice = [
        request("gw", name, tokens=Tokens(n, 5), response_id="chatcmpl-0123456789")
        for n, name in ((1, "a"), (2, "b"))
    ]
    assert copied(*twice, request("log", "chatcmpl-0123456789", tokens=Tokens(3, 5))) == {}


def test_equal_numbers_at_the_same_time_are_copies_where_the_logs_know_no_common_id() -> None:
    assert copied(request("gw", "a"), request("log", "b", 0.02)) == {"log/b": "gw/a"}


@pytest.mark.parametrize(
    "other",
    [
        {"tokens": Tokens(20, 6)},
        {"model": "gpt-4o-mini"},
        {"status": "aborted"},
        {"operation": "completion"},
        {"users": ("franz",)},
        {"prompt": PromptPrint(("u2",))},
        {"answer": AnswerPrint("b" * 32, 9)},
        {"dify_app_id": "app-2"},
        {"started_at": T0 - 5 * SECOND, "ended_at": T0 - 4 * SECOND},
        {"ended_at": T0 + 9 * SECOND},
    ],
)
def test_anything_that_differs_makes_two_requests(other: dict[str, Any]) -> None:
    told = {
        "users": ("erika",),
        "prompt": PromptPrint(("u1",)),
        "answer": AnswerPrint("a" * 32, 9),
        "dify_app_id": "app-1",
    }
    assert copied(request("gw", "a", **told), request("log", "b", **told)) == {"log/b": "gw/a"}
    assert copied(request("gw", "a", **told), replace(request("log", "b", **told), **other)) == {}


def test_equal_requests_of_one_source_are_never_copies() -> None:
    assert copied(*(request("gw", f"r{n}", n / 100) for n in range(8))) == {}


def test_a_burst_of_equal_requests_in_two_logs_is_paired_one_to_one() -> None:
    burst = [request("gw", f"a{n}", n / 10) for n in range(8)] + [
        request("log", f"b{n}", n / 10 + 0.01) for n in range(8)
    ]
    assert copied(*burst) == {f"log/b{n}": f"gw/a{n}" for n in range(8)}


def test_failed_requests_without_numbers_have_copies_too() -> None:
    failed: dict[str, Any] = {"status": "error", "tokens": None, "http_status": 503}
    found = copied(
        *(request("gw", f"a{n}", n, 0.01, **failed) for n in range(3)),
        *(request("log", f"b{n}", n + 0.02, 0.01, **failed) for n in range(3)),
    )
    assert found == {f"log/b{n}": f"gw/a{n}" for n in range(3)}
    assert copied(request("gw", "a", **failed), request("log", "b", **{**failed, "http_status": 429})) == {}


def test_three_logs_have_one_original() -> None:
    found = copied(request("a", "x"), request("b", "y", 0.01, users=("erika",)), request("c", "z", 0.02))
    assert found == {"a/x": "b/y", "c/z": "b/y"}


# ── the recordings through two sources at once ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=["1.12.1", "1.14.0"])
def recording(request: pytest.FixtureRequest, shared: Path) -> tuple[list[CallPrint], list[dict[str, Any]]]:
    instance = recorded.V1_12 if request.param == "1.12.1" else recorded.V1_14
    found = recorded.calls(recorded.traces(shared, instance))
    prints = [fingerprint_call(one, trace.app.id, trace.user_aliases) for trace, one in found]
    return prints, [canonical(line) for line in recorded.log_by_id(shared, instance).values()]


Reading = tuple[int | None, int | None, int]


def ledger(prints: list[CallPrint], requests: list[VendorCall]) -> dict[str, Reading]:
    """Per call the vendor's input and output, and the number of attempts."""
    found = {name: vendor_reading(Owned(one)) for name, one in match(prints, requests).items()}
    return {name: (one.tokens.input, one.tokens.output, len(one.attempts)) for name, one in found.items()}


@pytest.mark.parametrize("left_out", [(), BARE, (*BARE, "user")], ids=["everything", "no texts", "no users"])
@pytest.mark.parametrize("has_common_id", [True, False])
def test_recorded_traffic_logged_twice_gives_the_ledger_of_one_log(
    recording: tuple[list[CallPrint], list[dict[str, Any]]], left_out: tuple[str, ...], has_common_id: bool
) -> None:
    prints, records = recording
    poorer = [{name: value for name, value in record.items() if name not in left_out} for record in records]
    vendor = [replace(parse(record, "unused"), source="vendor") for record in poorer]
    gateway = [
        replace(
            shifted(item, 15_000),
            source="gateway",
            id=f"gw-{number}",
            response_id=item.id if has_common_id else None,
            answer=None,
        )
        for number, item in enumerate(vendor)
    ]
    both = [*vendor, *gateway]
    doubled = copies(both)
    assert len(doubled) == len(vendor)
    singles = [item for item in both if (item.source, item.id) not in doubled]
    assert ledger(prints, singles) == ledger(prints, vendor)
