"""Rows of single Dify records, as Dify 1.14 writes them: a workflow run with its nodes, a chatflow or chat message.

Token numbers are what OpenAI bills for such a prompt (cookbook formula; an answer is billed one token more than its text).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import orjson

from bench._dify_nodes import BODIES, GRAPH, Body
from bench._prose import prose

NODES_PER_RUN = len(GRAPH)
CALLS_PER_RUN = sum(kind == "llm" for _, kind, _ in GRAPH)
CHATFLOW_EVERY = 4
"""Every fourth run belongs to a chatflow's message, which adds a root span above it."""

MODEL = "gpt-4o-mini"
PROVIDER = "langgenius/openai/openai"
_INPUT_PRICE, _OUTPUT_PRICE = 0.15, 0.60  # US dollars per million tokens, as Dify's plugin lists them

SYSTEM_BYTES, USER_BYTES, ANSWER_BYTES = 2500, 1000, 500
_SYSTEM_PROMPTS = 5
_USERS = 200

Row = tuple[Any, ...]
"""The values of a row in the order of `COLUMNS`."""

COLUMNS = {
    "tenants": "id name",
    "apps": "id tenant_id name mode",
    "end_users": "id session_id",
    "workflows": "id tenant_id app_id version",
    "workflow_runs": (
        "id tenant_id app_id workflow_id type triggered_from version inputs outputs status elapsed_time total_tokens"
        " total_steps exceptions_count created_by_role created_by created_at finished_at"
    ),
    "workflow_node_executions": (
        "id tenant_id app_id workflow_id workflow_run_id triggered_from index predecessor_node_id node_id node_type"
        " title inputs process_data outputs status elapsed_time execution_metadata created_by_role created_by"
        " created_at finished_at"
    ),
    "messages": (
        "id app_id conversation_id workflow_run_id model_provider model_id inputs query message message_tokens"
        " message_unit_price answer answer_tokens answer_unit_price total_price currency provider_response_latency"
        " status message_metadata invoke_from from_source from_end_user_id app_mode created_at updated_at"
    ),
}
"""Table → the columns that are written."""


