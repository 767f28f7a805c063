"""A twin of Tencent Cloud's TokenHub usage and of its bill, over single requests.

Kept rules: TC3 signatures, checked; errors inside a 200; ten objects a page, all of them without series for `ShowAll`; series
are lists written as text, with null where nothing was used; the least period depends on the span; requests are told per key
only; bills come as whole months, 300 lines a page, days of UTC+8, with other products among them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.contract import signatures
from tests.contract.spending import EXPIRED_KEY, SpendingTwin, Spent, grouped
from tests.contract.twin_server import Request, Response

SECRET_ID, SECRET_KEY = "AKIDtwin", "twin-tencent-secret"
CHINA = timezone(timedelta(hours=8))
STATS = {
    "TotalToken": lambda items: sum(item.input + item.output for item in items),
    "InputTotalToken": lambda items: sum(item.input for item in items),
    "OutputTotalToken": lambda items: sum(item.output for item in items),
    "CacheTotalToken": lambda items: sum(item.cached for item in items),
    "RequestCount": len,
    "RequestFailCount": lambda items: 0,
}


def china_day(item: Spent) -> str:
    return datetime.fromtimestamp(item.at, CHINA).date().isoformat()


class Wrong(Exception):
    """An error in Tencent's form."""


class TencentTwin(SpendingTwin):
    """One account."""

    def report(self, request: Request) -> Response:
        """One signed action."""
        try:
            if EXPIRED_KEY in request.headers.get("authorization", ""):
                raise Wrong("AuthFailure.SecretIdNotFound")
            if not signatures.tencent(request, SECRET_KEY):
                raise Wrong("AuthFailure.SignatureFailure")
            asked = json.loads(request.body)
            action = request.headers["x-tc-action"]
            found = self.ranks(asked) if action == "DescribeUsageRankList" else self.bill(asked)
        except Wrong as wrong:
            found = {"Error": {"Code": str(wrong), "Message": "the prompt said hunter2"}}
        return Response(200, {"Response": found | {"RequestId": "r-1"}})

    def ranks(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Usage by key or model."""
        start, end = (
            int(datetime.fromisoformat(asked[name]).timestamp()) for name in ("StartTime", "EndTime")
        )
        show_all, period = asked.get("ShowAll", False), asked.get("Period", 0)
        days = (end - start) / 86400
        least = 60 if days <= 1 else 300 if days <= 5 else 3600 if days <= 10 else 86400
        if days > 90 or (not show_all and (period not in (60, 300, 3600, 86400) or period < least)):
            raise Wrong("InvalidParameter")
        is_anchored = asked.get("MetricType") == "apikey_usage"
        items = [item for item in self.between(start, end) if item.key is not None]
        if is_anchored:
            items = [item for item in items if item.key == asked["Anchor"]]
        by = (lambda item: (item.key,)) if asked["Dimension"] == "apikey" else (lambda item: (item.model,))
        names = list(STATS) if is_anchored else list(STATS)[:4]
        times = [] if show_all else list(range(start, end, period))
        objects = [
            {"Rank": 1, "Key": key, "Name": key, "Stats": {name: STATS[name](group) for name in names}}
            | ({} if show_all else {"Series": _series(group, names, times, period)})
            for (key,), group in grouped(items, by)
        ]
        offset = asked.get("Offset", 0)
        page = objects if show_all else objects[offset : offset + 10]
        return {"Total": len(objects), "Timestamps": times, "TopList": page, "Period": period}

    def bill(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A month's lines."""
        if asked["Limit"] > 300:
            raise Wrong("InvalidParameter")
        lines = [
            {
                "BusinessCode": "p_hunyuan",
                "BusinessCodeName": "腾讯混元大模型",
                "ProductCodeName": "后付费",
                "ResourceId": key,
                "BillDay": day,
                "FeeBeginTime": f"{day} 00:00:00",
                "ComponentSet": [
                    {"ComponentCodeName": "tokens", "ItemCodeName": model, "RealCost": str(_yuan(items))},
                ],
            }
            for (day, key, model), items in grouped(self.spent, lambda i: (china_day(i), i.key, i.model))
            if day[:7] == asked["Month"]
        ]
        lines.append(
            {
                "BusinessCodeName": "云服务器CVM",
                "BillDay": f"{asked['Month']}-02",
                "ComponentSet": [{"RealCost": "99"}],
            }
        )
        size = min(self.page_size, asked["Limit"])
        return {"DetailSet": lines[asked["Offset"] : asked["Offset"] + size], "Total": None, "Context": "c-1"}


def _series(items: list[Spent], names: list[str], times: list[int], period: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        values = []
        for at in times:
            inside = [item for item in items if at <= item.at < at + period]
            values.append(STATS[name](inside) if inside else None)
        found[name] = json.dumps(values)
    return found


def _yuan(items: list[Spent]) -> Any:
    return sum(item.cents for item in items) / 100
