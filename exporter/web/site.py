"""The parts that every page works with; the outermost layer passes them in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.model import Micros
from exporter.state.store import Store
from exporter.web.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Site:
    """The state file, the daemon's word on its health, the configured destinations' names, and the time."""

    store: Store
    readiness: Callable[[], Readiness]
    destinations: tuple[str, ...]
    clock: Callable[[], Micros]