class World:
    """Everything that stays the same from record to record: apps, users, prompts, and the dice."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._count = _counter()
        self._tenant = self._id()
        self._apps = {mode: self._id() for mode in ("workflow", "advanced-chat", "chat")}
        self._workflows = {mode: self._id() for mode in ("workflow", "advanced-chat")}
        self._users = [(self._id(), f"customer-{number:04d}") for number in range(_USERS)]
        texts = [prose(rng, SYSTEM_BYTES) for _ in range(_SYSTEM_PROMPTS)]
        self._prompts = [(text, self._count(text)) for text in texts]

    def standing(self) -> dict[str, list[Row]]:
        """Rows of tenants, apps, workflows and users."""
        return {
            "tenants": [(self._tenant, "Benchmark")],
            "apps": [(app, self._tenant, f"Support {mode}", mode) for mode, app in self._apps.items()],
            "workflows": [
                (workflow, self._tenant, self._apps[mode], "2026-01-01 00:00:00")
                for mode, workflow in self._workflows.items()
            ],
            "end_users": list(self._users),
        }

    def run(self, number: int, at: datetime) -> Iterator[tuple[str, Row]]:
        """The rows of one run, with the message of a chatflow now and then."""
        mode = "advanced-chat" if number % CHATFLOW_EVERY == 0 else "workflow"
        user, session = self._rng.choice(self._users)
        run_id, app, workflow = self._id(), self._apps[mode], self._workflows[mode]
        question = prose(self._rng, 200)
        usages: list[_Usage] = []
        started = moment = at
        before = None
        answer = ""
        system = {
            "sys.user_id": session, "sys.app_id": app, "sys.workflow_id": workflow, "sys.workflow_run_id": run_id,
        }  # fmt: skip
        for index, (node_id, node_type, title) in enumerate(GRAPH, start=1):
            if node_type == "llm":
                seconds = 0.6 + 1.8 * self._rng.random()
                body, usage, answer = self._llm(seconds)
                usages.append(usage)
            else:
                seconds = 0.004 + 0.05 * self._rng.random()
                body = BODIES[node_type](self._rng, question, answer, system)
            ended = moment + timedelta(seconds=seconds)
            yield (
                "workflow_node_executions",
                (
                    self._id(), self._tenant, app, workflow, run_id, "workflow-run", index, before, node_id,
                    node_type, title, *(_json(part) for part in body[:3]), "succeeded", seconds,
                    _json(body[3]) if body[3] else None, "end_user", user, moment, ended,
                ),
            )  # fmt: skip
            before, moment = node_id, ended
        total = sum(usage.input + usage.output for usage in usages)
        elapsed = (moment - started).total_seconds()
        yield (
            "workflow_runs",
            (
                run_id, self._tenant, app, workflow, "chat" if mode == "advanced-chat" else "workflow", "app-run",
                "2026-01-01 00:00:00", _json({"question": question, **system}), _json({"answer": answer}),
                "succeeded", elapsed, total, NODES_PER_RUN, 0, "end_user", user, started, moment,
            ),
        )  # fmt: skip
        if mode == "advanced-chat":
            yield "messages", self._chatflow_message(run_id, user, question, answer, usages, started, elapsed)

    def chat(self, number: int, at: datetime) -> Iterator[tuple[str, Row]]:
        """The row of one message of a chat app."""
        user, _ = self._rng.choice(self._users)
        prompt, usage, answer = self._call()
        seconds = 0.6 + 1.8 * self._rng.random()
        at = at.replace(microsecond=0)
        yield (
            "messages",
            (
                self._id(), self._apps["chat"], self._id(), None, PROVIDER, MODEL, "{}", prompt[1]["text"],
                _json(prompt), usage.input, _INPUT_PRICE, answer, usage.output, _OUTPUT_PRICE, usage.price, "USD",
                seconds, "normal", _json({"annotation_reply": None, "retriever_resources": [], "usage": None}),
                "service-api", "api", user, "chat", at, at + timedelta(seconds=seconds),
            ),
        )  # fmt: skip

    def _chatflow_message(
        self,
        run_id: str,
        user: str,
        question: str,
        answer: str,
        usages: list[_Usage],
        at: datetime,
        elapsed: float,
    ) -> Row:
        summed = _Usage(sum(usage.input for usage in usages), sum(usage.output for usage in usages))
        metadata: dict[str, Any] = {
            "annotation_reply": None,
            "retriever_resources": [],
            "usage": summed.document(elapsed),
        }
        return (
            self._id(), self._apps["advanced-chat"], self._id(), run_id, None, None, "{}", question, "[]",
            summed.input, _INPUT_PRICE, answer, summed.output, _OUTPUT_PRICE, summed.price, "USD", elapsed,
            "normal", _json(metadata), "service-api", "api", user, "advanced-chat", at.replace(microsecond=0),
            at + timedelta(seconds=elapsed),
        )  # fmt: skip

    def _llm(self, seconds: float) -> tuple[Body, _Usage, str]:
        prompt, usage, answer = self._call()
        document = usage.document(seconds)
        process_data = {
            "model_mode": "chat",
            "prompts": prompt,
            "usage": document,
            "finish_reason": "stop",
            "model_provider": PROVIDER,
            "model_name": MODEL,
        }
        outputs = {"text": answer, "reasoning_content": "", "usage": document, "finish_reason": "stop"}
        metadata = {
            "total_tokens": usage.input + usage.output,
            "total_price": f"{usage.price:.7f}",
            "currency": "USD",
        }
        return ({}, process_data, outputs, metadata), usage, answer

    def _call(self) -> tuple[list[dict[str, Any]], _Usage, str]:
        """Prompt as Dify saves it, billed tokens, answer."""
        system, system_tokens = self._rng.choice(self._prompts)
        user, answer = prose(self._rng, USER_BYTES), prose(self._rng, ANSWER_BYTES)
        usage = _Usage(3 + 4 + system_tokens + 4 + self._count(user), self._count(answer) + 1)
        prompt = [
            {"role": "system", "text": system, "files": []},
            {"role": "user", "text": user, "files": []},
        ]
        return prompt, usage, answer

    def _id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


@dataclass(frozen=True, slots=True)
class _Usage:
    """Tokens of one or several calls."""

    input: int
    output: int

    @property
    def price(self) -> float:
        """US dollars."""
        return (self.input * _INPUT_PRICE + self.output * _OUTPUT_PRICE) / 1_000_000

    def document(self, seconds: float) -> dict[str, Any]:
        """Dify's `LLMUsage` object."""
        return {
            "prompt_tokens": self.input,
            "prompt_unit_price": "0.15",
            "prompt_price_unit": "0.000001",
            "prompt_price": f"{self.input * _INPUT_PRICE / 1_000_000:.7f}",
            "completion_tokens": self.output,
            "completion_unit_price": "0.6",
            "completion_price_unit": "0.000001",
            "completion_price": f"{self.output * _OUTPUT_PRICE / 1_000_000:.7f}",
            "total_tokens": self.input + self.output,
            "total_price": f"{self.price:.7f}",
            "currency": "USD",
            "latency": round(seconds, 3),
            "time_to_first_token": 0.4,
            "time_to_generate": round(seconds - 0.4, 3),
        }


def _counter() -> Callable[[str], int]:
    """Token counts as OpenAI makes them for gpt-4o-mini."""
    from exporter.local.bpe import load

    return load("o200k_base")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
