"""Matching in the state: stretches of time with new calls or new requests are matched as a whole, and stored.

What was matched before is matched again with its new neighbours, so that the result depends on what is known and never on
the order in which it became known. A trace whose evidence changed is read again. Memory holds one slice of a stretch.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from exporter.config import CompareSettings
from exporter.model import SECOND, Micros
from exporter.state import assignments, records, windows
from exporter.state.assignments import Assignment
from exporter.state.store import Store
from exporter.state.windows import Shifts, Stored, Times
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.hidden.attach import Attached, attach
from exporter.vendor.hidden.credentials import is_credential_check
from exporter.vendor.matching.duplicates import copies
from exporter.vendor.matching.match import Match, match, padding
from exporter.vendor.matching.skew import learn

_SLICE = 5_000
_AFTER_A_TRACE = 900 * SECOND
"""How long after a trace began a hidden request may still be made for it (suggested questions are asked for late)."""

_CLOCK_REACH = 900 * SECOND
_CLOCK_STEP = SECOND // 10
"""A newly learnt clock difference counts when it moved by more than that."""

_REST = 9.0
_LONGEST_REST = 20.0
_FEW = 5
_HOUR = 3600 * SECOND

RequestId = tuple[str, str]


class Matching:
    """The one matcher of a state file; calls and evidence may arrive on different threads."""

    def __init__(
        self,
        store: Store,
        settings: CompareSettings,
        clock: Callable[[], Micros],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._settings, self._clock, self._stopping = store, settings, clock, stopping
        self._one_at_a_time = threading.Lock()
        self._assigning = threading.Lock()
        self._tried: dict[tuple[str, int], int] = {}
        self._rested_at = 0.0

    def catch_up(self, *, in_hurry: bool = True) -> int:
        """Match every stretch that has something new; returns how many traces must be read again.

        Each look takes in minutes of neighbours, so in busy times looking at every single arrival would cost more than all
        else. Without a hurry it therefore rests nine times as long as it worked, but not for longer than `_LONGEST_REST`.
        """
        again = 0
        with self._one_at_a_time:
            if not in_hurry and time.monotonic() < self._rested_at:
                return 0
            began = time.monotonic()
            while not self._stopping() and (stretch := self._next_stretch()):
                again += self._match_stretch(stretch)
            ended = time.monotonic()
            self._rested_at = ended + min(_LONGEST_REST, _REST * (ended - began))
        return again

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Nothing is assigned anew inside this block: a trace is read and stored with one and the same evidence."""
        with self._assigning:
            yield

    def _next_stretch(self) -> Times | None:
        with self._store.read() as connection:
            if not windows.waiting(connection):
                return None
        with self._store.transaction("matching times") as connection:
            return windows.gather(connection)

    def _match_stretch(self, stretch: Times) -> int:
        """Slice by slice; what was done stays done when the process ends in between."""
        with self._store.read() as connection:
            around = padding(windows.longest_call(connection, stretch))
            since = windows.earliest_reaching(connection, stretch[0] - around)
        until, again = stretch[1] + around, 0
        while since < until and not self._stopping():
            with self._store.read() as connection:
                cut = windows.slice_end(connection, (since, until), _SLICE)
            found = self._match_slice((since, cut), around)
            rest = (min(max(stretch[0], cut), stretch[1]), stretch[1])
            with self._assigning, self._store.transaction("matched") as connection:
                again += self._apply(connection, found)
                windows.looked_at(connection, stretch, None if cut >= until else rest)
            since, stretch = cut, rest
        return again

    def _match_slice(self, inner: Times, around: Micros) -> _Slice:
        """What becomes of the requests of the calls, and of the hidden requests, that begin in this slice; `around` is how
        far beyond it lies what may bear on that."""
        found = self._look(inner, around)
        if self._learn_clocks(found):
            found = self._look(inner, around)
        return found

    def _look(self, inner: Times, around: Micros) -> _Slice:
        with self._store.read() as connection:
            known = windows.shifts(connection)
            calls = windows.calls(connection, inner[0] - around, inner[1] + around)
            since = min([inner[0], *(call.started_at for call in calls)]) - around
            until = max([inner[1], *(call.ended_at for call in calls)]) + around
            stored = windows.requests(connection, since, until, known)
            traces = windows.traces(connection, inner[0] - _AFTER_A_TRACE, inner[1] + around)
        doubled = copies([item.request for item in stored])
        singles = [item.request for item in stored if _identity(item) not in doubled]
        matches = match(calls, singles, self._settings.match_skew) if calls and singles else {}
        owned = {
            (request.source, request.id): (call_id, found)
            for call_id, found in matches.items()
            for request in found.attempts
        }
        free = [request for request in singles if (request.source, request.id) not in owned]
        return _Slice(
            inner,
            calls,
            stored,
            doubled,
            owned,
            attach(traces, free, self._settings.match_skew) if free else {},
        )

    def _apply(self, connection: sqlite3.Connection, found: _Slice) -> int:
        """Store what changed; the traces that it concerns are looked at again."""
        changes = found.changes()
        if not changes:
            return 0
        assignments.store(connection, [new for _, new in changes])
        traces = {trace for old, new in changes for trace in (old.trace_id, new.trace_id) if trace}
        calls = {call for old, new in changes for call in (old.call_id, new.call_id) if call}
        traces |= assignments.traces_of(connection, sorted(calls))
        refs = assignments.records_of(connection, sorted(traces))
        return records.look_again(connection, refs, self._clock())

    def _learn_clocks(self, found: _Slice) -> bool:
        """Where many requests of a source found no call, its clock may differ from ours: True when one was learnt.

        Tried again only when clearly more requests are there than at the last try, because most sources with foreign
        traffic have a right clock.
        """
        lonely = found.lonely()
        asked = {
            source
            for source, count in lonely.items()
            if count >= max(_FEW, round(self._tried.get((source, found.inner[0] // _HOUR), 0) * 1.2))
        }
        if not asked or not found.calls:
            return False
        with self._store.read() as connection:
            known = windows.shifts(connection)
            reach = _CLOCK_REACH + known.widest
            calls = windows.calls(connection, found.inner[0] - reach, found.inner[1] + reach)
            stored = windows.requests(connection, found.inner[0] - reach, found.inner[1] + reach, Shifts(()))
        requests = [item.request for item in stored if item.request.source in asked]
        moved = [
            (source, min(item.start for item in requests if item.source == source), learnt)
            for source, learnt in learn(calls, requests).items()
        ]
        moved = [item for item in moved if abs(item[2].micros - known.at(item[0], item[1])) > _CLOCK_STEP]
        self._tried.update({(source, found.inner[0] // _HOUR): lonely[source] for source in asked})
        if not moved:
            return False
        with self._store.transaction("clock") as connection:
            for source, since, learnt in moved:
                windows.learn(connection, source, since, learnt.micros, learnt.pairs)
            windows.mark(connection, [(found.inner[0] - reach, found.inner[1] + reach)])
        return True


@dataclass(frozen=True, slots=True)
class _Slice:
    """What was found for one slice, beside what was stored before."""

    inner: Times
    calls: Sequence[CallPrint]
    stored: Sequence[Stored]
    copies: Mapping[RequestId, RequestId]
    owned: Mapping[RequestId, tuple[str, Match]]
    attached: Mapping[RequestId, Attached]

    def changes(self) -> list[tuple[Stored, Assignment]]:
        """The requests of which something else is true now."""
        known = {call.call_id for call in self.calls}
        mine = {call.call_id for call in self.calls if self._is_inside(call.started_at)}
        found = []
        for item in self.stored:
            now = self._now(item)
            if not self._decides(item, now, mine, known):
                continue
            if _told(now) != _told(item):
                found.append((item, now))
        return found

    def lonely(self) -> Counter[str]:
        """Requests that began in this slice and found no call although they asked a model for words, per source."""
        return Counter(
            item.request.source
            for item in self.stored
            if self._is_inside(item.request.start)
            and _identity(item) not in self.owned
            and item.request.purpose is None
            and item.request.operation not in ("embeddings", "rerank")
        )

    def _is_inside(self, time: Micros) -> bool:
        return self.inner[0] <= time < self.inner[1]

    def _decides(self, item: Stored, now: Assignment, mine: set[str], known: set[str]) -> bool:
        """A slice speaks for the requests of its own calls, and for those of nobody that began in it."""
        if now.call_id is not None:
            return now.call_id in mine
        if item.call_id is not None:
            return item.call_id in mine or (item.call_id not in known and self._is_inside(item.request.start))
        return self._is_inside(item.request.start)

    def _now(self, item: Stored) -> Assignment:
        identity = _identity(item)
        if identity in self.copies:
            return Assignment(*identity, "copy", original="/".join(self.copies[identity]))
        if identity in self.owned:
            call_id, found = self.owned[identity]
            return Assignment(
                *identity, "matched", call_id=call_id, method=found.method, confidence=found.confidence
            )
        if identity in self.attached:
            to = self.attached[identity]
            if to.call_id is not None:
                return Assignment(
                    *identity, "matched", call_id=to.call_id, method=to.method, confidence=to.confidence
                )
            return Assignment(
                *identity, "hidden", trace_id=to.trace_id, app_id=to.app_id, method=to.method,
                confidence=to.confidence,
            )  # fmt: skip
        if is_credential_check(item.request):
            return Assignment(*identity, "hidden", method="words", confidence=0.9, purpose="credential_check")
        return Assignment(*identity, "foreign", app_id=item.request.dify_app_id)


def _identity(item: Stored) -> RequestId:
    return (item.request.source, item.request.id)


def _told(item: Stored | Assignment) -> tuple[object, ...]:
    """What is said of a request, to see whether it changes."""
    return (
        item.standing, item.call_id, item.trace_id, item.app_id, item.method, item.confidence, item.original,
    )  # fmt: skip
