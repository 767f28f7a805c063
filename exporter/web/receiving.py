"""Request bodies as they come in: none larger than a limit, not too many at once, none that stalls for ever.

All bodies that are coming in or waiting share one allowance of memory. What is beyond it is told to come again; what
was received is given back when its request is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from anyio import fail_after
from starlette.requests import Request

from exporter.web.admission import Refusal

_RETRY_SECONDS = "5"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once. `silence_seconds`: a body that brings nothing for so long is given up."""

    most_requests: int = 128
    bodies_in_memory: int = 4
    silence_seconds: float = 15.0
    body_seconds: float = 120.0


class Room:
    """The shared allowance: so many requests, and the memory of a few bodies of the largest size."""

    def __init__(self, max_body: int, limits: Limits) -> None:
        self.max_body, self.limits = max_body, limits
        self._requests = self._bytes = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one request. Raises Refusal (503) when there is none."""
        if self._requests >= self.limits.most_requests:
            raise _come_again()
        self._requests += 1
        place = Place(self)
        try:
            yield place
        finally:
            self._requests -= 1
            self._bytes -= place.held_bytes

    def take(self, size_bytes: int) -> None:
        """Use some of the memory. Raises Refusal (503) when there is not enough."""
        if self._bytes + size_bytes > self.max_body * self.limits.bodies_in_memory:
            raise _come_again()
        self._bytes += size_bytes


class Place:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Raises Refusal: 413 beyond the largest body, 503 when the room is full."""
        if self.held_bytes + size_bytes > self._room.max_body:
            raise too_large(self._room.max_body)
        self._room.take(size_bytes)
        self.held_bytes += size_bytes


def too_large(max_body: int) -> Refusal:
    """The answer to a body beyond the limit, compressed or not."""
    return Refusal(
        413,
        f"the body is larger than intake.max_body ({max_body} bytes), which counts it both compressed and unpacked;"
        " send smaller batches or raise the setting",
    )


async def receive(request: Request, room: Room, place: Place) -> bytearray:
    """The body. Raises Refusal: 413, 503, or 408 when it does not come; ClientDisconnect when the sender is gone."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > room.max_body:
        raise too_large(room.max_body)
    body = bytearray()
    stream = request.stream()
    try:
        with fail_after(room.limits.body_seconds):
            while True:
                with fail_after(room.limits.silence_seconds):
                    piece = await anext(stream, None)
                if piece is None:
                    return body
                place.hold(len(piece))
                body += piece
    except TimeoutError:
        raise Refusal(408, "the body did not arrive in time", {"Connection": "close"}) from None


def _come_again() -> Refusal:
    return Refusal(
        503,
        "too many vendor calls are arriving at once; send them again later",
        {"Retry-After": _RETRY_SECONDS},
    )
