"""Why Dify recorded nothing of a call that the vendor billed, told from how the record ended and how the request did.

What the record cannot tell apart stays one cause; a cause that is only the usual one is `likely`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from exporter.model import Attempt, Call, Confidence, Status, Sums

AGENT_NODE = "the prompts of an agent's rounds"
"""What `Call.missing` says of an agent node, whose one call is several requests."""

PRICE_UNTOLD = "price_untold"
"""What a call's note says where the source did not tell Dify's price, which then may be there (Console API, messages)."""

_KEPT = re.compile(r"^rounds_not_in_message:(\d+)\+(\d+)$")


def kept_by_rounds(call: Call) -> tuple[int, int] | None:
    """What an agent round kept although its message says 0 (the call's note carries it)."""
    noted = _KEPT.match(call.note or "")
    return (int(noted[1]), int(noted[2])) if noted else None


def why_rounds_are_missing(call: Call) -> str:
    """Why the message around a round stayed at 0, in words; the record does not always know."""
    if call.status is Status.UNFINISHED:
        return "the client hung up before the end (or the API process was killed)"
    return "the message did not end well"


def why_nothing(call: Call, attempts: Sequence[Attempt], sums: Sums | None) -> tuple[str, Confidence]:
    """The code of the reason why Dify recorded nothing, and how sure it is."""
    was_cut = bool(attempts) and attempts[-1].status == "aborted"
    match call.status:
        case Status.STOPPED:
            return "recorded_nothing_stopped", Confidence.CERTAIN
        case Status.UNFINISHED:
            return _why_unfinished(call, was_cut, sums)
        case Status.ERROR if _lost_rounds(call, attempts):
            return "agent_rounds_lost", Confidence.CERTAIN
        case Status.ERROR | Status.OK if was_cut:
            return "stream_cut", Confidence.CERTAIN
        case Status.ERROR:
            return "recorded_nothing_failed", Confidence.CERTAIN
        case _:
            return "recorded_nothing_finished", Confidence.CERTAIN


def answered_rounds(attempts: Sequence[Attempt]) -> int:
    """How many requests were answered in full and billed."""
    return sum(1 for attempt in attempts if attempt.status == "ok" and attempt.tokens.total)


def _lost_rounds(call: Call, attempts: Sequence[Attempt]) -> bool:
    """An agent node whose last request failed after others had been answered."""
    if AGENT_NODE not in call.missing or not attempts:
        return False
    return attempts[-1].status != "ok" and answered_rounds(attempts) > 0


def _why_unfinished(call: Call, was_cut: bool, sums: Sums | None) -> tuple[str, Confidence]:
    """A message without a run is left empty when its client hangs up. A run is left open by a stop in mid-answer and by
    a killed process alike (measured on Dify 1.12.1 and 1.14.0), but a stop saves the chatflow's message, and after a
    stop the plugin reads the vendor's stream to its end."""
    if call.node_execution_id is None:
        return "client_hung_up", Confidence.LIKELY
    if was_cut:
        return "process_died", Confidence.LIKELY
    shown = sums.message.total if sums and sums.message else None
    if shown is None or sums is None or not sums.leaves.total:
        return "recorded_nothing_abandoned", Confidence.CERTAIN
    return "process_died" if shown == 0 else "recorded_nothing_stopped", Confidence.LIKELY
