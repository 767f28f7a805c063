"""One model request and its answer as they passed, and how the two processes hand it to one another.

On the wire an exchange is a line of JSON (its small facts and the lengths of its bodies) and then the bodies' bytes.
The answer to it is a `Report`, a line of JSON. Nothing here waits or decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from exporter.model import Micros

LONGEST_LINE = 1 * 2**20
"""Bytes of a line of JSON between the processes; a longer one is damage."""
PIECE_BYTES = 64 * 2**10


class Ending(StrEnum):
    """How an exchange ended."""

    WHOLE = "whole"  # the upstream's answer arrived to its end
    CLIENT_GONE = "client_gone"  # the caller hung up
    CUT = "cut"  # the upstream broke off, or fell silent, inside its answer
    NO_ANSWER = "no_answer"  # the upstream could not be reached, or gave no answer


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a body. When `size` is more than head and tail hold, the middle was let go to save memory."""

    head: bytes | bytearray = b""
    tail: bytes | bytearray = b""
    size: int = 0
    encoding: str = ""

    @property
    def is_whole(self) -> bool:
        """Every byte is here."""
        return len(self.head) + len(self.tail) == self.size


@dataclass(frozen=True, slots=True)
class Exchange:
    """The facts of one request. `id` is the record's id, `http_status` None when no answer came."""

    number: int
    id: str
    operation: str
    started_at: Micros
    ended_at: Micros
    ending: Ending
    dialect: str | None = None
    provider: str | None = None
    deployment: str | None = None
    key: str | None = None
    http_status: int | None = None
    content_type: str = ""
    first_byte_at: Micros | None = None
    request: Body = field(default_factory=Body)
    response: Body = field(default_factory=Body)


@dataclass(frozen=True, slots=True)
class Report:
    """What the store says: exchanges that it is done with, what became of records since the last report, and how it is.

    `counts`: pushed, written, spooled, refused, unreadable. `problem` is what keeps records from going
    on, in words; None when nothing does.
    """

    settled: tuple[int, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    spool_bytes: int = 0
    problem: str | None = None

    def to_line(self) -> bytes:
        """The report as a line."""
        return orjson.dumps(self) + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Report:
        """The report of a line. Raises ValueError."""
        fields = orjson.loads(line)
        return Report(**{**fields, "settled": tuple(fields["settled"])})


def to_pieces(exchange: Exchange) -> Iterator[bytes | memoryview]:
    """The exchange as bytes, in pieces short enough that handing one on takes no time."""
    bodies = {"request": exchange.request, "response": exchange.response}
    facts = {name: getattr(exchange, name) for name in exchange.__slots__ if name not in bodies}
    for name, body in bodies.items():
        facts[name] = {
            "head": len(body.head),
            "tail": len(body.tail),
            "size": body.size,
            "encoding": body.encoding,
        }
    parts: list[bytes | bytearray] = [orjson.dumps(facts) + b"\n"]
    for body in bodies.values():
        parts += [body.head, body.tail]
    if sum(map(len, parts)) <= PIECE_BYTES:
        yield b"".join(parts)
        return
    for part in parts:
        view = memoryview(part)
        for at in range(0, len(view), PIECE_BYTES):
            yield view[at : at + PIECE_BYTES]


class Arriving:
    """Puts exchanges together from the bytes that arrive."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, piece: bytes) -> Iterator[Exchange]:
        """The exchanges that are complete with this piece. Raises ValueError when the bytes are none of ours."""
        self._bytes += piece
        while (exchange := self._next()) is not None:
            yield exchange

    def _next(self) -> Exchange | None:
        end = self._bytes.find(b"\n", 0, LONGEST_LINE)
        if end < 0:
            if len(self._bytes) > LONGEST_LINE:
                raise ValueError("a line between the processes has no end")
            return None
        facts = orjson.loads(self._bytes[:end])
        lengths = [facts[name][part] for name in ("request", "response") for part in ("head", "tail")]
        if len(self._bytes) < end + 1 + sum(lengths):
            return None
        parts, at = [], end + 1
        for length in lengths:
            parts.append(bytes(self._bytes[at : at + length]))
            at += length
        del self._bytes[:at]
        return Exchange(
            **{
                **facts,
                "ending": Ending(facts["ending"]),
                "request": _body(facts["request"], parts[0], parts[1]),
                "response": _body(facts["response"], parts[2], parts[3]),
            }
        )


def _body(facts: dict[str, object], head: bytes, tail: bytes) -> Body:
    size, encoding = facts["size"], facts["encoding"]
    if not isinstance(size, int) or not isinstance(encoding, str):
        raise ValueError("a body without size and encoding")
    return Body(head, tail, size, encoding)
