"""A recorded vendor request as Apache APISIX would have logged it."""

from __future__ import annotations

from tests.vendor.adapters.line_facts import (
    BROKEN,
    Entry,
    Line,
    body,
    counts,
    ended,
    micros,
    operation,
    same_uuid,
    started,
    user,
    with_system,
)


def apisix(line: Line) -> Entry:
    """The default entry of http-logger on a route with ai-proxy, `logging.summaries` and `logging.payloads`."""
    number = counts(line)
    milliseconds = micros(started(line)) / 1000
    lasted = (micros(ended(line)) - micros(started(line))) / 1000
    entry = {
        "start_time": milliseconds,
        "latency": lasted,
        "upstream_latency": lasted,
        "apisix_latency": 0,
        "client_ip": "10.0.0.7",
        "route_id": "1",
        "service_id": "",
        "consumer": {"username": "dify"},
        "server": {"hostname": "apisix", "version": "3.16.0"},
        "upstream": "10.0.0.9:443",
        "request": {
            "method": "POST",
            "uri": line["path"],
            "url": "http://gateway.example:9080" + line["path"],
            "headers": {"content-type": "application/json"},
            "querystring": {},
            "size": 1000,
        },
        "response": {
            "status": line["http_status"],
            "headers": {"x-request-id": same_uuid(line, "apisix")},
            "size": 2000,
        },
        "llm_summary": {
            "request_model": line["model"],
            "model": line.get("response_model") or line["model"],
            "duration": "12",
            "prompt_tokens": str(number["own"]),
            "completion_tokens": str(number["output"]),
            "total_tokens": str(number["own"] + number["output"]),
            "upstream_response_time": int(lasted),
            "stream": str(line["stream"]).lower(),
            "tool_count": str(len(body(line).get("tools") or ())),
            "has_tool_calls": str(bool(line["tool_calls"])).lower(),
            "end_user_id": user(line) or "",
            "cache_read_input_tokens": str(number["cached"]),
            "cache_creation_input_tokens": str(number["written"]),
            "reasoning_tokens": str(number["reasoning"]),
            "content_risk_level": "",
        },
    }
    if operation(line) == "chat":
        entry["llm_request"] = {"messages": with_system(line), "stream": line["stream"]}
        entry["llm_response_text"] = {"content": line["response_text"] or ""}
    if line["fault"] in BROKEN:
        entry["response"] |= {"status": 502}
    return entry


def apisix_log_format(line: Line) -> Entry:
    """An own log format whose fields bear the names of their variables; nginx tells the time of the end, in seconds."""
    number, entry = counts(line), apisix(line)
    lasted = (ended(line) - started(line)).total_seconds()
    variables = {
        "msec": f"{ended(line).timestamp():.3f}",
        "request_time": f"{lasted:.3f}",
        "status": str(entry["response"]["status"]),
        "uri": line["path"],
        "apisix_request_id": same_uuid(line, "apisix"),
        "request_type": "ai_stream" if line["stream"] else "ai_chat",
        "request_llm_model": line["model"],
        "llm_model": entry["llm_summary"]["model"],
        "llm_time_to_first_token": "12",
        "llm_prompt_tokens": str(number["own"]),
        "llm_completion_tokens": str(number["output"]),
        "llm_end_user_id": user(line) or "",
    }
    parts = ("cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens")
    return {**variables, **{f"llm_{name}": entry["llm_summary"][name] for name in parts}, "route_id": "1"}
