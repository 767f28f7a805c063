"""A twin of Alibaba Cloud's billing trend of Model Studio and of its bill, over single requests.

Kept rules: ACS3 signatures, checked; one grouping at a time, twenty groups and the rest in one; filters IN and NOT; periods as
yyyyMMdd of UTC+8; amounts as text; bills per day with `NextToken`, other products among them; errors with a code and a status.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from typing import Any

from tests.contract import signatures
from tests.contract.spending import EXPIRED_KEY, SpendingTwin, Spent, grouped
from tests.contract.twin_server import Request, Response

KEY_ID, KEY_SECRET = "LTAItwin", "twin-alibaba-secret"
CHINA = timezone(timedelta(hours=8))
OTHERS = "DIMENSION_GROUP_OTHERS_VALUE"
CODES = {
    "BASE_MODEL": lambda item: item.model,
    "API_KEY_ID": lambda item: item.key or "none",
    "WORKSPACE_ID": lambda item: item.place or "default",
}


def china_day(item: Spent) -> str:
    return datetime.fromtimestamp(item.at, CHINA).date().isoformat()


class AlibabaTwin(SpendingTwin):
    """One account."""

    def report(self, request: Request) -> Response:
        """One signed action."""
        if EXPIRED_KEY in request.headers.get("authorization", ""):
            return _error(404, "InvalidAccessKeyId.NotFound")
        if not signatures.alibaba(request, KEY_SECRET):
            return _error(400, "SignatureDoesNotMatch")
        if (request.path, request.headers["x-acs-action"]) == (
            "/modelstudio/billing/trend",
            "GetBillingTrend",
        ):
            return Response(200, {"success": True, "data": self.trend(request.query)})
        if (request.path, request.headers["x-acs-action"]) == ("/", "DescribeInstanceBill"):
            return Response(200, {"Success": True, "Code": "Success", "Data": self.bill(request.query)})
        return _error(404, "InvalidAction.NotFound")

    def trend(self, query: dict[str, str]) -> dict[str, Any]:
        """Money per day and group."""
        period = json.loads(query["timePeriod"])
        (group,) = json.loads(query["groupBy"])
        of = CODES[group["code"]]
        items = [item for item in self.spent if period["start"] <= china_day(item) <= period["end"]]
        for only in json.loads(query.get("filter", '{"dimensions": []}'))["dimensions"]:
            value = CODES[only["code"]]
            items = [i for i in items if (value(i) in only["values"]) is (only["selectType"] == "IN")]
        by_cost = sorted(grouped(items, lambda i: (of(i),)), key=lambda pair: -sum(i.cents for i in pair[1]))
        named = {names[0] for names, _ in by_cost[: int(query["topNum"])]}
        assert int(query["topNum"]) <= 20
        found = []
        for (day,), inside in grouped(items, lambda i: (china_day(i),)):
            details = [
                {"key": key, "name": key, "amount": str(_yuan(of_key)), "percentage": "1"}
                for (key,), of_key in grouped(inside, lambda i: (of(i) if of(i) in named else OTHERS,))
            ]
            total = {"amount": str(_yuan(inside)), "currency": "CNY"}
            found.append({"period": day.replace("-", ""), "total": total, "periodDetails": details})
        return {"resultByTime": found}

    def bill(self, query: dict[str, str]) -> dict[str, Any]:
        """A page of a day."""
        assert query["Granularity"] == "DAILY"
        assert query["BillingDate"].startswith(query["BillingCycle"])
        day = date.fromisoformat(query["BillingDate"]).isoformat()
        items = [
            {
                "ProductName": "大模型服务平台百炼",
                "ProductCode": "sfm",
                "InstanceID": key,
                "BillingItem": f"{model} 输入",
                "Usage": "1.0",
                "UsageUnit": "千tokens",
                "PretaxAmount": float(_yuan(inside)),
                "Currency": "CNY",
            }
            for (key, model), inside in grouped(
                (item for item in self.spent if china_day(item) == day), lambda i: (i.key, i.model)
            )
        ]
        items.append({"ProductName": "云服务器 ECS", "ProductCode": "ecs", "PretaxAmount": 99.0})
        first = int(query.get("NextToken", "0"))
        last = first + min(self.page_size, int(query["MaxResults"]))
        return {"Items": items[first:last], "NextToken": str(last) if last < len(items) else None}


def _yuan(items: list[Spent]) -> Any:
    return sum(item.cents for item in items) / 100


def _error(status: int, code: str) -> Response:
    return Response(status, {"Code": code, "Message": "the prompt said hunter2", "RequestId": "r"})
