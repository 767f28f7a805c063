"""A recorded vendor request as a record of Bedrock's model invocation logging."""

from __future__ import annotations

import json
from typing import Any

from tests.vendor.adapters.line_facts import (
    BROKEN,
    Entry,
    Line,
    body,
    counts,
    ended,
    is_failed,
    micros,
    operation,
    same_uuid,
    started,
    texts_of,
    tool_calls,
    with_system,
)


def bedrock(line: Line) -> Entry:
    """A record of model invocation logging for a Converse call, as it lies in S3."""
    number, failed = counts(line), is_failed(line)
    stream = "Stream" if line["stream"] else ""
    record = {
        "timestamp": started(line).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "accountId": "123456789012",
        "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/dify/i-0"},
        "region": "us-east-1",
        "requestId": same_uuid(line, "bedrock"),
        "operation": f"Converse{stream}" if operation(line) == "chat" else "InvokeModel",
        "modelId": line["model"],
        "input": {"inputContentType": "application/json"},
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
    }
    if operation(line) == "chat":
        record["input"]["inputBodyJson"] = _converse_request(line)
    if failed:
        return {
            **record,
            "errorCode": {429: "ThrottlingException"}.get(line["http_status"], "InternalServerException"),
        }
    record["input"]["inputTokenCount"] = number["input"] - number["cached"] - number["written"]
    if operation(line) != "chat":
        return {**record, "output": {"outputContentType": "application/json"}}
    record["input"] |= {
        "cacheReadInputTokenCount": number["cached"],
        "cacheWriteInputTokenCount": number["written"],
    }
    record["output"] = {
        "outputContentType": "application/json",
        "outputBodyJson": _converse_answer(line),
        "outputTokenCount": number["output"],
    }
    return {**record, "errorCode": "ModelStreamErrorException"} if line["fault"] in BROKEN else record


def bedrock_event(line: Line) -> Entry:
    """The same as CloudWatch's FilterLogEvents answers it."""
    moment = micros(ended(line)) // 1000
    message = json.dumps(bedrock(line), ensure_ascii=False)
    return {
        "logStreamName": "aws/bedrock/modelinvocations",
        "timestamp": moment,
        "message": message,
        "eventId": "3",
    }


def _converse_request(line: Line) -> dict[str, Any]:
    conversation = with_system(line)
    system = [message for message in conversation if message["role"] == "system"]
    others = [message for message in conversation if message["role"] != "system"]
    request: dict[str, Any] = {"messages": [_converse_message(message) for message in others]}
    if system:
        request["system"] = [{"text": part} for message in system for part in texts_of(message["content"])]
    tools = body(line).get("tools")
    return {**request, "toolConfig": {"tools": [{"toolSpec": tool} for tool in tools]}} if tools else request


def _converse_message(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        given = {"toolUseId": message["tool_call_id"], "content": [{"text": message["content"]}]}
        return {"role": "user", "content": [{"toolResult": given}]}
    blocks: list[dict[str, Any]] = []
    content = message.get("content") or []
    for part in content if isinstance(content, list) else [{"text": content}]:
        if part.get("type") == "tool_use":
            call = {"toolUseId": part["id"], "name": part["name"], "input": part["input"]}
            blocks.append({"toolUse": call})
        elif part.get("type") == "tool_result":
            given = [{"text": text} for text in texts_of(part["content"])]
            blocks.append({"toolResult": {"toolUseId": part["tool_use_id"], "content": given}})
        elif "text" in part:
            blocks.append({"text": part["text"]})
        else:
            blocks.append({"image": {"format": "png"}})
    for call in message.get("tool_calls") or ():
        given = json.loads(call["function"]["arguments"])
        blocks.append(
            {"toolUse": {"toolUseId": call["id"], "name": call["function"]["name"], "input": given}}
        )
    return {"role": message["role"], "content": blocks}


def _converse_answer(line: Line) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"text": line["response_text"]}] if line["response_text"] else []
    for call in tool_calls(line):
        given = json.loads(call["function"]["arguments"])
        blocks.append(
            {"toolUse": {"toolUseId": call["id"], "name": call["function"]["name"], "input": given}}
        )
    reason = "tool_use" if line["tool_calls"] else "end_turn"
    return {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": reason}
