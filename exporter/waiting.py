"""When a trace may leave: it waits until Dify has finished it, and until vendor evidence has had its time.

Pure: the time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config import CompareSettings, DifySettings
from exporter.model import SECOND, AssessedTrace, Micros, Trace

_GRACE = 3 * SECOND
"""A chatflow's message is saved by another thread after its run; node rows may lag behind a Celery repository."""
_LONGEST_LOOK = 900 * SECOND
FIRST_LOOK = "first look: its calls are known to the matching from now on"
"""With vendor evidence every trace is looked at twice: matching needs to know the other calls of the same time."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`export` now or not; `look_again_at` when the record must be read once more; `reason` in words."""

    export: bool
    look_again_at: Micros | None = None
    reason: str = ""


def decide(
    assessed: AssessedTrace,
    now: Micros,
    checks: int,
    dify: DifySettings,
    compare: CompareSettings,
    *,
    evidence_expected: bool,
    was_exported: bool,
    is_different: bool,
    hurry: bool,
) -> Decision:
    """What to do with a trace that was just read. `hurry` (run --once) waits for nothing that only time would bring;
    `is_different`: something else is known of an exported trace now."""
    trace = assessed.trace
    if not trace.is_final:
        if evidence_expected and checks == 0 and not was_exported:
            return Decision(False, now if hurry else _next_look(trace, now, compare), FIRST_LOOK)
        return _unfinished(trace, now, checks, dify, export=is_different or not was_exported)
    lacks_evidence = any(item.vendor is None or not item.vendor.independent for item in assessed.assessments)
    is_unsettled = evidence_expected and lacks_evidence and not hurry and now < _settled_at(trace, compare)
    if was_exported:
        return Decision(
            True, _settled_at(trace, compare) if is_unsettled else None, "pending" if is_unsettled else ""
        )
    if evidence_expected and checks == 0:
        return Decision(False, now if hurry else _next_look(trace, now, compare), FIRST_LOOK)
    if hurry:
        return Decision(True)
    if trace.workflow_run_id is not None and now < trace.ended_at + _GRACE:
        return Decision(False, trace.ended_at + _GRACE, "just finished")
    if is_unsettled:
        return Decision(False, _next_look(trace, now, compare), "waiting for vendor evidence")
    return Decision(True)


def evidence_may_come(
    trace: Trace, now: Micros, checks: int, compare: CompareSettings, *, hurry: bool
) -> bool:
    """Whether a call without vendor evidence is pending, rather than unverified for good."""
    return checks == 0 or (not hurry and now < _settled_at(trace, compare))


def _settled_at(trace: Trace, compare: CompareSettings) -> Micros:
    return trace.ended_at + round(compare.settle * SECOND)


def _next_look(trace: Trace, now: Micros, compare: CompareSettings) -> Micros:
    """Now and then until the trace has settled: most evidence comes within seconds."""
    return max(now, min(_settled_at(trace, compare), now + 10 * SECOND))


def _unfinished(trace: Trace, now: Micros, checks: int, dify: DifySettings, *, export: bool) -> Decision:
    age = now - trace.ref.created_at
    limit = round((dify.paused_after if trace.is_paused else dify.unfinished_after) * SECOND)
    look_at = now + min(_LONGEST_LOOK, round(dify.poll_interval * SECOND) * 2 ** min(checks, 12))
    if age < limit:
        word = "waits for a person" if trace.is_paused else "still running"
        return Decision(False, min(look_at, trace.ref.created_at + limit), word)
    if age >= round(dify.watch_unfinished * SECOND):
        look_at = 0
    return Decision(export, look_at or None, "never finished")
