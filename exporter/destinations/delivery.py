"""The delivery loop, written once for all destinations: one queue and one courier each.

Promises: nothing is given up by age; a unit leaves the outbox only after its receipt is stored; before a request leaves,
its units are stored as in doubt; content that is refused is narrowed down to the one span that is bad, which becomes a
dead letter with its reason while the rest goes on.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from exporter.config import DestinationSettings
from exporter.destinations.base import Answer, Confirmation, Destination, Outcome, Unit
from exporter.model import SECOND, Micros
from exporter.spans import otlp
from exporter.state import health, outbox
from exporter.state.store import Store

_LONGEST_PAUSE = 300.0
_HOLD_PAUSE = 60.0
_ASKED = 200
_PATIENCE = 120 * SECOND
"""A platform takes in what it acknowledged within seconds; after two minutes an absent trace counts as lost."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the queue did. `wait_seconds` None: nothing waits at all."""

    sent: int
    failed: bool
    wait_seconds: float | None


class Courier:
    """Delivers one destination's queue. `step` and `confirm` are called by one thread at a time."""

    def __init__(
        self,
        store: Store,
        destination: Destination,
        settings: DestinationSettings,
        clock: Callable[[], Micros],
    ) -> None:
        self.destination = destination
        self._store = store
        self._settings = settings
        self._clock = clock
        self._failures = 0
        self._paused_until: Micros = 0
        self._next_request: float = 0.0
        self._jitter = random.Random()
        self._stopping = False
        self._max_bytes = destination.limits.max_bytes

    @property
    def confirm_after(self) -> float:
        """Seconds between an acknowledgement and the first look for it."""
        return self._settings.confirm_after

    def stop(self) -> None:
        """End `step` after the request in flight."""
        self._stopping = True

    def step(self) -> Round:
        """Send what is due, one request at a time, until the queue is empty or a request fails."""
        sent = 0
        while not self._stopping:
            now = self._clock()
            if now < self._paused_until:
                return Round(sent, True, (self._paused_until - now) / SECOND)
            with self._store.read() as connection:
                units = self._next(connection, now)
                upcoming = None if units else outbox.next_at(connection, self.destination.name)
            if not units:
                wait = None if upcoming is None else max(0.05, (upcoming - now) / SECOND)
                return Round(sent, False, wait)
            if not self._send(units):
                return Round(sent, True, max(0.0, (self._paused_until - self._clock()) / SECOND))
            sent += 1
        return Round(sent, False, None)

    def confirm(self) -> int:
        """Apply the destination's confirmation rule to acknowledged units; returns how many were forgotten."""
        now = self._clock()
        with self._store.read() as connection:
            looked = outbox.acked(connection, self.destination.name, now, _ASKED)
        if not looked:
            return 0
        if self.destination.confirmation is not Confirmation.READ_BACK:
            return self._forget([unit for unit, _ in looked], confirmed=False)
        sample = [unit for unit, _ in looked if self._is_of_sample(unit)]
        others = [unit for unit, _ in looked if not self._is_of_sample(unit)]
        missing = self.destination.missing(sample) if sample else set()
        if missing and others:  # what took one may have taken more
            more = self.destination.missing(others)
            missing = None if more is None else missing | more
            sample, others = [*sample, *others], []
        if missing is None:
            return self._cannot_ask(looked, now)
        forgotten = self._forget([unit for unit in sample if unit.seq not in missing], confirmed=True)
        forgotten += self._forget(others, confirmed=False)
        self._missing([(unit, at) for unit, at in looked if unit.seq in missing], now)
        return forgotten

    def _is_of_sample(self, unit: Unit) -> bool:
        return _lot(unit.trace_id) < self._settings.confirm_share

    def _next(self, connection: sqlite3.Connection, now: Micros) -> list[Unit]:
        """As many whole traces as one request may hold."""
        limits = self.destination.limits
        most = limits.traces_per_request or limits.max_spans
        return outbox.take(connection, self.destination.name, now, most, limits.max_spans, self._max_bytes)

    def _send(self, units: Sequence[Unit]) -> bool:
        """One request and the storing of its answer; False when the worker must pause."""
        self._pace()
        with self._store.transaction("sending") as connection:
            outbox.sending(connection, [unit.seq for unit in units])
        answer = self.destination.send(units)
        if answer.outcome is Outcome.ACCEPTED:
            return self._accepted(units)
        if answer.outcome is Outcome.DUPLICATE:
            return self._duplicate(units)
        if answer.outcome in (Outcome.REFUSED, Outcome.TOO_LARGE):
            return self._narrow(units, answer)
        return self._pause(units, answer)

    def _pace(self) -> None:
        rate = self._settings.requests_per_second or self.destination.limits.requests_per_second
        if not rate:
            return
        wait = self._next_request - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._next_request = max(time.monotonic(), self._next_request) + 1 / rate

    def _accepted(self, units: Sequence[Unit], *, duplicates: int = 0) -> bool:
        now = self._clock()
        at_once = self.destination.confirmation is Confirmation.AT_ONCE
        by_age = self.destination.confirmation is Confirmation.AGE
        wait = self._settings.keep_acked if by_age else self._settings.confirm_after
        with self._store.transaction("answered") as connection:
            if at_once:
                outbox.forget(connection, units)
            else:
                outbox.acknowledged(connection, units, now, now + round(wait * SECOND))
            health.delivered(
                connection,
                self.destination.name,
                now,
                traces=len(units),
                spans=sum(unit.span_count for unit in units),
                duplicates=duplicates,
                requests=1,
            )
        self._failures = 0
        return True

    def _duplicate(self, units: Sequence[Unit]) -> bool:
        """The platform already holds something of this request.

        In doubt before: the earlier request arrived, whole. Else ask which units are incomplete, and send those
        span by span, so that what is there stays and what is not there comes.
        """
        known = [unit for unit in units if unit.was_sent or unit.span_count == 1]
        asked = [unit for unit in units if not (unit.was_sent or unit.span_count == 1)]
        missing = self.destination.missing(asked) if asked else set()
        whole = known + [unit for unit in asked if missing is not None and unit.seq not in missing]
        if whole:
            self._accepted(whole, duplicates=len(whole))
        if missing is None:
            return self._pause(
                asked, Answer(Outcome.RETRY, "a duplicate was reported and cannot be read back")
            )
        for unit in asked:
            if unit.seq in missing:
                self._split(unit, [[span] for span in otlp.split(unit.spans)])
        return True

    def _narrow(self, units: Sequence[Unit], answer: Answer) -> bool:
        """Halve the request until the bad unit, then the unit until the bad span, stands alone. A size that was too
        large is not tried again."""
        if answer.outcome is Outcome.TOO_LARGE and len(units) > 1:
            self._max_bytes = max(1, sum(len(unit.spans) for unit in units) // 2)
            with self._store.transaction("answered") as connection:
                outbox.later(connection, units, self._clock(), answer.reason, sent=False)
            return True
        if len(units) > 1:
            middle = len(units) // 2
            halves = (units[:middle], units[middle:])
            return all(self._send(half) for half in halves)
        unit = units[0]
        spans = otlp.split(unit.spans)
        if len(spans) > 1:
            middle = len(spans) // 2
            self._split(unit, [spans[:middle], spans[middle:]])
            return True
        self._bury(unit, answer)
        return True

    def _split(self, unit: Unit, pieces: Sequence[Sequence[bytes]]) -> None:
        with self._store.transaction("split") as connection:
            outbox.split(connection, unit, [(otlp.frame(piece), len(piece)) for piece in pieces])

    def _bury(self, unit: Unit, answer: Answer) -> None:
        """Set the one bad span aside; where a span without its parent is lost, what hangs below it goes along."""
        now, name = self._clock(), self.destination.name
        with self._store.transaction("answered") as connection:
            outbox.bury(connection, unit, answer.reason)
            buried = 1
            if self.destination.limits.needs_parents:
                lost = {otlp.parse(span).span_id for span in otlp.split(unit.spans)}
                for part in outbox.waiting_parts(connection, name, unit.trace_id):
                    buried += _bury_below(connection, part, lost)
            health.delivered(connection, name, now, refused=buried, requests=1)
        log.warning(
            "dead_letter", destination=name, trace_id=unit.trace_id, spans=buried, reason=answer.reason
        )

    def _pause(self, units: Sequence[Unit], answer: Answer) -> bool:
        hold = answer.outcome is Outcome.HOLD
        self._failures += 1
        growing = min(_LONGEST_PAUSE, (_HOLD_PAUSE if hold else 1.0) * 2 ** min(self._failures - 1, 10))
        pause = (
            answer.retry_after if answer.retry_after is not None else growing * self._jitter.uniform(0.5, 1.0)
        )
        now = self._clock()
        self._paused_until = now + round(pause * SECOND)
        with self._store.transaction("answered") as connection:
            outbox.later(
                connection, units, self._paused_until, answer.reason, sent=answer.outcome is Outcome.RETRY
            )
            health.undelivered(connection, self.destination.name, now, answer.reason, hold=hold)
        if self._failures == 1 or hold:
            log.warning(
                "not_delivered",
                destination=self.destination.name,
                reason=answer.reason,
                pause_seconds=round(pause, 1),
            )
        return False

    def _forget(self, units: Sequence[Unit], *, confirmed: bool) -> int:
        if units:
            with self._store.transaction("confirmed") as connection:
                outbox.forget(connection, units)
                health.delivered(
                    connection, self.destination.name, self._clock(), confirmed=len(units) if confirmed else 0
                )
        return len(units)

    def _cannot_ask(self, looked: Sequence[tuple[Unit, Micros]], now: Micros) -> int:
        """Without an answer the age rule holds."""
        old_enough = now - round(self._settings.keep_acked * SECOND)
        with self._store.transaction("confirmed") as connection:
            waiting = [unit for unit, acked_at in looked if acked_at > old_enough]
            outbox.check_later(connection, waiting, now + 10 * round(self._settings.confirm_after * SECOND))
        return self._forget([unit for unit, acked_at in looked if acked_at <= old_enough], confirmed=False)

    def _missing(self, absent: Sequence[tuple[Unit, Micros]], now: Micros) -> None:
        lost = [unit for unit, acked_at in absent if now - acked_at > self._patience()]
        early = [unit for unit, acked_at in absent if now - acked_at <= self._patience()]
        if not absent:
            return
        with self._store.transaction("confirmed") as connection:
            outbox.check_later(connection, early, now + round(self._settings.confirm_after * SECOND))
            outbox.send_again(connection, lost, now)
            health.delivered(connection, self.destination.name, now, resent=len(lost))
        if lost:
            log.warning("acknowledged_then_lost", destination=self.destination.name, traces=len(lost))

    def _patience(self) -> Micros:
        return min(_PATIENCE, 4 * round(self._settings.confirm_after * SECOND))


def _lot(trace_id: str) -> float:
    """A place in the draw from 0 up to 1 that has nothing to do with time or app, and is always the same."""
    return int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8]) / 2**64


def _bury_below(connection: sqlite3.Connection, part: Unit, lost: set[bytes]) -> int:
    """Bury the spans of this part that hang below a lost one, and count them as lost; returns how many."""
    kept: list[bytes] = []
    below: list[bytes] = []
    for span in otlp.split(part.spans):
        parsed = otlp.parse(span)
        if parsed.parent_span_id in lost:
            lost.add(parsed.span_id)
            below.append(span)
        else:
            kept.append(span)
    if below:
        pieces = [piece for piece in (kept, below) if piece]
        seqs = outbox.split(connection, part, [(otlp.frame(piece), len(piece)) for piece in pieces])
        outbox.bury(connection, replace(part, seq=seqs[-1]), "its parent span was refused")
    return len(below)
