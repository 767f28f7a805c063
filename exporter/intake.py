"""Vendor evidence that we fetch: pull what is new from every source, and store it with the place to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.errors import ExporterError
from exporter.model import Micros
from exporter.state import buckets, evidence
from exporter.state.store import Store
from exporter.vendor.pullers.base import Puller

_LONGEST_PAUSE = 300.0


@dataclass(frozen=True, slots=True)
class Taken:
    """New requests, records refused, and Dify records that are read again because of them; which sources were read, and
    which failed and why."""

    new: int = 0
    refused: int = 0
    looked_again: int = 0
    read: tuple[str, ...] = ()
    failed: tuple[tuple[str, ExporterError], ...] = ()


class Intake:
    """All sources that are pulled, each at its own pace. A source that fails does not hold up the others."""

    def __init__(self, store: Store, pullers: Sequence[Puller], clock: Callable[[], Micros]) -> None:
        self._store, self._pullers, self._clock = store, tuple(pullers), clock
        self._next_at: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def take(self, *, at_once: bool = False, stopping: Callable[[], bool] = lambda: False) -> Taken:
        """Pull every source whose time has come (`at_once`: all). A source that fails is asked again with growing pauses."""
        new = refused = 0
        read: list[str] = []
        failed: list[tuple[str, ExporterError]] = []
        for puller in self._pullers:
            if not at_once and time.monotonic() < self._next_at.get(puller.name, 0.0):
                continue
            try:
                more = self._take(puller, stopping)
            except ExporterError as error:
                failed.append((puller.name, error))
                self._failures[puller.name] = self._failures.get(puller.name, 0) + 1
            else:
                new, refused = new + more.new, refused + more.refused
                read.append(puller.name)
                self._failures.pop(puller.name, None)
            self._next_at[puller.name] = time.monotonic() + self._pause(puller)
        return Taken(new, refused, read=tuple(read), failed=tuple(failed))

    def _pause(self, puller: Puller) -> float:
        growing: float = 2.0 ** min(self._failures.get(puller.name, 0), 8)
        return (
            max(puller.every_seconds, min(_LONGEST_PAUSE, growing)) if growing > 1 else puller.every_seconds
        )

    def close(self) -> None:
        """Give back connections."""
        for puller in self._pullers:
            puller.close()

    def _take(self, puller: Puller, stopping: Callable[[], bool]) -> Taken:
        new = refused = 0
        while not stopping():
            with self._store.read() as connection:
                position = evidence.position(connection, puller.name)
            now = self._clock()
            pulled = puller.pull(position, now)
            if pulled.position != position or pulled.records or pulled.buckets or pulled.told:
                with self._store.transaction("evidence") as connection:
                    new += evidence.add(connection, pulled.records, now)
                    buckets.put(connection, pulled.buckets, now, pulled.told)
                    for bad in pulled.refused:
                        evidence.refuse(connection, puller.name, bad.place, bad.reason, now)
                    evidence.move(connection, puller.name, pulled.position, now)
                refused += len(pulled.refused)
            if pulled.is_caught_up:
                break
        return Taken(new, refused)
