"""A twin of Anthropic's usage and cost reports and of their analytics successor, over single requests.

Kept rules: an admin key in `x-api-key` and a version; RFC 3339 bounds snapped to the bucket's start; widths with their most per
page; `group_by[]`; input without cache reads and writes; cents as text; the default workspace is null; analytics rows need
their beta header, `ending_at` and at most 31 days (24 hours for minutes).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.contract.spending import EXPIRED_KEY, SpendingTwin, Spent, grouped
from tests.contract.twin_server import Refused, Request, Response

ADMIN_KEY = "sk-ant-admin-twin"
WIDTHS = {"1m": (60, 1440), "1h": (3600, 168), "1d": (86400, 31)}
DIMENSIONS = {
    "api_key_id": lambda item: item.key,
    "workspace_id": lambda item: item.place,
    "model": lambda item: item.model,
    "service_tier": lambda item: "batch" if item.is_batch else "standard",
    "description": lambda item: f"{item.model} Usage - Input Tokens",
}


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def written(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class AnthropicUsageTwin(SpendingTwin):
    """One organisation."""

    def report(self, request: Request) -> Response:
        """One of the four reports."""
        if "anthropic-version" not in request.headers:
            raise Refused(400, "anthropic-version: header is required")
        if request.headers.get("x-api-key") != ADMIN_KEY:
            is_expired = request.headers.get("x-api-key") == EXPIRED_KEY
            raise Refused(401 if is_expired else 403, "invalid x-api-key")
        name = request.path.removeprefix("/v1/organizations/")
        if name in ("usage_report/messages", "cost_report"):
            return self.classic(request, is_cost=name == "cost_report")
        if name in ("analytics/usage", "analytics/cost"):
            if request.headers.get("anthropic-beta") != "analytics-usage-cost-2026-08-24":
                raise Refused(404, "not found")
            return self.analytics(request, is_cost=name == "analytics/cost")
        raise Refused(404, "not found")

    def classic(self, request: Request, *, is_cost: bool) -> Response:
        """Buckets with results."""
        width, most = WIDTHS[request.query.get("bucket_width", "1d")]
        groups = [value for key, value in request.pairs if key == "group_by[]"]
        if is_cost and (width != 86400 or set(groups) - {"workspace_id", "description"}):
            raise Refused(400, "cost_report: bucket_width 1d, groups workspace_id and description")
        limit = int(request.query.get("limit", 7))
        if not 1 <= limit <= most:
            raise Refused(400, f"limit: at most {most}")
        at = seconds(request.query["starting_at"]) // width * width
        end = seconds(request.query["ending_at"])
        if "page" in request.query:
            at = int(request.query["page"].removeprefix("page_"))
        data = []
        while at < end and len(data) < min(limit, self.page_size):
            results = self.results(self.between(at, at + width), groups, is_cost=is_cost)
            data.append({"starting_at": written(at), "ending_at": written(at + width), "results": results})
            at += width
        more = at < end
        return Response(200, {"data": data, "has_more": more, "next_page": f"page_{at}" if more else None})

    def results(self, spent: list[Spent], groups: list[str], *, is_cost: bool) -> list[dict[str, Any]]:
        """Rows of a bucket."""
        found = []
        for names, items in grouped(spent, lambda item: tuple(DIMENSIONS[name](item) for name in groups)):
            if is_cost:
                row = {
                    "currency": "USD",
                    "amount": str(sum(item.cents for item in items)),
                    "cost_type": "tokens",
                    "model": items[0].model,
                }
            else:
                row = {**dict.fromkeys(DIMENSIONS), **usage(items)}
                del row["description"]
            found.append(row | dict(zip(groups, names, strict=True)))
        return found

    def analytics(self, request: Request, *, is_cost: bool) -> Response:
        """Rows, each with its stretch."""
        width, _ = WIDTHS[request.query["time_bucket_width"]]
        start, end = seconds(request.query["starting_at"]), seconds(request.query["ending_at"])
        if end - start > (86400 if width == 60 else 31 * 86400):
            raise Refused(400, "the range is too long")
        groups = [value for key, value in request.pairs if key == "group_by[]"]
        rows: list[dict[str, Any]] = []
        for at in range(start // width * width, end, width):
            found = self.between(at, at + width)
            for names, items in grouped(found, lambda item: tuple(DIMENSIONS[name](item) for name in groups)):
                cents = sum(item.cents for item in items)
                told = (
                    {"amount": str(cents), "list_amount": str(cents * 2)}
                    if is_cost
                    else {"usage": usage(items) | {"requests": len(items)}}
                )
                rows.append(
                    {
                        "starting_at": written(at),
                        "ending_at": written(at + width),
                        "group": dict(zip(groups, names, strict=True)),
                        **told,
                    }
                )
        first = int(request.query.get("page", "0"))
        last = first + min(self.page_size, int(request.query.get("limit", 20)))
        more = last < len(rows)
        return Response(
            200, {"data": rows[first:last], "has_more": more, "next_page": str(last) if more else None}
        )


def usage(items: list[Spent]) -> dict[str, Any]:
    """Counts as Anthropic tells them."""
    return {
        "uncached_input_tokens": sum(item.input - item.cached - item.written for item in items),
        "cache_creation": {
            "ephemeral_1h_input_tokens": 0,
            "ephemeral_5m_input_tokens": sum(item.written for item in items),
        },
        "cache_read_input_tokens": sum(item.cached for item in items),
        "output_tokens": sum(item.output for item in items),
        "server_tool_use": {"web_search_requests": 0},
    }
