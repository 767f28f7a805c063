"""A twin of CloudWatch's metrics of Bedrock: ListMetrics and GetMetricData, in the JSON form that boto3 speaks.

Kept rules: requests signed with SigV4; metrics by namespace and dimensions, those with further dimensions too; pages by
NextToken; at most 500 queries; sums per period in UTC, periods without data left out; input without the cache counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.contract import signatures
from tests.contract.spending import SpendingTwin, Spent
from tests.contract.twin_server import Request, Response

ACCESS_KEY, SECRET_KEY, REGION = "AKIATWINTWINTWINTWIN", "twin-aws-secret", "us-east-1"
METRICS: dict[str, Callable[[list[Spent]], float]] = {
    "Invocations": len,
    "InputTokenCount": lambda items: sum(item.input - item.cached - item.written for item in items),
    "OutputTokenCount": lambda items: sum(item.output for item in items),
    "CacheReadInputTokenCount": lambda items: sum(item.cached for item in items),
    "CacheWriteInputTokenCount": lambda items: sum(item.written for item in items),
    "InvocationLatency": lambda items: 1.0,
}


class CloudWatchTwin(SpendingTwin):
    """One region of one account."""

    def report(self, request: Request) -> Response:
        """One signed action."""
        if not signatures.aws(request, SECRET_KEY):
            return _error(400, "InvalidSignatureException")
        action = request.headers["x-amz-target"].rpartition(".")[2]
        asked = json.loads(request.body)
        found = self.listed(asked) if action == "ListMetrics" else self.data(asked)
        return Response(
            200, None, {"Content-Type": "application/x-amz-json-1.0"}, raw=json.dumps(found).encode()
        )

    def listed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A page of metrics."""
        metrics = [
            {
                "Namespace": "AWS/Bedrock",
                "MetricName": name,
                "Dimensions": [{"Name": "ModelId", "Value": model}, *more],
            }
            for model in sorted({item.model for item in self.spent})
            for name in METRICS
            for more in ([], [{"Name": "ContextWindow", "Value": "200k"}])
        ]
        assert asked["Namespace"] == "AWS/Bedrock"
        return self.page("Metrics", metrics, asked)

    def data(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A page of series."""
        queries = asked["MetricDataQueries"]
        assert len(queries) <= 500
        results = []
        for query in queries:
            metric, period = query["MetricStat"]["Metric"], query["MetricStat"]["Period"]
            (dimension,) = metric["Dimensions"]
            assert query["MetricStat"]["Stat"] == "Sum"
            times, values = [], []
            for at in range(int(asked["StartTime"]), int(asked["EndTime"]), period):
                inside = [item for item in self.between(at, at + period) if item.model == dimension["Value"]]
                if inside:
                    times.append(at)
                    values.append(float(METRICS[metric["MetricName"]](inside)))
            results.append(
                {"Id": query["Id"], "Timestamps": times, "Values": values, "StatusCode": "Complete"}
            )
        return self.page("MetricDataResults", results, asked)

    def page(self, name: str, items: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
        """Part of a list."""
        first = int(asked.get("NextToken") or 0)
        last = first + self.page_size
        more = {"NextToken": str(last)} if last < len(items) else {}
        return {name: items[first:last], **more}


def _error(status: int, code: str) -> Response:
    body = json.dumps({"__type": code, "message": "the prompt said hunter2"}).encode()
    return Response(status, None, {"Content-Type": "application/x-amz-json-1.0"}, raw=body)
