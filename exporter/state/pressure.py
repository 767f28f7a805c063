"""Back-pressure: when the outbox or the disk is full, reading Dify stops and says so. Nothing is dropped.

Dify's database is the durable source: what is not read now is read later.
"""

from __future__ import annotations

import shutil

from exporter.config import StateSettings
from exporter.model import Micros
from exporter.state import outbox
from exporter.state.store import Store

_MIB = 2**20
_LOOK_EVERY: Micros = 1_000_000


class Gauge:
    """Whether reading must stop. The disk and the outbox are looked at once a second; what was queued meanwhile is
    added up, so the limit holds between looks too."""

    def __init__(self, store: Store, settings: StateSettings) -> None:
        self._store, self._settings = store, settings
        self._looked_at: Micros | None = None
        self._waiting = 0

    def queued(self, size_bytes: int) -> None:
        """So much was added to the outbox."""
        self._waiting += size_bytes

    def problem(self, now: Micros) -> str | None:
        """Why reading must stop now, in words with what to do; None when all is well."""
        full = self._waiting > self._settings.max_backlog
        if full or self._looked_at is None or now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            if disk := disk_problem(self._store, self._settings):
                self._looked_at = None
                return disk
            with self._store.read() as connection:
                self._waiting = outbox.size_bytes(connection)
        return backlog_problem(self._waiting, self._settings)


def problem(store: Store, settings: StateSettings) -> str | None:
    """The same for someone who asks once."""
    return Gauge(store, settings).problem(0)


def disk_problem(store: Store, settings: StateSettings) -> str | None:
    """Too little free space where the state lies."""
    free = shutil.disk_usage(store.path.parent).free
    if free >= settings.min_free_disk:
        return None
    return (
        f"reading Dify is stopped: {free // _MIB} MiB are free where the state lies, less than"
        f" state.min_free_disk ({settings.min_free_disk // _MIB} MiB); free some space"
    )


def backlog_problem(waiting: int, settings: StateSettings) -> str | None:
    """Too much waits to be sent."""
    if waiting <= settings.max_backlog:
        return None
    return (
        f"reading Dify is stopped: {waiting // _MIB} MiB wait to be sent, more than state.max_backlog"
        f" ({settings.max_backlog // _MIB} MiB); see `dify-exporter status` for the destination that does not answer"
    )
