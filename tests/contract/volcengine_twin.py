"""A twin of Volcengine Ark's GetUsage, over single requests.

Kept rules: signed bodies, checked; hours and days; every stretch of the span is told, those without usage as 0; models are told
apart by asking for their endpoints only; errors in `ResponseMetadata` with a status.
"""

from __future__ import annotations

import json
from typing import Any

from tests.contract import signatures
from tests.contract.spending import EXPIRED_KEY, SpendingTwin
from tests.contract.twin_server import Request, Response

KEY_ID, KEY_SECRET = "AKLTtwin", "twin-volcengine-secret"


class VolcengineTwin(SpendingTwin):
    """One account; a request's `place` is its endpoint."""

    def report(self, request: Request) -> Response:
        """One signed action."""
        if EXPIRED_KEY in request.headers.get("authorization", ""):
            return _error(401, "InvalidAccessKey")
        if not signatures.volcengine(request, KEY_SECRET):
            return _error(401, "SignatureDoesNotMatch")
        if (request.query.get("Action"), request.query.get("Version")) != ("GetUsage", "2024-01-01"):
            return _error(404, "InvalidActionOrVersion")
        asked = json.loads(request.body)
        width, endpoints = asked["Interval"], asked.get("EndpointIds")
        if width not in (3600, 86400):
            return _error(400, "InvalidParameter.Interval")
        results: list[dict[str, Any]] = []
        for name, part in (("PromptTokens", "input"), ("CompletionTokens", "output")):
            values = [
                {
                    "Timestamp": at,
                    "Value": sum(
                        getattr(item, part)
                        for item in self.between(at, at + width)
                        if endpoints is None or item.place in endpoints
                    ),
                }
                for at in range(asked["StartTime"], asked["EndTime"], width)
            ]
            results.append({"Name": name, "MetricItems": [{"Values": values}]})
        return Response(200, {"ResponseMetadata": {"RequestId": "r"}, "Result": {"UsageResults": results}})


def _error(status: int, code: str) -> Response:
    error = {"Code": code, "Message": "the prompt said hunter2"}
    return Response(status, {"ResponseMetadata": {"RequestId": "r", "Error": error}})
