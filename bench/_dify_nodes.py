"""The nodes of the generated workflow that call no model: what Dify 1.14 would have stored of each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from bench._prose import prose

GRAPH = (
    ("start", "start", "Start"),
    ("search", "knowledge-retrieval", "Search the handbook"),
    ("classify", "llm", "Classify the request"),
    ("branch", "if-else", "Known topic?"),
    ("extract", "code", "Extract facts"),
    ("draft", "llm", "Draft an answer"),
    ("layout", "template-transform", "Lay out"),
    ("review", "llm", "Review the draft"),
    ("lookup", "tool", "Look up the order"),
    ("notify", "http-request", "Notify the desk"),
    ("polish", "llm", "Polish"),
    ("end", "end", "End"),
)
"""(node id, type, title) in order of execution: twelve nodes, four of them model calls."""

Body = tuple[Any, Any, Any, Any]
"""inputs, process_data, outputs, execution_metadata."""


def _start(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    values = {"question": question, **system}
    return values, {}, values, None


def _retrieval(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    found = [
        {
            "metadata": {
                "_source": "knowledge",
                "dataset_id": "7d0c2bb0-6f3b-4c30-8f47-3e2f9f6b5a10",
                "dataset_name": "Handbook",
                "document_name": f"chapter-{position}.txt",
                "score": round(rng.random(), 6),
                "position": position,
            },
            "title": f"chapter-{position}.txt",
            "files": None,
            "content": prose(rng, 300),
            "summary": None,
        }
        for position in (1, 2, 3)
    ]
    metadata = {"total_tokens": 0, "total_price": "0.0", "currency": "USD"}
    return {"query": question}, {}, {"result": found}, metadata


def _branch(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    condition = {"actual_value": "billing", "expected_value": "billing", "comparison_operator": "is"}
    data = {"condition_results": [{"group": {"conditions": []}, "results": [True], "final_result": True}]}
    return {"conditions": [condition]}, data, {"result": True, "selected_case_id": "true"}, None


def _code(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    facts = {"order": int(rng.random() * 10**9), "amount": round(rng.random() * 900, 2), "topic": "billing"}
    return {"text": question}, {}, {"facts": facts, "count": 3}, None


def _template(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    return {"draft": answer}, {}, {"output": f"## Answer\n\n{answer}\n\n---\n{question}"}, None


def _tool(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    order = {"order": int(rng.random() * 10**9), "status": "shipped", "carrier": prose(rng, 40)}
    metadata = {
        "tool_info": {"provider_type": "builtin", "provider_id": "orders", "plugin_unique_identifier": None}
    }
    return {"order": order["order"]}, {}, {"text": "", "files": [], "json": [order]}, metadata


def _request(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    data = {"request": "POST /desk HTTP/1.1\r\nHost: desk.example\r\nContent-Type: application/json\r\n"}
    return {}, data, {"status_code": 200, "body": '{"accepted": true}', "headers": {}, "files": []}, None


def _end(rng: Random, question: str, answer: str, system: dict[str, str]) -> Body:
    return {"answer": answer}, {}, {"answer": answer}, None


BODIES: dict[str, Callable[[Random, str, str, dict[str, str]], Body]] = {
    "start": _start,
    "knowledge-retrieval": _retrieval,
    "if-else": _branch,
    "code": _code,
    "template-transform": _template,
    "tool": _tool,
    "http-request": _request,
    "end": _end,
}
"""What a node of each type stores, from the dice, the question, the latest answer and the system variables."""
