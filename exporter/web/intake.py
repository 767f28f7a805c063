"""The push addresses: who may, how much, what is answered. POST /v1/vendor-calls/<format> and POST /v1/traces (OTLP).

Promises: nothing of a body is read before the sender is known; a 2xx means that the records are on disk; no answer and
no log line repeats anything of a body. Bodies are read and stored in threads of their own, beside those of the pages.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import orjson
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.config import IntakeSettings
from exporter.errors import StateRefused
from exporter.model import Micros
from exporter.state import evidence
from exporter.state.store import Store
from exporter.vendor.adapters import ADAPTERS
from exporter.vendor.push import json_bodies, otlp_answers, otlp_bodies
from exporter.vendor.push.reading import Pushed, read_pushed
from exporter.vendor.push.refusal import BadBody, TooLarge, TooMuch, UnknownCoding
from exporter.vendor.push.unpacking import CODINGS, unpack
from exporter.vendor.record import LONGEST_SOURCE, is_source_name
from exporter.web.admission import Refusal, admit
from exporter.web.receiving import Limits, Room, receive, too_large

log = structlog.get_logger()

_WORKERS = 2
"""Bodies read and stored at once; each may take a few times the largest body in memory."""

_NAMED = 100
"""Refused entries that an answer names; a span batch names a few in one sentence."""

_NAMED_SPANS = 5
_STATE_RETRY_SECONDS = "30"

Body = bytes | bytearray
Read = Callable[[Body], Pushed]


@dataclass(frozen=True, slots=True)
class _Intake:
    """What all push addresses share."""

    store: Store
    settings: IntakeSettings
    listens_on: str
    clock: Callable[[], Micros]
    arrived: Callable[[], None]
    room: Room
    workers: CapacityLimiter


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a body held, and how much of it was not there before."""

    pushed: Pushed
    new: int


def intake_routes(
    store: Store,
    settings: IntakeSettings,
    listens_on: str,
    clock: Callable[[], Micros],
    arrived: Callable[[], None] | None = None,
    limits: Limits | None = None,
) -> list[Route]:
    """The push addresses over a state file. `arrived` is called, in a worker's thread, after new records were stored."""
    if not settings.enabled:
        return []
    intake = _Intake(
        store, settings, listens_on, clock, arrived or (lambda: None),
        Room(settings.max_body, limits or Limits()), CapacityLimiter(_WORKERS),
    )  # fmt: skip
    return [
        Route("/v1/vendor-calls/{format}", partial(_vendor_calls, intake), methods=["POST"]),
        Route("/v1/traces", partial(_traces, intake), methods=["POST"]),
    ]


async def _vendor_calls(intake: _Intake, request: Request) -> Response:
    try:
        kept = await _taken(intake, request, _calls_reader)
    except Refusal as refusal:
        return _json({"error": refusal.reason}, refusal.status, refusal.headers)
    return _calls_answer(kept)


async def _traces(intake: _Intake, request: Request) -> Response:
    encoding = otlp_answers.encoding_of(request.headers.get("content-type", "")) or otlp_answers.JSON
    try:
        kept = await _taken(intake, request, _spans_reader)
    except Refusal as refusal:
        words = otlp_answers.failure(refusal.reason, encoding)
        return Response(words, refusal.status, refusal.headers, media_type=encoding)
    refused = kept.pushed.refused
    named = "; ".join(f"span {item.number}: {item.reason}" for item in refused[:_NAMED_SPANS])
    return Response(otlp_answers.success(len(refused), named, encoding), media_type=encoding)


def _calls_reader(request: Request) -> Read:
    """How the body will be read. Raises Refusal when the address makes no sense."""
    format, source = request.path_params["format"], _source(request)
    if format not in ADAPTERS:
        raise Refusal(404, f"no such format; known are {', '.join(sorted(ADAPTERS))}")
    return lambda body: read_pushed(json_bodies.entries(body), format, source)


