"""The doors by which scores enter a Langfuse server: the ingestion API, and where it takes none, `POST /scores`.

Every server up to 4.16 takes score events by the ingestion API, in all three modes (measured). Langfuse's SDK 5 sends an array to
`/scores` instead, which 4.16 refuses whole and newer servers take (its reference); so the array is tried only where the first
door is closed. A single score at `/scores` is never sent: it has no time of its own, and a resend on another day would be a
second score. By the array a score is updated under the same id and time, so it carries the time of its first event for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from exporter.destinations.answers import classify
from exporter.destinations.base import Answer, Outcome
from exporter.destinations.http import Reply

_CLOSED = frozenset({404, 405, 410})
_NO_ARRAY = frozenset({400, 404, 405, 410, 422})
_WORST_FIRST = (Outcome.RETRY, Outcome.HOLD, Outcome.TOO_LARGE, Outcome.REFUSED, Outcome.ACCEPTED)

Post = Callable[[str, bytes], Reply | Answer]
"""Path under the API and body → the reply, or what a failure to get one means."""


class ScoreDoors:
    """Remembers which door is open; asked again by the next process."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._takes_array = False

    def send(self, events: Sequence[dict[str, Any]], first_moments: Sequence[str]) -> Answer:
        """One batch of ingestion events; `first_moments` has the time of the first event of each one's score."""
        if self._takes_array:
            answer = self._array(events, first_moments)
            if answer is not None:
                return answer
            self._takes_array = False
        reply = self._post("/ingestion", orjson.dumps({"batch": list(events)}))
        if isinstance(reply, Answer):
            return reply
        answer = self._array(events, first_moments) if _is_closed(reply) else None
        self._takes_array = answer is not None and answer.outcome is Outcome.ACCEPTED
        return answer or receipts(reply, [event["id"] for event in events])

    def _array(self, events: Sequence[dict[str, Any]], first_moments: Sequence[str]) -> Answer | None:
        """The scores in one request; None when the server takes no array, or not all events are scores."""
        if any(event["type"] != "score-create" for event in events):
            return None
        moments = zip(events, first_moments, strict=True)
        reply = self._post(
            "/scores", orjson.dumps([{**event["body"], "timestamp": at} for event, at in moments])
        )
        if isinstance(reply, Answer):
            return reply
        if reply.status in _NO_ARRAY:
            return None
        if reply.status == 207:
            return _counted(reply, len(events))
        return classify(reply.status, reply.headers, reply.body)


def receipts(reply: Reply, event_ids: Sequence[str]) -> Answer:
    """What the answer to a batch means: every event needs a receipt of its own, and the worst one counts."""
    if reply.status != 207:
        return classify(reply.status, reply.headers, reply.body)
    answer = _object(reply)
    errors = _statuses(answer)
    taken = {str(success.get("id")) for success in answer.get("successes") or ()}
    if not errors:
        if taken.issuperset(event_ids):
            return Answer(Outcome.ACCEPTED)
        return Answer(Outcome.RETRY, "HTTP 207 without a receipt for every score")
    found = [classify(status, {}, b"") for status in errors]
    worst = min(found, key=lambda item: _WORST_FIRST.index(item.outcome))
    return Answer(worst.outcome, f"HTTP 207: {len(errors)} events failed, {worst.reason}")


def _is_closed(reply: Reply) -> bool:
    """True when the address is gone, or when every single event was refused, as a door refuses what it does not take."""
    if reply.status != 207:
        return reply.status in _CLOSED
    answer = _object(reply)
    errors = _statuses(answer)
    return bool(errors) and not answer.get("successes") and _NO_ARRAY.issuperset(errors)


def _statuses(answer: dict[str, Any]) -> list[int]:
    return [int(error.get("status") or 500) for error in answer.get("errors") or ()]


def _counted(reply: Reply, sent: int) -> Answer:
    """A 207 of the array counts, and names no score: what was refused is found by halving the request."""
    answer = _object(reply)
    if answer.get("rejected"):
        return Answer(Outcome.REFUSED, f"HTTP 207: {answer['rejected']} scores were rejected")
    if answer.get("accepted") == sent:
        return Answer(Outcome.ACCEPTED)
    return Answer(Outcome.RETRY, "HTTP 207 that does not account for every score")


def _object(reply: Reply) -> dict[str, Any]:
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
