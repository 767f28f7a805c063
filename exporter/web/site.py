"""The parts that every page works with; the outermost layer passes them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.model import Micros
from exporter.state.store import Store
from exporter.web.readiness import Readiness

LinksOf = Callable[[str], Sequence[tuple[str, str]]]
"""From a trace id: name of each destination that has a page of the trace, and its address."""


@dataclass(frozen=True, slots=True)
class Site:
    """The state file, the daemon's word on its health, the configured destinations' names, the time, and where else a
    trace can be looked at."""

    store: Store
    readiness: Callable[[], Readiness]
    destinations: tuple[str, ...]
    clock: Callable[[], Micros]
    links: LinksOf
