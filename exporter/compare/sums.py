"""The three sums that Dify keeps of one trace, held against each other: model calls, message, run; and their currencies.

The model calls are right in every version; the message and the run are added up on paths of their own and go wrong by
version. These findings are about the trace and carry no amount: the calls' findings already hold every token.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.compare.currencies import one_name
from exporter.compare.wording import finding, listed
from exporter.model import Confidence, Finding, Step, StepKind, Trace

_ALWAYS = frozenset({"message_total_zero", "run_total_zero", "mixed_currencies"})
"""What is told of a trace that Dify may still write to; other sums are on their way."""


def compare_sums(trace: Trace) -> tuple[Finding, ...]:
    """What the sums of a trace show. Of a trace that Dify may still write to, or will never finish, only a sum that
    stays 0 and mixed currencies are told."""
    found = (*_of_totals(trace), *_of_currencies(trace))
    if trace.is_final or trace.is_paused:
        return found
    return tuple(item for item in found if item.code in _ALWAYS)


def _of_totals(trace: Trace) -> Iterator[Finding]:
    true = _true_total(trace)
    if true is None:
        return
    message = trace.sums.message.total if trace.sums.message else None
    if message == 0 != true:
        yield finding("message_total_zero", Confidence.CERTAIN, true=true)
    elif message is not None:
        yield from _of_sum(trace, "The message", message, true, "message_total_differs")
    run = trace.sums.run_total
    if run == 0 != true:
        yield finding("run_total_zero", Confidence.CERTAIN, true=true, why=_why_zero(trace))
    elif run is not None:
        yield from _of_sum(trace, "The workflow run", run, true, "run_total_differs")


def _true_total(trace: Trace) -> int | None:
    """The sum over the model calls, with the total alone where only that is known."""
    totals = [
        call.recorded.total if call.recorded.tokens.total is None else call.recorded.tokens.total
        for call in trace.calls
        if call.recorded is not None
    ]
    known = [total for total in totals if total is not None]
    return sum(known) if known else trace.sums.leaves.total


def _of_sum(trace: Trace, where: str, shown: int, true: int, otherwise: str) -> Iterator[Finding]:
    """Why a sum is not that of the calls. From Dify 1.9.2 on a workflow tool's child is in its parent's run in every
    version, so it comes first where both would fit."""
    extra, containers, tools = shown - true, trace.sums.containers_total, _workflow_tools(trace)
    child = sum(int(dict(step.facts)["recorded.total_tokens"]) for step in tools)
    if not extra:
        return
    if child and extra in (child, child + containers):
        names = listed(list(dict.fromkeys(step.name for step in tools)))
        yield finding(
            "workflow_tool_counted_twice",
            Confidence.CERTAIN,
            where=where, shown=shown, true=true, child=child, tools=names,
        )  # fmt: skip
        extra -= child
    if containers and extra == containers:
        yield finding(
            "containers_counted_twice",
            Confidence.CERTAIN,
            where=where, shown=shown, true=true, containers=containers,
        )  # fmt: skip
        extra -= containers
    if extra:
        yield finding(otherwise, Confidence.CERTAIN, shown=shown, true=true)


def _workflow_tools(trace: Trace) -> list[Step]:
    """Tool nodes that carry the tokens of the workflow they called."""
    return [
        step
        for step in trace.steps
        if step.kind is StepKind.TOOL and dict(step.facts).get("recorded.total_tokens")
    ]


def _why_zero(trace: Trace) -> str:
    if trace.is_final:
        return "this Dify does not add up (known of 1.9.0 and 1.9.1)"
    return "the run was never finished"


def _of_currencies(trace: Trace) -> Iterator[Finding]:
    names = {
        one_name(call.recorded.cost.currency): call.recorded.cost.currency
        for call in trace.calls
        if call.recorded and call.recorded.cost and call.recorded.cost.amount
    }
    if len(names) > 1:
        yield finding("mixed_currencies", Confidence.CERTAIN, currencies=listed(sorted(names.values())))
