"""The second door for scores of a Langfuse server, `POST /api/public/scores`, in its two generations.

Up to 4.16 (measured) it takes one score, dates it now whatever the body says, and refuses an array whole. Newer servers take an
array (the reference that Langfuse's SDK 5 is generated from): 202 when all are accepted, else 207 with counts and messages that
name no score; a score is updated under the same id and timestamp.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.contract.langfuse_score_rules import Scores
from tests.contract.twin_server import Refused, Response

LARGEST_BODY_BYTES = 1_000_000


def take(
    scores: Scores, body: bytes, lose: Callable[[], bool], keep: Callable[[dict[str, Any]], None]
) -> Response:
    """Answer one request; `lose` says of each score whether it is accepted and lost, `keep` stores the event it is."""
    if len(body) > LARGEST_BODY_BYTES:
        raise Refused(413, "body too large")
    try:
        sent = json.loads(body)
    except ValueError:
        raise Refused(400, "invalid request data") from None
    if isinstance(sent, list):
        return _many(scores, sent, lose, keep)
    event = _event(sent, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z")
    error = scores.error(event)
    if error is not None:
        raise Refused(400, error)
    _store(scores, event, lose, keep)
    return Response(200, {"id": event["body"]["id"]})


def _many(
    scores: Scores, sent: list[Any], lose: Callable[[], bool], keep: Callable[[dict[str, Any]], None]
) -> Response:
    if not scores.takes_arrays:
        raise Refused(400, "invalid request data")
    errors = []
    for body in sent:
        event = {**_event(body, body.get("timestamp")), "by_array": True}
        error = scores.error(event)
        if error is not None:
            errors.append({"message": error})
            continue
        _store(scores, event, lose, keep)
    if not errors:
        return Response(202, {"message": "Accepted"})
    return Response(207, {"accepted": len(sent) - len(errors), "rejected": len(errors), "errors": errors})


def _event(body: dict[str, Any], moment: Any) -> dict[str, Any]:
    """A score as the event that it would be at the ingestion API."""
    known = {name: value for name, value in body.items() if name != "timestamp"}
    score_id = known.setdefault("id", str(uuid4()))
    return {"id": score_id, "type": "score-create", "timestamp": moment, "body": known}


def _store(
    scores: Scores,
    event: dict[str, Any],
    lose: Callable[[], bool],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    scores.arrivals[event["body"]["id"]] += 1
    if not lose():
        scores.put(event)
        keep(event)
