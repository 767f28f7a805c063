"""What a destination can tell of the traces it holds, for the audit, and how it is asked.

Asking is patient: a platform that says "later" is asked again after the pause it names. Nothing is ever written. An answer
that does not come is CannotAsk, never "not there".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import orjson

from exporter.clock import rfc3339
from exporter.destinations.answers import retry_after
from exporter.destinations.http import Http, Reply
from exporter.errors import Misconfigured, Unreachable
from exporter.model import SECOND, App, Micros, RecordRef

_MARGIN = 15 * 60 * SECOND
"""How far around its traces a window reaches: children may start a little before their root, and most end soon."""
_TRIES = 8
_BROKEN_TRIES = 2
_LONGEST_PAUSE_SECONDS = 120.0
_LATER = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Exported:
    """A trace as the ledger exported it: `spans` are (span id, start), root first; `app` as it was called then."""

    trace_id: str
    ref: RecordRef
    started_at: Micros
    exported_at: Micros
    revision: int
    spans: tuple[tuple[str, Micros], ...]
    app: App


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one trace: `absent` spans of the ledger's are not there, `extra` rows are more than the ledger has.
    `by_span` is False when only its root was looked for."""

    absent: int
    extra: int
    by_span: bool = True


class CannotAsk(Exception):
    """The destination does not tell now; the text names status or cause, never content or keys."""


class Holdings(Protocol):
    """What one destination holds."""

    def held(self, traces: Sequence[Exported], sample: AbstractSet[str]) -> Mapping[str, Held]:
        """What is held of every one of these traces (by trace id), which are in order of their start.

        Traces in `sample` are compared span by span; the others may be looked for by their root alone, where that is
        what the platform lists cheaply. Raises CannotAsk.
        """


@runtime_checkable
class Tells(Protocol):
    """A destination that can be asked what it holds."""

    def holdings(self) -> Holdings:
        """The way to ask it."""


class Questions:
    """Reads from one platform, with patience for its rate limits."""

    def __init__(self, http: Http, api: str) -> None:
        self._http = http
        self._api = api

    def get(self, path: str, params: Mapping[str, str]) -> Any | None:
        """The parsed answer, None for a 404. Raises CannotAsk."""
        return self._answer(lambda: self._http.get(self._api + path, params))

    def query(self, path: str, question: Mapping[str, Any]) -> Any | None:
        """The parsed answer to a question in JSON, None for a 404. Raises CannotAsk."""
        body = orjson.dumps(question)
        return self._answer(lambda: self._http.query(self._api + path, body))

    def _answer(self, ask: Callable[[], Reply]) -> Any | None:
        reply = _patiently(ask)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise CannotAsk(f"HTTP {reply.status} when asked what it holds")
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise CannotAsk("the answer to a read is not JSON") from error


def compared(expected: Collection[str], rows: Sequence[str]) -> Held:
    """Rows that are there, by their span ids (an id twice: two rows), against the ids the ledger has."""
    there = set(rows).intersection(expected)
    return Held(absent=len(set(expected)) - len(there), extra=len(rows) - len(there))


def window(traces: Sequence[Exported]) -> tuple[Micros, Micros]:
    """The stretch to list for these traces: their starts and a margin, in whole seconds."""
    first, last = traces[0].started_at - _MARGIN, traces[-1].started_at + _MARGIN
    return first - first % SECOND, last - last % SECOND + SECOND


def iso(moment: Micros) -> str:
    """A whole second as the platforms' read interfaces take it."""
    return rfc3339(moment)[:19] + ".000Z"


def _patiently(ask: Callable[[], Reply]) -> Reply:
    """The first reply that is not "later"."""
    broken = 0
    for number in range(_TRIES):
        try:
            reply = ask()
        except Misconfigured as error:
            raise CannotAsk(str(error)) from error
        except Unreachable as error:
            broken += 1
            if broken == _BROKEN_TRIES:
                raise CannotAsk(str(error)) from error
            continue  # a connection that was kept alive may have been closed by the other side meanwhile
        if reply.status not in _LATER:
            return reply
        said = retry_after(reply.headers)
        pause = float(2**number) if said is None else said
        if pause > _LONGEST_PAUSE_SECONDS:
            raise CannotAsk(f"HTTP {reply.status}: it wants to be asked again in {pause:.0f} s")
        time.sleep(pause)
    raise CannotAsk(f"it said {_TRIES} times in a row that it is asked too often")
