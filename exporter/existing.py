"""Whether a trace is sent, or added to the one that Dify's own tracing wrote at the same platform: `existing: send | enrich | auto`.

Decided once for each trace and entry, by what is known of Dify's own tracing when the trace first leaves, and kept, so that
a correction goes the same way. A traced app of which Dify does not tell the project is taken to be traced to this one: counting
twice would be worse. Dify is asked once a minute, a platform seldom; no answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
import structlog

from exporter.config import DestinationSettings, Settings
from exporter.destinations import registry
from exporter.destinations.base import Destination, Home, Homes, Way
from exporter.destinations.projects import Project
from exporter.errors import ExporterError
from exporter.model import SECOND, Micros, RecordKind, Trace
from exporter.problems import PLATFORMS, TWICE
from exporter.sources.tracing import TellsTracing, TracedApp, Tracing
from exporter.state import health, sent_as
from exporter.state.sent_as import Sending
from exporter.state.store import Store

_LOOK_AGAIN = 60 * SECOND
_ASK_AGAIN = 600 * SECOND

log = structlog.get_logger()


class Existing:
    """The choice for every trace. Used by one thread at a time."""

    def __init__(
        self,
        settings: Settings,
        destinations: Sequence[Destination],
        source: object,
        store: Store,
        clock: Callable[[], Micros],
    ) -> None:
        self._entries = {item.name: item for item in settings.destinations if item.kind in PLATFORMS}
        self._instance = settings.dify.name
        self._names = registry.entry_names(settings)
        self._destinations = {item.name: item for item in destinations}
        self._source = source if self._entries and isinstance(source, TellsTracing) else None
        self._store, self._clock = store, clock
        self._look_at: Micros = 0
        self._is_known = False
        self._unknown: str | None = None
        self._traced: dict[str, dict[str, TracedApp]] = {name: {} for name in self._entries}
        self._homes: dict[str, tuple[Micros, Home]] = {}

    def look(self) -> None:
        """Ask Dify again when it is time. When it cannot be asked, what was known stays."""
        if self._source is None or self._clock() < self._look_at:
            return
        self._look_at = self._clock() + _LOOK_AGAIN
        try:
            found = self._source.tracing()
        except ExporterError as error:
            found = Tracing(unknown=str(error))
        if found.unknown and found.unknown != self._unknown:
            log.info("tracing_unknown", reason=found.unknown)
        self._unknown = found.unknown
        if found.unknown:
            return
        self._is_known = True
        for name, entry in self._entries.items():
            traced = found.at(entry.kind)
            home = self._home(name) if traced else Home()
            self._traced[name] = {
                item.app.id: item for item in traced if may_be_here(entry, self._instance, item, home)
            }
        self._tell()

    def ways(self, traces: Sequence[Trace]) -> dict[Sending, Way]:
        """How each of these traces goes to each entry where there is a choice; all others are sent."""
        if not self._entries:
            return {}
        with self._store.read() as connection:
            before = sent_as.of(connection, [trace.trace_id for trace in traces])
        return {
            (trace.trace_id, name): before.get((trace.trace_id, name)) or self._choose(entry, trace)
            for trace in traces
            for name, entry in self._entries.items()
            if entry.existing != "send" or (trace.trace_id, name) in before or self._is_traced(name, trace)
        }

    def way(self, ways: Mapping[Sending, Way], destination: Destination, trace: Trace) -> Way:
        """The way of one trace to one destination."""
        return ways.get((trace.trace_id, self._names.get(destination.name, "")), Way.OWN)

    def _choose(self, entry: DestinationSettings, trace: Trace) -> Way:
        if entry.existing == "send" or trace.ref.kind is RecordKind.NODE:  # Dify traces no single steps
            return Way.OWN
        if self._is_traced(entry.name, trace):
            return Way.ENRICHED
        if entry.existing == "auto":
            return Way.OWN
        return Way.SKIPPED if self._is_known else Way.ENRICHED

    def _is_traced(self, entry: str, trace: Trace) -> bool:
        """Whether Dify wrote this trace itself, as far as is known: what ran before it was set up, it did not write."""
        traced = self._traced[entry].get(trace.app.id)
        return traced is not None and (traced.since is None or trace.started_at >= traced.since)

    def _home(self, entry: str) -> Home:
        """Asked again after a while; what was known before is better than no answer."""
        destination = self._destinations.get(entry)
        if not isinstance(destination, Homes):
            return Home()
        asked_at, known = self._homes.get(entry, (None, Home()))
        if asked_at is None or self._clock() >= asked_at + _ASK_AGAIN:
            found = destination.home()
            known = Home(
                found.project or known.project,
                known.takes_dify if found.takes_dify is None else found.takes_dify,
            )
            self._homes[entry] = (self._clock(), known)
        return known

    def _tell(self) -> None:
        """Remember for `status` where tokens are counted twice."""
        twice = {
            TWICE + name: orjson.dumps(sorted(item.app.name for item in traced.values())).decode()
            for name, traced in self._traced.items()
        }
        with self._store.read() as connection:
            before = {TWICE + name: text for name, text in health.facts(connection, TWICE).items()}
        news = {key: text for key, text in twice.items() if before.get(key, "[]") != text}
        if news:
            with self._store.transaction("tracing") as connection:
                for key, text in news.items():
                    health.remember(connection, key, text)


def may_be_here(entry: DestinationSettings, instance: str, traced: TracedApp, home: Home) -> bool:
    """False where Dify's own traces of this app are known to be in another project, or stored by nobody and not asked for."""
    if home.takes_dify is False and entry.existing != "enrich":
        return False
    mine = Project(entry.project, instance).of(traced.app) if entry.kind == "langsmith" else home.project
    return mine is None or traced.project is None or mine == traced.project
