"""When a call's requests may have run: its time, give or take the clocks' difference and Dify's rounding."""

from __future__ import annotations

from exporter.model import Micros, Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.record import VendorCall

CLOCK_SECOND: Micros = 1_000_000
SLOW_START: Micros = 30_000_000
"""How long after its row an unfinished call may have begun its request (retrieval and moderation come first); only
where content or the user speaks for the pair."""

LONGEST_CALL: Micros = 600_000_000
"""Requests that began later than this after their call are not looked for: Dify's plugin daemon ends every plugin call
after 600 seconds (PLUGIN_MAX_EXECUTION_TIMEOUT), so only a node with slow retries runs longer."""

_JITTER: Micros = 100_000


def window(call: CallPrint, skew: Micros, slow_start: Micros = 0) -> tuple[Micros, Micros]:
    """The times between which a request of this call began, give or take the clocks' difference.

    Dify rounds some times to whole seconds. A row without an end may have begun its request up to `slow_start` after
    itself.
    """
    slack = skew + (CLOCK_SECOND if call.started_at % CLOCK_SECOND == 0 else 0)
    late = slow_start if call.status is Status.UNFINISHED else 0
    return call.started_at - slack, min(call.ended_at, call.started_at + LONGEST_CALL) + slack + late


def fits_in_time(call: CallPrint, request: VendorCall, skew: Micros, slow_start: Micros = 0) -> bool:
    """Whether the request lies inside the call. A call that did not end well may leave its request running (the plugin
    reads the vendor's stream to its end), so then only the request's start counts."""
    earliest, latest = window(call, skew, slow_start)
    last = request.end if call.status is Status.OK else request.start
    return earliest <= request.start and last <= latest


def is_inside(call: CallPrint, request: VendorCall) -> bool:
    """Whether the request lies inside the call by the clocks as they are: only Dify's rounding (up to half a second)
    and the time between two lines of code are forgiven."""
    slack = _JITTER + (CLOCK_SECOND // 2 if call.started_at % CLOCK_SECOND == 0 else 0)
    last = request.end if call.status is Status.OK else request.start
    return call.started_at - slack <= request.start and last <= call.ended_at + slack


def ended_inside(call: CallPrint, request: VendorCall, skew: Micros) -> bool:
    """Whether the request lies before the end of a failed node whose row began with its last try (Dify 1.12 writes the
    row anew for every try)."""
    if call.status is not Status.ERROR or call.started_at % CLOCK_SECOND == 0:
        return False
    return call.started_at - skew <= request.start and request.end <= call.ended_at + _JITTER
