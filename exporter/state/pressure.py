"""Back-pressure: when the outbox or the disk is full, reading Dify stops and says so. Nothing is dropped.

Dify's database is the durable source: what is not read now is read later.
"""

from __future__ import annotations

import shutil

from exporter.config import StateSettings
from exporter.state import outbox
from exporter.state.store import Store

_MIB = 2**20


def problem(store: Store, settings: StateSettings) -> str | None:
    """Why reading must stop now, in words with what to do; None when all is well."""
    free = shutil.disk_usage(store.path.parent).free
    if free < settings.min_free_disk:
        return (
            f"reading Dify is stopped: {free // _MIB} MiB are free where the state lies, less than"
            f" state.min_free_disk ({settings.min_free_disk // _MIB} MiB); free some space"
        )
    with store.read() as connection:
        waiting = outbox.size_bytes(connection)
    if waiting > settings.max_backlog:
        return (
            f"reading Dify is stopped: {waiting // _MIB} MiB wait to be sent, more than state.max_backlog"
            f" ({settings.max_backlog // _MIB} MiB); see `dify-exporter status` for the destination that does not answer"
        )
    return None
