"""The copying of one exchange: begun with the request, fed as bytes pass, handed to the store when it ends.

Never raises into the traffic: whatever goes wrong here ends the copying of this one exchange and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from exporter import clock
from exporter.model import Micros
from exporter.recorder import telling
from exporter.recorder.capture import Copy, Memory
from exporter.recorder.counts import Counts
from exporter.recorder.exchange import Ending, Exchange
from exporter.recorder.headers import hashed_key
from exporter.recorder.routes import Operation, provider_of

Put = Callable[[Exchange], None]


class Recording:
    """What is known of an exchange in progress. Every method is safe to call from the path of the bytes."""

    def __init__(self, memory: Memory, counts: Counts, put: Put) -> None:
        self._memory, self._counts, self._put = memory, counts, put
        self._request, self._response = Copy(memory), Copy(memory)
        self._facts: dict[str, object] = {}
        self._started_at: Micros = clock.now()
        self._first_byte_at: Micros | None = None
        self._is_over = False

    def begin(self, operation: Operation, authority: str, headers: Mapping[str, str]) -> None:
        """The request line and headers are known."""
        self._safely(self._begin, operation, authority, headers)

    def asked(self, piece: bytes) -> None:
        """A piece of the request's body goes on."""
        self._safely(self._request.add, piece)

    def answering(self, status: int, headers: Mapping[str, str]) -> None:
        """The answer's status and headers are known."""
        self._safely(self._answering, status, headers)

    def answered(self, piece: bytes) -> None:
        """A piece of the answer's body goes back."""
        if self._first_byte_at is None:
            self._first_byte_at = clock.now()
        self._safely(self._response.add, piece)

    def end(self, ending: Ending) -> None:
        """Nothing more will pass; only the first call counts."""
        self._safely(self._end, ending)
        self._is_over = True

    def _begin(self, operation: Operation, authority: str, headers: Mapping[str, str]) -> None:
        self._facts.update(
            operation=operation.name,
            dialect=operation.dialect,
            deployment=operation.deployment,
            provider=provider_of(authority, operation),
            key=hashed_key(headers),
        )
        self._request.encoding = headers.get("Content-Encoding", "").strip().lower()

    def _answering(self, status: int, headers: Mapping[str, str]) -> None:
        self._facts.update(http_status=status, content_type=headers.get("Content-Type", "").lower())
        self._response.encoding = headers.get("Content-Encoding", "").strip().lower()

    def _end(self, ending: Ending) -> None:
        if self._memory.is_full:
            self._give_up("memory_full")
            return
        self._put(
            Exchange(
                number=self._counts.recorded + 1,
                id=f"rec-{uuid4().hex}",
                started_at=self._started_at,
                ended_at=max(clock.now(), self._started_at),
                ending=ending,
                first_byte_at=self._first_byte_at,
                request=self._request.body(),
                response=self._response.body(),
                **self._facts,  # type: ignore[arg-type]
            )
        )
        self._counts.recorded += 1

    def _safely(self, step: Callable[..., None], *given: object) -> None:
        if self._is_over:
            return
        try:
            step(*given)
        except Exception as error:  # noqa: BLE001 - a copy may fail in any way, the traffic may not
            telling.warning("copy_failed", error=type(error).__name__)
            self._give_up("copy_failed")

    def _give_up(self, cause: str) -> None:
        self._is_over = True
        self._memory.give_back(self._request.held_bytes + self._response.held_bytes)
        self._counts.lose(cause)
