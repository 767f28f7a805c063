"""A recorded vendor request as a line of the access log of Higress or Envoy AI Gateway."""

from __future__ import annotations

import json
from typing import Any

from tests.vendor.adapters.line_facts import (
    BROKEN,
    Entry,
    Line,
    counts,
    is_failed,
    milliseconds,
    operation,
    rfc,
    same_uuid,
    started,
    with_system,
)


def higress(line: Line) -> Entry:
    """A line of the access log with `ai_log` as it is without own attributes; a failed request has no model in it."""
    number = counts(line)
    told: dict[str, Any] = {"chat_round": "1", "response_type": "stream" if line["stream"] else "normal"}
    if not is_failed(line):
        told |= {
            "chat_id": line["id"],
            "model": line["model"],
            "input_token": str(number["input"]),
            "output_token": str(number["output"]),
            "total_token": str(number["total"]),
            "llm_service_duration": str(milliseconds(line)),
        }
    return {
        "ai_log": json.dumps(told),
        "authority": "gateway.example",
        "bytes_received": "336",
        "bytes_sent": "1675",
        "duration": str(milliseconds(line)),
        "method": "POST",
        "path": line["path"],
        "protocol": "HTTP/1.1",
        "request_id": same_uuid(line, "higress"),
        "response_code": str(line["http_status"]),
        "response_flags": "UPE" if line["fault"] in BROKEN else "-",
        "route_name": "ai-route",
        "start_time": rfc(started(line)),
        "trace_id": "-",
        "upstream_cluster": "outbound|443||llm.dns",
    }


def higress_with_texts(line: Line) -> Entry:
    """The same with the attributes `answer`, `messages` and `consumer`."""
    entry = higress(line)
    told = json.loads(entry["ai_log"])
    if operation(line) == "chat":
        told |= {"messages": json.dumps(with_system(line)), "answer": line["response_text"] or ""}
    return {**entry, "ai_log": json.dumps({**told, "consumer": "dify"})}


def envoy(line: Line) -> Entry:
    """A line of the default JSON access log with the token costs named as the GenAI conventions name them."""
    number, failed = counts(line), is_failed(line)

    def told(name: str) -> int | str:
        return "-" if failed else number[name]

    return {
        "start_time": rfc(started(line)),
        "method": "POST",
        "x-envoy-origin-path": line["path"],
        "response_code": line["http_status"],
        "response_flags": "UC" if line["fault"] in BROKEN else "-",
        "duration": milliseconds(line),
        "bytes_received": 336,
        "bytes_sent": 1675,
        "x-request-id": same_uuid(line, "envoy"),
        "upstream_cluster": "httproute/default/ai/rule/0",
        "gen_ai.request.model": line["model"],
        "gen_ai.response.model": line.get("response_model") or line["model"],
        "gen_ai.provider.name": "default/vendor/route/ai/rule/0/ref/0",
        "gen_ai.usage.input_tokens": told("input"),
        "gen_ai.usage.output_tokens": told("output"),
        "gen_ai.usage.total_tokens": told("total"),
        "gen_ai.usage.cache_read.input_tokens": told("cached"),
        "gen_ai.usage.cache_creation.input_tokens": told("written"),
    }


def envoy_nested(line: Line) -> Entry:
    """The dynamic metadata as an object, under the names of the costs."""
    entry, number = envoy(line), counts(line)
    plain = {name: value for name, value in entry.items() if not name.startswith("gen_ai.")}
    costs = {
        "llm_input_token": number["input"],
        "llm_output_token": number["output"],
        "llm_total_token": number["total"],
        "llm_cached_input_token": number["cached"],
        "llm_cache_creation_input_token": number["written"],
        "response_model": entry["gen_ai.response.model"],
        "backend_name": "default/vendor",
    }
    known = {} if is_failed(line) else costs
    return {**plain, "x-ai-eg-model": line["model"], "dynamic_metadata": {"io.envoy.ai_gateway": known}}
