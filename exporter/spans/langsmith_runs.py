"""LangSmith's run ids and places in its tree, worked out from our own ids and times.

Run ids are UUIDv7 from the start time and a salted hash of our span id: a resend is the same run, and never a run
that Dify's own LangSmith integration wrote under Dify's ids. `dotted_order` is the parent's order + `.` + start time +
run id; its last 36 characters are the run id, its first UUID the trace id. A child that starts before its parent is
refused (langsmith-sdk issue 2236), so it is moved to the parent's start.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from exporter.model import Micros, Step
from exporter.spans.tree import Tree

_SALT = b"dify-exporter\x1f"


@dataclass(frozen=True, slots=True)
class Run:
    """Where a step stands in LangSmith's tree."""

    id: str
    parent_id: str | None
    started_at: Micros
    dotted_order: str


def runs(of: Tree) -> dict[str, Run]:
    """The run of every step by its span id, parents before children whatever the order of the steps."""
    steps = {step.span_id: step for step in of.trace.steps}
    placed: dict[str, Run] = {}
    for span_id in steps:
        branch: list[str] = []
        at: str | None = span_id
        while at is not None and at not in placed:
            branch.append(at)
            at = of.parents[at]
        for name in reversed(branch):
            above = of.parents[name]
            placed[name] = _run(of, steps[name], placed[above] if above is not None else None)
    return placed


def _run(of: Tree, step: Step, parent: Run | None) -> Run:
    run_id = uuid7(step.started_at, of.trace.trace_id, step.span_id)
    if parent is None:
        return Run(run_id, None, step.started_at, _order(step.started_at) + run_id)
    started_at = max(step.started_at, parent.started_at)
    return Run(run_id, parent.id, started_at, f"{parent.dotted_order}.{_order(started_at)}{run_id}")


def uuid7(started_at: Micros, trace_id: str, span_id: str) -> str:
    """A UUIDv7 (RFC 9562: 48 bits of milliseconds, 74 free bits) whose free bits are a salted hash of our ids."""
    digest = hashlib.sha256(_SALT + f"{trace_id}\x1f{span_id}".encode()).digest()
    free = int.from_bytes(digest[:10])
    milliseconds = max(0, started_at) // 1000 & 0xFFFF_FFFF_FFFF
    value = milliseconds << 80 | 0x7 << 76 | (free >> 62 & 0xFFF) << 64 | 0b10 << 62 | free & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _order(moment: Micros) -> str:
    whole, micros = divmod(max(0, moment), 1_000_000)
    return f"{_second(whole)}{micros:06}Z"


@lru_cache(maxsize=4096)
def _second(whole: int) -> str:
    return f"{datetime.fromtimestamp(whole, UTC):%Y%m%dT%H%M%S}"
