"""A twin of OpenAI's organisation usage and costs, over single requests.

Kept rules: an admin key, a project's key is refused; `start_time` inclusive and `end_time` exclusive in Unix seconds;
widths 1m, 1h, 1d with their most per page; costs of days only; repeated `group_by`, ungrouped dimensions null; empty buckets
are told; opaque pages; amounts are floats in dollars with a currency in lower case.
"""

from __future__ import annotations

from typing import Any

from tests.contract.spending import EXPIRED_KEY, SpendingTwin, Spent, grouped
from tests.contract.twin_server import Refused, Request, Response

ADMIN_KEY = "sk-admin-twin"
WIDTHS = {"1m": (60, 1440), "1h": (3600, 168), "1d": (86400, 31)}
DIMENSIONS = {
    "project_id": lambda item: item.place,
    "api_key_id": lambda item: item.key,
    "user_id": lambda item: "user_1",
    "model": lambda item: item.model,
    "batch": lambda item: item.is_batch,
    "line_item": lambda item: item.model,
}
ENDPOINTS = (
    "completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions",
)  # fmt: skip


class OpenAiUsageTwin(SpendingTwin):
    """One organisation."""

    def report(self, request: Request) -> Response:
        """Usage or costs."""
        given = request.headers.get("authorization")
        if given == f"Bearer {EXPIRED_KEY}":
            raise Refused(401, "Incorrect API key provided: expired-twin-key")
        if given != f"Bearer {ADMIN_KEY}":
            raise Refused(403, "You have insufficient permissions for this operation")
        head, _, endpoint = request.path.partition("/v1/organization/")
        is_cost = endpoint == "costs"
        if head or not (is_cost or endpoint.removeprefix("usage/") in ENDPOINTS):
            raise Refused(404, "not found")
        width, most = (86400, 180) if is_cost else WIDTHS[request.query.get("bucket_width", "1d")]
        if is_cost and request.query.get("bucket_width", "1d") != "1d":
            raise Refused(400, "bucket_width must be 1d")
        limit = int(request.query.get("limit", 7))
        if not 1 <= limit <= most:
            raise Refused(400, f"limit must be between 1 and {most}")
        start, end = int(request.query["start_time"]), int(request.query.get("end_time", 2**40))
        if "page" in request.query:
            start = int(request.query["page"].removeprefix("page_"))
        groups = [value for name, value in request.pairs if name == "group_by"]
        if unknown := [name for name in groups if name not in DIMENSIONS]:
            raise Refused(400, f"unknown group {unknown[0]}")
        data: list[dict[str, Any]] = []
        at = start // width * width
        while at < end and len(data) < min(limit, self.page_size):
            found = [i for i in self.between(at, at + width) if is_cost or endpoint == f"usage/{i.endpoint}"]
            data.append(
                {
                    "object": "bucket",
                    "start_time": at,
                    "end_time": at + width,
                    "results": self.costs(found, groups) if is_cost else self.usage(found, groups, endpoint),
                }
            )
            at += width
        more = at < end
        return Response(
            200,
            {"object": "page", "data": data, "has_more": more, "next_page": f"page_{at}" if more else None},
        )

    def usage(self, spent: list[Spent], groups: list[str], endpoint: str) -> list[dict[str, Any]]:
        """Results of a bucket."""
        kind = endpoint.removeprefix("usage/")
        found = []
        for names, items in grouped(spent, lambda item: tuple(DIMENSIONS[name](item) for name in groups)):
            row: dict[str, Any] = {
                "object": f"organization.usage.{kind}.result",
                **dict.fromkeys(("project_id", "user_id", "api_key_id", "model")),
                "num_model_requests": len(items),
                "input_tokens": sum(item.input for item in items),
            }
            if kind == "completions":
                row |= {
                    "batch": None,
                    "service_tier": None,
                    "input_cached_tokens": sum(item.cached for item in items),
                    "input_cache_write_tokens": sum(item.written for item in items),
                    "output_tokens": sum(item.output for item in items),
                    "input_audio_tokens": 0,
                    "output_audio_tokens": 0,
                }
            if kind in ("images", "audio_speeches", "audio_transcriptions"):
                del row["input_tokens"]
            found.append(row | dict(zip(groups, names, strict=True)))
        return found

    def costs(self, spent: list[Spent], groups: list[str]) -> list[dict[str, Any]]:
        """Results of a day."""
        return [
            {
                "object": "organization.costs.result",
                "amount": {"value": float(sum(item.cents for item in items) / 100), "currency": "usd"},
                "quantity": None,
                "quantity_unit": None,
                **dict.fromkeys(("project_id", "api_key_id", "line_item")),
                **dict(zip(groups, names, strict=True)),
                **({"line_item": f"{items[0].model}, input_tokens"} if "line_item" in groups else {}),
            }
            for names, items in grouped(spent, lambda item: tuple(DIMENSIONS[name](item) for name in groups))
        ]
