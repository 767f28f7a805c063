"""A recorded vendor request as Kong would have logged it."""

from __future__ import annotations

import json
from typing import Any

from tests.vendor.adapters.as_streamed import vendor_stream
from tests.vendor.adapters.line_facts import (
    Entry,
    Line,
    counts,
    ended,
    is_anthropic,
    is_failed,
    micros,
    operation,
    same_uuid,
    started,
    vendor_body,
)


def kong(line: Line) -> Entry:
    """An http-log entry with the `ai.proxy` block, statistics and payloads."""
    milliseconds = micros(started(line)) // 1000
    lasted = -(-micros(ended(line)) // 1000) - milliseconds
    number = counts(line)
    proxy: dict[str, Any] = {
        "meta": {
            "plugin_id": same_uuid({"id": "kong"}, "plugin"),
            "provider_name": "anthropic" if is_anthropic(line) else "openai",
            "request_model": line["model"],
            "response_model": line.get("response_model") or line["model"],
            "llm_latency": lasted,
        },
        "usage": {},
        "payload": {"request": json.dumps(line["request"], ensure_ascii=False)},
    }
    if not is_failed(line):
        proxy["usage"] = {
            "prompt_tokens": number["own"],
            "completion_tokens": number["output"],
            "total_tokens": number["own"] + number["output"],
            "time_per_token": 2.5,
            "cost": 0,
        }
        stream = line["stream"] and operation(line) == "chat"
        whole = vendor_stream(line) if stream else json.dumps(vendor_body(line), ensure_ascii=False)
        proxy["payload"]["response"] = whole
    return {
        "started_at": milliseconds,
        "latencies": {"request": lasted, "kong": 1, "proxy": lasted - 1, "receive": 0},
        "tries": [{"ip": "10.0.0.9", "port": 443, "balancer_start": milliseconds, "balancer_latency": 0}],
        "client_ip": "10.0.0.7",
        "consumer": {"username": "dify", "id": same_uuid({"id": "dify"}, "consumer")},
        "request": {
            "id": same_uuid(line, "kong").replace("-", ""),
            "method": "POST",
            "uri": line["path"],
            "url": "http://gateway.example:8000" + line["path"],
            "headers": {"content-type": "application/json", "authorization": "REDACTED"},
        },
        "response": {"status": line["http_status"], "size": 2000, "headers": {}},
        "upstream_status": str(line["http_status"]),
        "ai": {"proxy": proxy},
    }


def kong_old(line: Line) -> Entry:
    """An entry of Kong 3.6: the plugin's name, the old spelling, the request beside the plugin, no response."""
    entry = kong(line)
    proxy = entry["ai"]["proxy"]
    spellings = {"prompt_tokens": "prompt_token", "completion_tokens": "completion_token"}
    plugin = {
        "meta": {name: value for name, value in proxy["meta"].items() if name != "llm_latency"},
        "usage": {spellings.get(name, name): value for name, value in proxy["usage"].items()},
    }
    return {**entry, "ai": {"payload": {"request": proxy["payload"]["request"]}, "ai-proxy": plugin}}
