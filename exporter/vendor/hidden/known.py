"""What the searches for the trace of a hidden request work with, and what they say.

All windows give way by the clock difference allowed, and by a second where Dify rounded a time to whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.model import SECOND, Micros
from exporter.vendor.fingerprint import user_hashes
from exporter.vendor.hidden.settle import Claims
from exporter.vendor.hidden.stretches import Key, Stretches
from exporter.vendor.hidden.traces import TracePrint
from exporter.vendor.matching.candidates import RequestId
from exporter.vendor.record import VendorCall

NOBODY = frozenset(user_hashes("unknown"))
"""The user that Dify names to its plugins for calls made for nobody."""


@dataclass(frozen=True, slots=True)
class Attached:
    """Where a hidden request belongs: a trace, else an app, else (both None) the instance as a whole.

    `method` names the evidence, `confidence` (0 to 1) how sure it is. `call_id` is set when Dify did record the call
    (a retrieval's own model, since Dify 1.9.2): the request is an attempt of that call, not a further call.
    """

    trace_id: str | None
    app_id: str | None
    purpose: str
    method: str
    confidence: float
    call_id: str | None = None


Decided = Mapping[RequestId, Attached]
"""What the searches before have found."""


@dataclass(frozen=True, slots=True)
class Known:
    """Traces and hidden requests by their ids, in an order that does not depend on the input's."""

    traces: Mapping[str, TracePrint]
    requests: Mapping[RequestId, VendorCall]
    skew: Micros

    def opens(self, trace: TracePrint) -> Micros:
        """When a trace may have begun to ask, by the other clock."""
        return trace.started_at - self.skew - rounding(trace)

    def closes(self, trace: TracePrint, late: Micros = 0) -> Micros:
        """When it asked for the last time, `late` after its end, by the other clock."""
        return trace.ended_at + self.skew + late

    def undecided(self, decided: Decided, *purposes: str) -> dict[RequestId, VendorCall]:
        """The requests of these purposes that nothing was found for yet."""
        return {
            identity: request
            for identity, request in self.requests.items()
            if request.purpose in purposes and identity not in decided
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What one search found out: the possible traces of requests, the settled ones, on what evidence and how sure."""

    claims: Claims
    settled: Mapping[RequestId, str]
    method: str
    confidence: float


def possible(index: Mapping[Key, Stretches], request: VendorCall, words: Sequence[str]) -> list[TracePrint]:
    """The traces with these words at the request's time, but those of another app or another user."""
    group = index.get(tuple(words))
    named = users_of(request)
    return [
        trace
        for trace in (group.at(request.start) if group else None) or ()
        if request.dify_app_id in (None, trace.app_id)
        and (not named or not trace.users or not named.isdisjoint(trace.users))
    ]


def users_of(request: VendorCall) -> frozenset[str]:
    """The names of the end user of a request, if it was made for one."""
    return frozenset() if NOBODY & set(request.users) else frozenset(request.users)


def undisputed(claims: Claims) -> dict[RequestId, str]:
    """The requests that one trace alone can have made."""
    return {identity: traces[0].trace_id for identity, traces in claims.items() if len(traces) == 1}


def rounding(trace: TracePrint) -> Micros:
    """What Dify may have rounded a trace's times by."""
    return SECOND if trace.started_at % SECOND == 0 else 0
