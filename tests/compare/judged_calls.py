"""Calls, readings and attempts by hand, and their judgement, for the tests of comparing."""

from __future__ import annotations

from typing import Any

from exporter.compare.verdict import assess
from exporter.model import (
    Accuracy,
    Assessment,
    Attempt,
    Call,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    PromptMessage,
    Recorded,
    Status,
    Tokens,
    VendorReading,
)


def call(**changes: Any) -> Call:
    """A finished gpt-4o-mini call of a chat app, without a kept prompt."""
    known: dict[str, Any] = {
        "call_id": "message:1",
        "kind": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "started_at": 0,
        "ended_at": 1,
        "status": Status.OK,
        "recorded": None,
        "answer": "Two years.",
    }
    return Call(**{**known, **changes})


def node(**changes: Any) -> Call:
    """A call of a workflow's node."""
    return call(**{"call_id": "node:1", "workflow_run_id": "r", "node_execution_id": "n", **changes})


def texts(*words: str, answer: str = "Two years.") -> dict[str, Any]:
    """The kept texts of a call: a system message, then user messages."""
    roles = ("system", *["user"] * (len(words) - 1))
    prompt = tuple(PromptMessage(role, text) for role, text in zip(roles, words, strict=True))
    return {"prompt": prompt, "answer": answer}


def saying(about: Call, given: int, written: int) -> Call:
    """The call with these numbers in Dify's record."""
    recorded = Recorded(Tokens(given, written), "messages", given + written)
    return Call(**{**{name: getattr(about, name) for name in about.__slots__}, "recorded": recorded})


def dify(
    given: int | None, written: int | None, kind: DifyKind = DifyKind.VENDOR_PASSED, **changes: Any
) -> DifyReading:
    return DifyReading(Tokens(given, written), "messages", kind, **changes)


def local(given: int | None, accuracy: Accuracy = Accuracy.EXACT, error: float | None = 0.0) -> LocalReading:
    return LocalReading(Tokens(given, 7), "o200k_base", accuracy, error)


def attempt(
    given: int,
    written: int,
    status: str = "ok",
    read: int | None = None,
    wrote: int | None = None,
    reasoning: int | None = None,
    **changes: Any,
) -> Attempt:
    return Attempt("r", "gw", status, 0, 1, Tokens(given, written, read, wrote, reasoning), **changes)


def vendor(
    *attempts: Attempt, tokens: Tokens | None = None, independent: bool = True, **changes: Any
) -> VendorReading:
    parts = ("input", "output", "cache_read", "cache_write", "reasoning")
    summed = tokens or Tokens(*(sum(getattr(a.tokens, part) or 0 for a in attempts) for part in parts))
    return VendorReading(summed, "gateway:gw", independent, "response_text", 0.99, attempts, **changes)


def judged(
    about: Call,
    recorded: DifyReading | None,
    seen: VendorReading | None,
    own: LocalReading | None = None,
    **changes: Any,
) -> Assessment:
    wanted = {"tolerance_percent": 5.0, "evidence_expected": False, **changes}
    return assess(about, recorded, own, seen, **wanted)


def codes(found: Assessment) -> list[tuple[str, int, int]]:
    return [(item.code, item.input, item.output) for item in found.findings]


def only(found: Assessment) -> Finding:
    """The one finding there is."""
    assert len(found.findings) == 1, codes(found)
    return found.findings[0]
