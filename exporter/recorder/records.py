"""The canonical vendor record of one exchange, as `exporter.vendor.record` reads it.

Takes the vendor's words as they are: its own usage object, its own ids. When the middle of a body was let go, what is
left is the usage; texts are then left out, never shortened. Keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from exporter import clock
from exporter.recorder.decoding import Undecodable, decoded
from exporter.recorder.exchange import Body, Ending, Exchange
from exporter.vendor.adapters.bodies import Answer, AnswerReader, tool_calls_json
from exporter.vendor.adapters.sse import EventSplitter
from exporter.vendor.usage import StreamResult, StreamUsage

_PIECE_BYTES = 64 * 2**10
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*"([^"\\]{1,200})"')
_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*(?={)')
_WITHOUT_OUTPUT = ("embeddings", "rerank")


class NoRecord(ValueError):
    """No record can be made of an exchange. `cause` is the counter it belongs to; the text names no content."""

    def __init__(self, cause: str, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


def record_of(exchange: Exchange, source: str) -> dict[str, Any]:
    """The record, without what is not known. Raises NoRecord."""
    request = _request(exchange.request)
    answer, usage = _answer(exchange, request)
    model = _text(request.get("model")) or exchange.deployment or answer.model
    if model is None:
        raise NoRecord("unreadable", "neither request nor answer names a model")
    status = _status(exchange, answer, usage)
    is_stream = request.get("stream") is True or "event-stream" in exchange.content_type
    fields = {
        "id": exchange.id,
        "source": source,
        "started_at": clock.rfc3339(exchange.started_at),
        "ended_at": clock.rfc3339(exchange.ended_at),
        "operation": exchange.operation,
        "provider": exchange.provider,
        "model": model,
        "response_model": answer.model,
        "response_id": answer.response_id,
        "status": status,
        "http_status": exchange.http_status,
        "stream": is_stream,
        "first_token_at": _first_token_at(exchange) if is_stream else None,
        "user": _user(request),
        "key": exchange.key,
        "dify_app_id": _text(_inside(request, "metadata").get("dify_app_id")),
        "request": request or None,
        "response_text": answer.text,
        "tool_calls": tool_calls_json(answer.tool_calls) or None,
        "usage": usage.usage,
        "usage_shape": usage.shape if usage.usage is not None else None,
        "usage_estimated": usage.is_estimated or None,
        "usage_unknown": (usage.usage is None and status == "ok") or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _status(exchange: Exchange, answer: Answer, usage: StreamResult) -> str:
    """A stream that the vendor closed in order but neither finished nor counted was cut on the vendor's side."""
    if answer.is_error or exchange.ending is Ending.NO_ANSWER or (exchange.http_status or 0) >= 400:
        return "error"
    if exchange.ending is not Ending.WHOLE:
        return "aborted"
    is_open = (
        "event-stream" in exchange.content_type and not answer.is_finished and exchange.response.is_whole
    )
    return "aborted" if is_open and not usage.is_final else "ok"


def _request(body: Body) -> Mapping[str, Any]:
    """The request's JSON; empty when it is none, or was too long to be kept."""
    if not body.is_whole:
        return {}
    try:
        value = orjson.loads(decoded(body.head + body.tail, body.encoding))
    except (Undecodable, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _answer(exchange: Exchange, request: Mapping[str, Any]) -> tuple[Answer, StreamResult]:
    """What the answer says, and the usage in it. Raises NoRecord."""
    body = exchange.response
    if not body.is_whole:
        return _remains(exchange)
    try:
        text = decoded(body.head + body.tail, body.encoding)
    except Undecodable as problem:
        raise NoRecord("unreadable", f"the answer cannot be read: {problem}") from None
    reader, counter = AnswerReader(request), StreamUsage()
    for event in _events(text):
        reader.feed(event)
        counter.feed(event)
    answer, counted = reader.answer(), counter.result()
    if counted.is_final:
        return answer, counted
    usage = dict(answer.usage) if answer.usage else None  # without placeholders that a cut stream begins with
    return answer, StreamResult(usage, answer.usage_shape or counted.shape, is_final=False)


def _events(text: bytes) -> Iterator[object]:
    """The JSON of a body: one value, or the events of a stream."""
    try:
        yield orjson.loads(text)
        return
    except orjson.JSONDecodeError:
        splitter = EventSplitter()
    for at in range(0, len(text), _PIECE_BYTES):
        yield from splitter.feed(text[at : at + _PIECE_BYTES])
    yield from splitter.close()


def _remains(exchange: Exchange) -> tuple[Answer, StreamResult]:
    """Names and usage out of the beginning and the end of an answer. Raises NoRecord."""
    body = exchange.response
    if body.encoding not in ("", "identity"):
        raise NoRecord("unreadable", "the answer is compressed and too long to be kept")
    head, tail = bytes(body.head), bytes(body.tail)
    if "event-stream" in exchange.content_type:
        reader, counter = AnswerReader(), StreamUsage()
        for event in (*_events(head), *_events(tail.partition(b"\n")[2])):
            reader.feed(event)
            counter.feed(event)
        known, counted = reader.answer(), counter.result()
        return Answer(
            response_id=known.response_id,
            model=known.model,
            is_finished=known.is_finished,
            is_error=known.is_error,
        ), counted
    return _named(head, tail), _last_usage(tail, exchange.operation)


def _named(head: bytes, tail: bytes) -> Answer:
    found = _MODEL.search(tail) or _MODEL.search(head)
    return Answer(model=found[1].decode("utf-8", "replace") if found else None, is_finished=True)


def _last_usage(tail: bytes, operation: str) -> StreamResult:
    """The usage object that ends a long body, as embeddings do."""
    for found in reversed(list(_USAGE.finditer(tail))):
        end = tail.find(b"}", found.end())
        while end >= 0:
            try:
                usage = orjson.loads(tail[found.end() : end + 1])
            except orjson.JSONDecodeError:
                end = tail.find(b"}", end + 1)
                continue
            shape = operation if operation in _WITHOUT_OUTPUT else None
            return StreamResult(usage, shape, is_final=True)
    return StreamResult(None, None, is_final=False)


def _first_token_at(exchange: Exchange) -> str | None:
    return None if exchange.first_byte_at is None else clock.rfc3339(exchange.first_byte_at)


def _user(request: Mapping[str, Any]) -> str | None:
    """Where vendors take the end user's name: OpenAI twice, Anthropic, DeepSeek."""
    named = request.get("user") or request.get("safety_identifier") or request.get("user_id")
    return _text(named) or _text(_inside(request, "metadata").get("user_id"))


def _inside(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = request.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _text(value: object) -> str | None:
    """A name that a record may hold."""
    return value if isinstance(value, str) and 0 < len(value) <= 512 else None
