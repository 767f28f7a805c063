"""From refs to rows: the message, its run, the run's nodes, each asked for once when it has ended.

A record that cannot be read now is not answered and asked for again, with growing pauses; one that Dify goes on to refuse is set
aside with the reason. Nothing is taken for gone that Dify did not say is gone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from exporter.config import DifySettings
from exporter.errors import SourceRefused, Unreachable
from exporter.model import RecordKind, RecordRef
from exporter.sources.console.finding import Located, NotHere, locate, message_of_run
from exporter.sources.console.opened import Opened, pause_seconds
from exporter.sources.console.places import RefKey, key
from exporter.sources.console.reading import read_message, read_run
from exporter.sources.console.shapes import DEBUG, size_of_trace
from exporter.sources.filters import reason_to_leave_out
from exporter.sources.http.asking import Denied
from exporter.sources.rows import Fetched, Filtered, TraceRows

LONGEST_FETCH_SECONDS = 20.0
MOST_TRIES = 5
_ANYWHERE = "looking for records"
_SINGLE_STEP = "Dify's Console API tells nothing of single-step runs; read them from the database"


@dataclass(slots=True)
class Fetcher:
    """What a fetch works with. `stuck` counts the failures of records that could not be read, and when to try again."""

    workspaces: list[Opened]
    dify: DifySettings
    stuck: dict[RefKey, tuple[int, float]] = field(default_factory=dict)

    def fetch(self, refs: tuple[RecordRef, ...]) -> Fetched:
        """The answer for these refs, or for the first of them. Raises `Unreachable` and `SourceRefused`."""
        answers = _Answers()
        until = time.monotonic() + LONGEST_FETCH_SECONDS
        for ref in dict.fromkeys(refs):
            if self._is_resting(ref):
                continue
            try:
                self._answer(ref, answers)
            except Unreachable:
                if answers.is_empty:
                    raise
                break  # what was read is not lost; the rest is asked again
            except SourceRefused:
                if len(self.workspaces) == 1:
                    raise
                self._rest(ref, 0)  # its workspace lets us in no more, the others are read
            if time.monotonic() > until or answers.bytes_held > self.dify.page_bytes:
                break
        return answers.fetched()

    def _answer(self, ref: RecordRef, answers: _Answers) -> None:
        if ref.kind is RecordKind.NODE:
            answers.failed.append((ref, _SINGLE_STEP))
            return
        where: Located | None = None
        try:
            where = locate(self.workspaces, ref)
            self._read(ref, where, answers)
        except NotHere as error:
            answers.failed.append((ref, str(error)))
        except Denied as denied:
            self._refused(ref, where, denied, answers)
        else:
            self.stuck.pop(key(ref), None)
            self._works_again(where)

    def _read(self, ref: RecordRef, where: Located, answers: _Answers) -> None:
        kept = where.opened.memory.traces.look(ref.id)
        if kept is not None:
            answers.take(kept)
            return
        if ref.kind is RecordKind.RUN and where.app.mode == "advanced-chat":
            message_id = message_of_run(where, ref)
            if message_id is not None:
                answers.filtered.append(Filtered(ref, f"part of message {message_id}"))
                return
        read = read_message if ref.kind is RecordKind.MESSAGE else read_run
        found = read(where, ref, self.dify)
        if found is None:
            answers.vanished.append(ref)
            return
        rows, is_final = found
        reason = reason_to_leave_out(self.dify, where.app, _is_debug(rows))
        if reason:
            answers.filtered.append(Filtered(ref, reason))
            return
        if is_final:
            where.opened.memory.traces.put(ref.id, rows, size_of_trace(rows))
        answers.take(rows)

    def _refused(self, ref: RecordRef, where: Located | None, denied: Denied, answers: _Answers) -> None:
        if denied.is_gone and not _may_be_there(where, denied):
            answers.vanished.append(ref)
            return
        tries, _ = self.stuck.get(key(ref), (0, 0.0))
        is_lasting = denied.status in (400, 403, 405) or tries + 1 >= MOST_TRIES
        if is_lasting:
            self.stuck.pop(key(ref), None)
            self._works_again(where)  # no trouble any more, but a record set aside
            answers.failed.append((ref, f"Dify's Console API refuses it: {denied}"))
            return
        self._rest(ref, tries + 1)
        if where is None:
            self.workspaces[0].trouble(_ANYWHERE, denied)
        else:
            where.opened.trouble(_records_of(where), denied, where.app.id)

    def _works_again(self, where: Located | None) -> None:
        self.workspaces[0].mended(_ANYWHERE)
        if where is not None:
            where.opened.mended(_records_of(where))

    def _rest(self, ref: RecordRef, tries: int) -> None:
        self.stuck[key(ref)] = (tries, time.monotonic() + pause_seconds(tries))

    def _is_resting(self, ref: RecordRef) -> bool:
        return time.monotonic() < self.stuck.get(key(ref), (0, 0.0))[1]


def _may_be_there(where: Located | None, denied: Denied) -> bool:
    """An app that Dify does not find may be in the workspace that the account has left; so it is gone when it is listed no more in
    the same one. Raises `SourceRefused` and `Unreachable`."""
    if where is None or denied.code != "app_not_found":
        return False
    workspace = where.opened.workspace
    try:
        workspace.look_at_apps()
    except SourceRefused as error:
        where.opened.lock_out(error)
        raise
    except Denied:
        return True
    return where.app.id in workspace.apps


def _records_of(where: Located) -> str:
    return f"records of app {where.app.name!r}"


@dataclass(slots=True)
class _Answers:
    """What is to be answered, while it grows."""

    traces: list[TraceRows] = field(default_factory=list)
    filtered: list[Filtered] = field(default_factory=list)
    vanished: list[RecordRef] = field(default_factory=list)
    failed: list[tuple[RecordRef, str]] = field(default_factory=list)
    bytes_held: int = 0

    def take(self, rows: TraceRows) -> None:
        self.traces.append(rows)
        self.bytes_held += size_of_trace(rows)

    @property
    def is_empty(self) -> bool:
        return not (self.traces or self.filtered or self.vanished or self.failed)

    def fetched(self) -> Fetched:
        return Fetched(tuple(self.traces), tuple(self.filtered), tuple(self.vanished), tuple(self.failed))


def _is_debug(rows: TraceRows) -> bool:
    return rows.run is not None and rows.run.triggered_from in DEBUG
