"""The source that reads single apps by their Service API keys, for people who have nothing else.

It finds the runs of workflow apps in the app's log and reads each run's totals. Chat apps list nothing here without their end users'
names, so nothing is read of them, and that is said. Asks GET only, within its budget of requests.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from exporter.config import AppKeySettings, DifySettings
from exporter.errors import ExporterError, SourceRefused, Unreachable
from exporter.model import SECOND, App, Micros, RecordKind, RecordRef
from exporter.sources.console import walk
from exporter.sources.console.places import Place, Recent
from exporter.sources.console.run_lists import entries_of, iso
from exporter.sources.console.walk import Met, Page
from exporter.sources.filters import reason_to_leave_out
from exporter.sources.http.asking import Asker, Denied, Query
from exporter.sources.http.pace import Pace
from exporter.sources.rows import Fetched, Filtered, Found, Source, TraceRows
from exporter.sources.service_api.rows import app_id_of, trace_rows

API = "/v1"
PAGE = 100
LEAST_OVERLAP_SECONDS = 600.0
LOOK_SECONDS = 15.0
LONGEST_FETCH_SECONDS = 20.0
_MOST_LOGGED = 20_000


@dataclass(slots=True)
class KeyedApp:
    """One key: its app as far as the Service API tells it, its connection, and what its log said of runs."""

    settings: AppKeySettings
    asker: Asker
    pace: Pace
    app: App
    name: str
    logged: Recent[str, dict[str, Any]] = field(default_factory=lambda: Recent(_MOST_LOGGED))
    next_look: float = 0.0
    newest: int = 0
    trouble: str | None = None

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at this address. Raises `Unreachable` and `Denied`."""
        self.pace.wait()
        headers = {"Authorization": f"Bearer {self.settings.key.get_secret_value()}"}
        answer = self.asker.ask("GET", API + path, query, headers)
        self.pace.answered(answer.seconds)
        return answer.body


def open_service_api(dify: DifySettings) -> Source:
    """Ask every key for its app. Raises `Unreachable`, or `SourceRefused` when no key is accepted."""
    opened: list[KeyedApp] = []
    refused: list[ExporterError] = []
    for number, settings in enumerate(dify.apps, 1):
        try:
            opened.append(_opened(settings))
        except Denied as denied:
            refused.append(
                SourceRefused(f"dify.apps, key {number}: {denied}", "is it the key of an app (app-…)?")
            )
    if not opened:
        raise refused[0]
    return ServiceApiSource(dify, opened, [str(error) for error in refused])


def _opened(settings: AppKeySettings) -> KeyedApp:
    asker, pace = Asker(settings.url, settings.timeout), Pace(settings.requests_per_minute)
    mark = hashlib.sha256(f"{settings.url}\x1f{settings.key.get_secret_value()}".encode()).hexdigest()[:16]
    keyed = KeyedApp(settings, asker, pace, App(f"key:{mark}", "", "", ""), f"service/{mark}/logs")
    try:
        info = keyed.get("/info")
    except Denied:
        asker.close()
        raise
    told = info if isinstance(info, dict) else {}
    keyed.app = App(f"key:{mark}", str(told.get("name") or "app"), str(told.get("mode") or "workflow"), "")
    return keyed


