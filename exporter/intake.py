"""Vendor evidence that we fetch: pull what is new from every source, and store it with the place to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from exporter.errors import ExporterError
from exporter.model import Micros
from exporter.state import evidence
from exporter.state.store import Store
from exporter.vendor.pullers.base import Puller

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """New requests, records refused, and Dify records that are read again because of them."""

    new: int = 0
    refused: int = 0
    looked_again: int = 0


class Intake:
    """All sources that are pulled, each at its own pace. A source that fails does not hold up the others."""

    def __init__(self, store: Store, pullers: Sequence[Puller], clock: Callable[[], Micros]) -> None:
        self._store, self._pullers, self._clock = store, tuple(pullers), clock
        self._next_at: dict[str, float] = {}

    def take(self, *, at_once: bool = False, stopping: Callable[[], bool] = lambda: False) -> Taken:
        """Pull every source whose time has come (`at_once`: all). Raises the first source's ExporterError at the end."""
        new = refused = 0
        failure: ExporterError | None = None
        for puller in self._pullers:
            if not at_once and time.monotonic() < self._next_at.get(puller.name, 0.0):
                continue
            try:
                more = self._take(puller, stopping)
            except ExporterError as error:
                log.warning("evidence_not_read", source=puller.name, reason=str(error), hint=error.hint)
                failure = failure or error
            else:
                new, refused = new + more.new, refused + more.refused
            self._next_at[puller.name] = time.monotonic() + puller.every_seconds
        if failure is not None:
            raise failure
        return Taken(new, refused)

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
            if pulled.position != position or pulled.records or pulled.buckets:
                with self._store.transaction("evidence") as connection:
                    new += evidence.add(connection, pulled.records, now)
                    evidence.put_buckets(connection, pulled.buckets, now)
                    for bad in pulled.refused:
                        evidence.refuse(connection, puller.name, bad.place, bad.reason, now)
                    evidence.move(connection, puller.name, pulled.position, now)
                refused += len(pulled.refused)
            if pulled.is_caught_up:
                break
        return Taken(new, refused)
