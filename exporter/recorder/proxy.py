"""Passes requests on to their upstream and answers back, byte for byte and as they come, copying them aside.

Nothing is collected on the way: a piece goes on before the next is read, so a slow reader slows its upstream. Content
encodings, header order and spelling, redirects and errors are the upstream's own. What breaks reaches the other side
as a break: an answer that was cut is never ended in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import ClientError, ClientResponse, ClientSession, hdrs, web
from yarl import URL

from exporter.recorder import asking, headers, telling
from exporter.recorder.capture import Memory
from exporter.recorder.counts import Counts
from exporter.recorder.exchange import Ending
from exporter.recorder.handoff import Handoff
from exporter.recorder.options import RecorderOptions
from exporter.recorder.recording import Recording
from exporter.recorder.routes import Operation, Target, operation_of, target_of

SENT = web.RequestKey("names of the headers that the upstream sent", frozenset[str])

_FAILURES = (ClientError, OSError, TimeoutError)
_READ_ON_SECONDS = 1.0


@dataclass(slots=True)
class Site:
    """What every request needs."""

    options: RecorderOptions
    session: ClientSession
    memory: Memory
    counts: Counts
    handoff: Handoff


async def pass_on(site: Site, request: web.Request) -> web.StreamResponse:
    """The upstream's answer to a request, sent as it comes; an answer of ours where there is none."""
    target = target_of(site.options.upstreams, request.raw_path)
    if target is None:
        return _told(404, "the recorder has no upstream for this path")
    operation = operation_of(request.method, target.path)
    if operation is None:
        site.counts.not_recorded += 1
        return await _exchange(site, request, target, None, None)
    recording = Recording(site.memory, site.counts, site.handoff.put)
    recording.begin(operation, target.upstream.authority, request.headers)
    try:
        return await _exchange(site, request, target, operation, recording)
    finally:
        recording.end(Ending.CLIENT_GONE)  # unless it ended otherwise before


async def _exchange(
    site: Site, request: web.Request, target: Target, operation: Operation | None, recording: Recording | None
) -> web.StreamResponse:
    """Ask the upstream and pass its answer back; without an answer say so with 502 or 504."""
    try:
        sent, body = await _onward(site, request, target, operation, recording)
        answer = await site.session.request(
            request.method, URL(target.url, encoded=True), headers=sent, data=body, allow_redirects=False
        )
    except (*_FAILURES, ValueError) as problem:
        site.counts.upstream_failed += 1
        telling.warning("no_answer", upstream=target.upstream.authority, error=type(problem).__name__)
        if recording is not None:
            await _read_on(request, recording)
            recording.end(Ending.NO_ANSWER)
        if isinstance(problem, TimeoutError):
            return _told(504, "the upstream did not answer in time")
        return _told(502, "the upstream cannot be reached, or broke off before it answered")
    async with answer:
        return await _answer(site, request, answer, recording)


async def _onward(
    site: Site, request: web.Request, target: Target, operation: Operation | None, recording: Recording | None
) -> tuple[list[tuple[str, str]], AsyncIterator[bytes] | None]:
    """The request's headers and body as the upstream gets them."""
    sent = [*headers.onward(request.raw_headers), (hdrs.HOST, target.upstream.authority)]
    if not request.body_exists:
        return sent, None
    if not site.options.asks_for_usage or not _may_ask(request, operation):
        return sent, _body(b"", request, recording)
    held = await _held(request)
    asking_body = asking.with_usage(held) if len(held) <= asking.LONGEST_BODY else None
    if asking_body is None:
        return sent, _body(held, request, recording)
    sent = [(name, value) for name, value in sent if name.lower() != "content-length"]
    return [*sent, (hdrs.CONTENT_LENGTH, str(len(asking_body)))], _body(asking_body, request, recording)


async def _held(request: web.Request) -> bytes:
    """The whole body, or so much of it that it is clear that it is too long."""
    held = bytearray()
    while len(held) <= asking.LONGEST_BODY and (piece := await request.content.readany()):
        held += piece
    return bytes(held)


async def _body(first: bytes, request: web.Request, recording: Recording | None) -> AsyncIterator[bytes]:
    """What was read already, and then the rest as it comes."""
    piece = first or await request.content.readany()
    while piece:
        if recording is not None:
            recording.asked(piece)
        yield piece
        piece = await request.content.readany()


async def _read_on(request: web.Request, recording: Recording) -> None:
    """What the caller still sends of a request that goes nowhere, so that the record can say what was asked."""
    with contextlib.suppress(*_FAILURES):
        async with asyncio.timeout(_READ_ON_SECONDS):
            async for _ in _body(b"", request, recording):
                pass


def _may_ask(request: web.Request, operation: Operation | None) -> bool:
    """Only OpenAI's chat, and only a body that may be held in memory and read."""
    return (
        operation is not None
        and operation.name == "chat"
        and operation.dialect is None
        and (request.content_length or 0) <= asking.LONGEST_BODY
        and hdrs.CONTENT_ENCODING not in request.headers
    )


async def _answer(
    site: Site, request: web.Request, answer: ClientResponse, recording: Recording | None
) -> web.StreamResponse:
    """Pass an answer back to its end, or to where it breaks off."""
    travelling = headers.back(answer.raw_headers)
    request[SENT] = frozenset(name.lower() for name, _ in travelling)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=travelling)
    if recording is not None:
        recording.answering(answer.status, answer.headers)
    try:
        await response.prepare(request)
        is_whole = await _relay(answer, response, recording)
        if is_whole:
            await response.write_eof()
        else:
            site.counts.upstream_failed += 1
            _hang_up(request)
    except ConnectionError:  # only writing to the caller raises it here
        _hang_up(request)
    return response


async def _relay(answer: ClientResponse, response: web.StreamResponse, recording: Recording | None) -> bool:
    """Pass the body on; False when the upstream broke off. Raises ConnectionError when the caller is gone."""
    is_whole = True
    while is_whole:
        try:
            piece = await answer.content.readany()
        except _FAILURES as problem:
            telling.warning("answer_cut", upstream=answer.url.host, error=type(problem).__name__)
            piece, is_whole = _left(answer), False
        if recording is not None and piece:
            recording.answered(piece)
        if not piece:
            break
        await response.write(piece)
    if recording is not None:
        recording.end(Ending.WHOLE if is_whole else Ending.CUT)
    return is_whole


def _left(answer: ClientResponse) -> bytes:
    """What arrived before the break and was not read yet; the reader gives it out once its error is taken away."""
    answer.content.set_exception(None)  # type: ignore[arg-type]
    return answer.content.read_nowait()


def _hang_up(request: web.Request) -> None:
    """End the connection without ending the answer; what was written before still goes out."""
    if request.transport is not None:
        request.transport.close()


def _told(status: int, text: str) -> web.Response:
    """An answer of our own."""
    return web.Response(status=status, text=f"dify-exporter record: {text}\n")