def _spans_reader(request: Request) -> Read:
    source = _source(request)
    encoding = otlp_answers.encoding_of(request.headers.get("content-type", ""))
    if encoding is None:
        raise Refusal(415, f"Content-Type must be {otlp_answers.PROTOBUF} or {otlp_answers.JSON}")
    spans = otlp_bodies.spans_of_json if encoding == otlp_answers.JSON else otlp_bodies.spans_of_protobuf
    return lambda body: read_pushed(spans(body), "otlp", source)


def _source(request: Request) -> str | None:
    name = request.query_params.get("source")
    if name is None or is_source_name(name):
        return name
    raise Refusal(400, f"source must be a printable name of at most {LONGEST_SOURCE} characters")


async def _taken(intake: _Intake, request: Request, reader: Callable[[Request], Read]) -> _Kept:
    """Admit, receive, read and store. Raises Refusal for everything that can go wrong."""
    admit(request.headers, intake.settings.token.get_secret_value(), intake.listens_on)
    read = reader(request)
    coding = request.headers.get("content-encoding", "")
    try:
        with intake.room.place() as place:
            body = await receive(request, intake.room, place)
            return await to_thread.run_sync(_keep, intake, body, coding, read, limiter=intake.workers)
    except ClientDisconnect:
        raise Refusal(400, "the sender went away") from None
    except BadBody as problem:
        raise _logged(_refusal_of(problem, intake.settings.max_body)) from None
    except (StateRefused, sqlite3.Error) as error:
        log.error("vendor_calls_not_stored", error=str(error))
        raise Refusal(
            503,
            "the state file cannot be written now (the log says more); nothing of this body was stored, send it again",
            {"Retry-After": _STATE_RETRY_SECONDS},
        ) from None


def _refusal_of(problem: BadBody, max_body: int) -> Refusal:
    if isinstance(problem, TooLarge):
        return too_large(max_body)
    if isinstance(problem, UnknownCoding):
        return Refusal(415, str(problem), {"Accept-Encoding": ", ".join(CODINGS)})
    return Refusal(413 if isinstance(problem, TooMuch) else 400, str(problem))


def _logged(refusal: Refusal) -> Refusal:
    log.warning("vendor_calls_refused", status=refusal.status, reason=refusal.reason)
    return refusal


def _keep(intake: _Intake, body: Body, coding: str, read: Read) -> _Kept:
    """In a worker's thread: unpack, read, store in one transaction. Raises BadBody, StateRefused, sqlite3.Error."""
    plain = unpack(body, coding, intake.settings.max_body)
    pushed = read(plain)
    new = _stored(intake, pushed, plain) if pushed.records or pushed.refused else 0
    if new:
        intake.arrived()
    if pushed.refused:
        first = pushed.refused[0]
        log.warning(
            "vendor_records_refused", source=pushed.source, refused=len(pushed.refused),
            accepted=len(pushed.records), entry=first.number, reason=first.reason,
        )  # fmt: skip
    return _Kept(pushed, new)


def _stored(intake: _Intake, pushed: Pushed, body: Body) -> int:
    """How many records were new. A refused entry's place is named by the body's hash: pushed again it counts once."""
    now = intake.clock()
    name = hashlib.sha256(body).hexdigest()[:16] if pushed.refused else ""
    with intake.store.transaction("push") as connection:
        for item in pushed.refused:
            place = f"push {pushed.format} {name} entry {item.number}"
            evidence.refuse(connection, pushed.source, place, item.reason, now)
        return evidence.add(connection, pushed.records, now)


def _calls_answer(kept: _Kept) -> Response:
    pushed = kept.pushed
    answer = {
        "accepted": kept.new,
        "duplicates": len(pushed.records) - kept.new,
        "ignored": pushed.ignored,
        "refused": [{"entry": item.number, "reason": item.reason} for item in pushed.refused[:_NAMED]],
        "refused_total": len(pushed.refused),
    }
    return _json(answer, 422 if pushed.refused and not pushed.records else 200)


def _json(content: object, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
