"""The three sums that Dify keeps of one trace, held against each other: model calls, message, run.

The model calls are right in every version; the message and the run are added up on paths of their own and go wrong by
version. These findings are about the trace and carry no amount: the calls' findings already hold every token.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.compare.catalog import finding
from exporter.model import Confidence, Finding, Sums, Trace


def compare_sums(trace: Trace) -> tuple[Finding, ...]:
    """What the sums of a trace show. Of a trace that Dify may still write to, or will never finish, only a sum that
    stays 0 is told; the others are on their way."""
    true = _true_total(trace)
    if true is None:
        return ()
    found = (*_of_message(trace.sums, true), *_of_run(trace.sums, true))
    if trace.is_final or trace.is_paused:
        return found
    return tuple(item for item in found if item.code in ("message_total_zero", "run_total_zero"))


def _true_total(trace: Trace) -> int | None:
    """The sum over the model calls, with the total alone where only that is known."""
    totals = [
        call.recorded.total if call.recorded.tokens.total is None else call.recorded.tokens.total
        for call in trace.calls
        if call.recorded is not None
    ]
    known = [total for total in totals if total is not None]
    return sum(known) if known else trace.sums.leaves.total


def _of_message(sums: Sums, true: int) -> Iterator[Finding]:
    shown = sums.message.total if sums.message else None
    if shown is None or shown == true:
        return
    if shown == 0:
        yield finding("message_total_zero", Confidence.CERTAIN, true=true)
    elif sums.containers_total and shown == true + sums.containers_total:
        yield _twice("The message", shown, true, sums)
    else:
        yield finding("message_total_differs", Confidence.CERTAIN, shown=shown, true=true)


def _of_run(sums: Sums, true: int) -> Iterator[Finding]:
    shown = sums.run_total
    if shown is None or shown == true:
        return
    if shown == 0:
        yield finding("run_total_zero", Confidence.CERTAIN, true=true)
    elif sums.containers_total and shown == true + sums.containers_total:
        yield _twice("The workflow run", shown, true, sums)
    else:
        yield finding("run_total_differs", Confidence.CERTAIN, shown=shown, true=true)


def _twice(where: str, shown: int, true: int, sums: Sums) -> Finding:
    return finding(
        "containers_counted_twice",
        Confidence.CERTAIN,
        where=where,
        shown=shown,
        true=true,
        containers=sums.containers_total,
    )