@dataclass(slots=True)
class ServiceApiSource:
    """A `Source`. Used by one thread at a time."""

    dify: DifySettings
    apps: list[KeyedApp]
    refused: list[str]
    owners: Recent[str, KeyedApp] = field(default_factory=lambda: Recent(_MOST_LOGGED))

    @property
    def streams(self) -> tuple[str, ...]:
        """The log of each workflow app; other apps have none."""
        return tuple(keyed.name for keyed in self.apps if keyed.app.mode == "workflow")

    def discover(self, stream: str, cursor: str | None) -> Found:
        """The next page of an app's log."""
        keyed = self._keyed(stream)
        position = (
            walk.from_text(cursor)
            if cursor is not None
            else walk.begin(walk.first_second(self.dify, keyed.asker.now()))
        )
        if time.monotonic() < keyed.next_look:
            return Found((), cursor or walk.to_text(position), caught_up=True)
        looking = position.begun(int(keyed.asker.now()), int(max(self.dify.overlap, LEAST_OVERLAP_SECONDS)))
        try:
            page = self._page(keyed, looking.at, looking.floor)
        except Denied as denied:
            keyed.trouble, keyed.next_look = str(denied), time.monotonic() + 60.0
            return Found((), cursor or walk.to_text(position), caught_up=True)
        keyed.trouble = None
        keyed.newest = max(keyed.newest, page.newest or 0)
        moved = looking.turned(page, keyed.newest)
        if moved.began is None:
            keyed.next_look = time.monotonic() + max(LOOK_SECONDS, self.dify.poll_interval)
        return Found(tuple(met.ref for met in page.met), walk.to_text(moved), caught_up=moved.began is None)

    def discover_range(self, stream: str, since: Micros, until: Micros, after: str | None) -> Found:
        """One page of the runs that began in [since, until)."""
        page = self._ranged(stream, after or None, since // SECOND)
        refs = tuple(met.ref for met in page.met if since <= met.ref.created_at < until)
        return Found(refs, page.at or "", caught_up=page.at is None)

    def count_range(self, stream: str, since: Micros, until: Micros) -> int:
        """How many entries the log has in that range."""
        query: dict[str, str | int] = {
            "created_at__after": iso(since // SECOND),
            "created_at__before": iso(-(-until // SECOND)),
            "limit": 1,
        }
        try:
            answer = self._keyed(stream).get("/workflows/logs", query)
        except Denied:
            return 0
        total = answer.get("total") if isinstance(answer, dict) else None
        return total if isinstance(total, int) else 0

    def fetch(self, refs: tuple[RecordRef, ...]) -> Fetched:
        """The runs' totals. Messages and single steps cannot be read and are set aside."""
        traces: list[TraceRows] = []
        filtered: list[Filtered] = []
        failed: list[tuple[RecordRef, str]] = []
        until = time.monotonic() + LONGEST_FETCH_SECONDS
        for ref in dict.fromkeys(refs):
            if time.monotonic() > until:
                break
            try:
                rows = self._read(ref) if ref.kind is RecordKind.RUN else None
            except Denied as denied:
                if denied.status == 429 or denied.status >= 500:
                    if not (traces or filtered or failed):
                        raise Unreachable(
                            f"Dify's Service API does not work: {denied}", denied.hint
                        ) from None
                    break  # what was read is answered; the rest is asked again
                failed.append((ref, f"Dify's Service API refuses it: {denied}"))
                continue
            if rows is None:
                failed.append((ref, "none of the apps' Service API keys reads it"))
            elif reason := reason_to_leave_out(self.dify, rows.app, False):
                filtered.append(Filtered(ref, reason))
            else:
                traces.append(rows)
        return Fetched(tuple(traces), tuple(filtered), failed=tuple(failed))

    def describe(self) -> Iterator[tuple[str, str]]:
        """What is read, and above all what is not."""
        yield "Dify", f"{self.apps[0].asker.version or 'version not told'} (Service API)"
        for number, keyed in enumerate(self.apps, 1):
            listed = (
                "workflow runs" if keyed.app.mode == "workflow" else "nothing: only workflow apps have a log"
            )
            yield f"app {number}", f"{keyed.app.name} ({keyed.app.mode}): {listed}"
            if keyed.trouble:
                yield f"trouble with app {number}", keyed.trouble
        yield from ((f"refused {number}", words) for number, words in enumerate(self.refused, 1))
        yield (
            "cannot see: calls",
            "totals of runs only: no models, prompts, tokens of single calls, or prices",
        )
        yield "cannot see: debug runs", "runs made in Dify's editor are not in an app's log"

    def troubles(self) -> tuple[str, ...]:
        """What Dify refuses now, why, and what to do; each is gone when it works again."""
        return (
            *(
                f"An app of Dify is not read: {words}; correct its key in dify.apps and restart"
                for words in self.refused
            ),
            *(
                f"Dify's Service API refuses the log of app {keyed.app.name!r}: {keyed.trouble}; is its key still valid?"
                " It is tried again by itself"
                for keyed in self.apps
                if keyed.trouble
            ),
        )

    def close(self) -> None:
        """End waiting, close connections."""
        for keyed in self.apps:
            keyed.pace.closing.set()
            keyed.asker.close()

    def _read(self, ref: RecordRef) -> TraceRows | None:
        """A foreign run is answered with nulls, so where the owner is not remembered every key is tried."""
        owner = self.owners.get(ref.id)
        for keyed in [owner] if owner is not None else self.apps:
            run = keyed.get(f"/workflows/run/{ref.id}")
            if isinstance(run, dict) and run.get("id") == ref.id:
                app_id = app_id_of(run)
                if app_id is not None and app_id != keyed.app.id:
                    keyed.app = App(app_id, keyed.app.name, keyed.app.mode, "")
                return trace_rows(ref, keyed.app, run, keyed.logged.get(ref.id) or {})
        return None

    def _page(self, keyed: KeyedApp, at: str | None, floor: int) -> Page:
        """Newest first; where a page ends inside a second, the next begins above it."""
        before, _, number = (at or "0:1").partition(":")
        query: dict[str, str | int] = {"page": int(number), "limit": PAGE, "created_at__after": iso(floor)}
        if int(before):
            query["created_at__before"] = iso(int(before))
        answer = keyed.get("/workflows/logs", query)
        entries = entries_of(answer)
        met: list[Met] = []
        for entry in entries:
            run = entry.get("workflow_run")
            if isinstance(run, dict) and isinstance(run.get("id"), str):
                keyed.logged.put(run["id"], dict(entry))
                self.owners.put(run["id"], keyed)
                began = run["created_at"] if isinstance(run.get("created_at"), int) else entry["created_at"]
                met.append(Met(RecordRef(RecordKind.RUN, run["id"], began * SECOND), Place(keyed.app.id)))
        times = [int(entry["created_at"]) for entry in entries]
        if not times or not answer.get("has_more") or min(times) < floor:
            return Page(tuple(met), max(times, default=None), None)
        is_further = min(times) + 1 != int(before)
        return Page(
            tuple(met), max(times), f"{min(times) + 1}:1" if is_further else f"{before}:{int(number) + 1}"
        )

    def _ranged(self, stream: str, at: str | None, floor: int) -> Page:
        try:
            return self._page(self._keyed(stream), at, floor)
        except Denied as denied:
            raise Unreachable(f"Dify's Service API refuses a log: {denied}", denied.hint) from None

    def _keyed(self, stream: str) -> KeyedApp:
        found = next((keyed for keyed in self.apps if keyed.name == stream), None)
        if found is None:
            raise SourceRefused(f"the list {stream} belongs to no key of dify.apps")
        return found
