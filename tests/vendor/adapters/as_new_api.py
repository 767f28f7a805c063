"""A recorded vendor request as a row of the log of new-api or one-api."""

from __future__ import annotations

import json
from typing import Any

from tests.vendor.adapters.line_facts import (
    BROKEN,
    Entry,
    Line,
    counts,
    ended,
    is_anthropic,
    is_failed,
    milliseconds,
    same_uuid,
    started,
)


def new_api(line: Line) -> Entry:
    """A row of `/api/log/`, with error logging on. Times are whole seconds, written at the end."""
    number, failed = counts(line), is_failed(line)
    end, start = int(ended(line).timestamp()), int(started(line).timestamp())
    other: dict[str, Any] = {"request_path": line["path"], "admin_info": {"use_channel": ["3"]}}
    if failed:
        other |= {"status_code": line["http_status"], "error_type": "upstream_error"}
    else:
        other |= {
            "cache_tokens": number["cached"],
            "model_ratio": 1.25,
            "group_ratio": 1,
            "completion_ratio": 4,
        }
        other |= {"cache_ratio": 0.5, "model_price": -1, "user_group_ratio": -1, "frt": 310.0}
    if is_anthropic(line) and not failed:
        other |= {"claude": True, "usage_semantic": "anthropic", "cache_creation_tokens": number["written"]}
        if number["written"]:
            other["cache_write_tokens"] = number["written"]
    if line["fault"] in BROKEN:
        other["stream_status"] = {"status": "error", "end_reason": "upstream_closed"}
    return {
        "id": line["seq"],
        "user_id": 1,
        "created_at": end,
        "type": 5 if failed else 2,
        "content": "upstream error" if failed else "",
        "username": "root",
        "token_name": "dify",
        "model_name": line["model"],
        "quota": 0 if failed else number["total"] * 2,
        "prompt_tokens": number["own"],
        "completion_tokens": number["output"],
        "use_time": end - start,
        "is_stream": line["stream"],
        "channel": 3,
        "channel_name": "vendor",
        "token_id": 2,
        "group": "default",
        "ip": "",
        "other": json.dumps(other),
    }


def one_api(line: Line) -> Entry:
    """A row of one-api: milliseconds, no `other`; all tokens counted in."""
    number, row = counts(line), new_api(line)
    shared = (
        "id",
        "user_id",
        "created_at",
        "type",
        "content",
        "username",
        "token_name",
        "model_name",
        "quota",
    )
    lasted = milliseconds(line)
    return {
        **{name: row[name] for name in (*shared, "completion_tokens", "is_stream", "channel")},
        "prompt_tokens": number["input"],
        "elapsed_time": lasted,
        "request_id": same_uuid(line, "one-api"),
    }
