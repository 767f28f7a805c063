"""Matching vendor requests to Dify calls: how many a second, does the time grow with the number, and is it right?

Traffic with known owners is matched slice by slice, as the daemon does it; only the time in `match` counts. A million calls
take some minutes; `--calls 10000` is a short form.

    python -m bench.matching
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from bench._common import machine, print_json, print_table, say
from bench._vendor_traffic import Kind, Turn, turns
from exporter.model import Micros
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.match import match, padding
from exporter.vendor.record import VendorCall

AIM = (
    "Aim: time linear in the number of records, flat memory, no wrong match, 5,000 calls a second with texts."
)
KINDS = {
    "with texts": Kind(),
    "usage, user and times only": Kind(has_texts=False),
    "usage and times only": Kind(has_texts=False, has_users=False),
    "one user for all, with texts": Kind(users=1),
    "one user for all, no texts": Kind(users=1, has_texts=False),
}
_SLICE = 10_000


@dataclass(slots=True)
class Score:
    """What came of one run."""

    calls: int = 0
    requests: int = 0
    owned: int = 0
    given: int = 0
    wrong: int = 0
    seconds: float = 0.0


def main() -> None:
    """Measure every kind at growing sizes and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--kind", choices=[*KINDS], action="append", help="this traffic (may be repeated); else the first two"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    rows = []
    for name in given.kind or [*KINDS][:2]:
        for size in sorted(given.calls):
            say(f"{name}: {size:,} calls …")
            rows.append((name, _run(size, KINDS[name]), _peak_mb()))
    if given.json:
        print_json({"machine": machine(), "runs": [_as_json(*row) for row in rows]})
        return
    head = ("traffic", "calls", "requests", "calls/s", "records/s", "precision", "recall", "peak MB so far")
    print_table(head, [_as_row(*row) for row in rows])
    print(f"{machine()}; one core. {AIM}")


def _run(size: int, kind: Kind) -> Score:
    score = Score()
    for window in _windows(size, kind):
        before = time.process_time()
        found = match(window.calls, window.requests)
        score.seconds += time.process_time() - before
        score.calls += len(window.own)
        score.owned += sum(call in window.own for call in window.owner.values())
        score.requests += window.new_requests
        for call_id in window.own & found.keys():
            for request in found[call_id].attempts:
                score.given += 1
                score.wrong += window.owner.get((request.source, request.id)) != call_id
    return score


@dataclass(frozen=True, slots=True)
class _Window:
    """A slice with what lies around it; `own` are the calls the slice is about."""

    calls: list[CallPrint]
    requests: list[VendorCall]
    owner: dict[tuple[str, str], str]
    own: set[str]
    new_requests: int


def _windows(size: int, kind: Kind) -> Iterator[_Window]:
    """Slices of `_SLICE` calls with the padding that matching asks for."""
    traffic = turns(1, kind)
    held: list[Turn] = []
    done = 0
    since: Micros = 0
    while done < size:
        inner = _until(traffic, held, since, min(_SLICE, size - done))
        margin = padding(max(call.ended_at - call.started_at for turn in held for call in turn.calls))
        while held[-1].at < inner[-1].at + 2 * margin:
            held.append(next(traffic))
        own = {call.call_id for turn in inner for call in turn.calls}
        done += len(own)
        yield _Window(
            [call for turn in held for call in turn.calls],
            [request for turn in held for request in turn.requests],
            {identity: call for turn in held for identity, call in turn.owner.items()},
            own,
            sum(len(turn.requests) for turn in inner),
        )
        since = inner[-1].at
        held = [turn for turn in held if turn.at > since - 2 * margin]


def _until(traffic: Iterator[Turn], held: list[Turn], since: Micros, calls: int) -> list[Turn]:
    """The turns after `since` with that many calls; those not made yet are made."""
    inner = []
    count = 0
    ahead = iter([turn for turn in held if turn.at > since])
    while count < calls:
        turn = next(ahead, None)
        if turn is None:
            (turn,) = islice(traffic, 1)
            held.append(turn)
        inner.append(turn)
        count += len(turn.calls)
    return inner


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _as_row(name: str, score: Score, peak_mb: float) -> tuple[str, ...]:
    return (
        name,
        f"{score.calls:,}",
        f"{score.requests:,}",
        f"{score.calls / score.seconds:,.0f}",
        f"{(score.calls + score.requests) / score.seconds:,.0f}",
        f"{1 - score.wrong / max(1, score.given):.6f}",
        f"{(score.given - score.wrong) / max(1, score.owned):.4f}",
        f"{peak_mb:,.0f}",
    )


def _as_json(name: str, score: Score, peak_mb: float) -> dict[str, object]:
    return {
        "traffic": name,
        "calls": score.calls,
        "requests": score.requests,
        "seconds": round(score.seconds, 3),
        "requests_with_an_owner": score.owned,
        "given": score.given,
        "wrong": score.wrong,
        "peak_mb": round(peak_mb),
    }


if __name__ == "__main__":
    main()
