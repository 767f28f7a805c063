"""What each release of Dify writes of the same traffic: rows in its manner, of its engine's habits and its sums.

Known from the releases' code and issues, and from the recordings of 1.12.1 and 1.14.0; nothing here is told by the exporter.
The traffic: a chat, an agent app, a chatflow with an iteration, a workflow whose model call is repeated and which asks an
agent, a workflow that calls another one as a tool and asks a retrieval, and one that fails.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dify_tables import TENANT, USER, ago, new_id
from release_shapes import Writer

Version = tuple[int, ...]

MODEL, PLUGIN = "gpt-4o-mini", "langgenius/openai/openai"
CLASSIFIED, ROUND, ROUNDS = (30, 5), (100, 20), 2
REPEATED, AGENT_TOOK = (50, 10), (70, 20)
OUTER, INNER, ROUTED = (40, 4), (20, 5), (8, 2)
FAILED = (12, 3)
CHAT, AGENT_ROUNDS = (31, 36), ((100, 10), (120, 12))
BROKEN_SUM = 5_000_000


@dataclass(frozen=True)
class Written:
    """The ids of what was written, by the names below, and when it was."""

    ids: dict[str, str]
    version: Version


def total(*pairs: tuple[int, int]) -> int:
    """Input and output of all of them."""
    return sum(sum(pair) for pair in pairs)


def write(writer: Writer, version: Version) -> Written:
    """The traffic in the manner of that version."""
    return _Manner(writer, version, ago(hours=2)).written()


def usage(tokens: tuple[int, int], version: Version) -> dict[str, Any]:
    """An `LLMUsage` object."""
    found: dict[str, Any] = {
        "prompt_tokens": tokens[0], "prompt_unit_price": "0.15", "prompt_price_unit": "0.000001",
        "completion_tokens": tokens[1], "completion_unit_price": "0.60", "completion_price_unit": "0.000001",
        "total_tokens": sum(tokens), "total_price": "0.0000081", "currency": "USD", "latency": 0.5,
    }  # fmt: skip
    return found | ({"time_to_first_token": 0.1} if version >= (1, 10, 0) else {})


class _Manner:
    def __init__(self, writer: Writer, version: Version, at: datetime) -> None:
        self.writer, self.version, self.at = writer, version, at
        self.provider = PLUGIN if version >= (1, 0, 0) else "openai"
        self.is_engine_1 = version < (1, 9, 0)
        self.adds_up = not (1, 9, 0) <= version < (1, 9, 2)
        self.is_graphon_7 = version >= (1, 18)
        self.ids: dict[str, str] = {}
        self.app_and_workflow: dict[str, tuple[str, str]] = {}

    def written(self) -> Written:
        self.writer.put("tenants", id=TENANT, name="Acme")
        self.writer.put("end_users", id=USER, tenant_id=TENANT, session_id="alice")
        self.chat()
        self.agent_app()
        self.chatflow()
        self.repeated()
        self.tool()
        self.failed()
        if self.version >= (1, 13, 0):
            self.paused()
        return Written(self.ids, self.version)

    def app(self, name: str, mode: str) -> str:
        more = {"tracing_revision": 0} if self.writer.has("apps", "tracing_revision") else {}
        return self.writer.put("apps", tenant_id=TENANT, name=name, mode=mode, **more)

    def message(self, app: str, tokens: tuple[int, int], **values: Any) -> str:
        more = {"app_mode": values.pop("mode")} if self.version >= (1, 9, 2) else {}
        values.pop("mode", None)
        return self.writer.put(
            "messages", app_id=app, query="Hi", answer="Hello", message_tokens=tokens[0], answer_tokens=tokens[1],
            message_unit_price="0.15", answer_unit_price="0.60", from_end_user_id=USER, status=values.pop("status", "normal"),
            provider_response_latency=0.8, created_at=values.pop("created_at", self.at), **more, **values,
        )  # fmt: skip

    def chat(self) -> None:
        self.ids["chat"] = self.message(
            self.app("Support", "chat"), CHAT, mode="chat", model_provider=self.provider, model_id=MODEL,
            message=json.dumps([{"role": "user", "text": "Hi"}]),
            message_metadata=json.dumps({"usage": usage(CHAT, self.version)}),
        )  # fmt: skip

    def agent_app(self) -> None:
        whole = (sum(r[0] for r in AGENT_ROUNDS), sum(r[1] for r in AGENT_ROUNDS))
        self.ids["agent"] = self.message(
            self.app("Clock", "agent-chat"), whole, mode="agent-chat", model_provider=self.provider, model_id=MODEL,
            message=json.dumps([{"role": "user", "text": "Hi"}]),
            message_metadata=json.dumps({"usage": usage(whole, self.version)}),
        )  # fmt: skip
        for number, (given, answered) in enumerate(AGENT_ROUNDS, 1):
            self.writer.put(
                "message_agent_thoughts", message_id=self.ids["agent"], position=number, thought="hm",
                message_token=given, answer_token=answered, tokens=given + answered,
                created_at=self.at + timedelta(seconds=number),
            )  # fmt: skip

    def run(self, name: str, app: str, kind: str, total_tokens: int, **values: Any) -> str:
        if self.writer.has("workflow_runs", "sequence_number"):
            values["sequence_number"] = len(self.ids) + 1
        moment, workflow = values.pop("created_at", self.at), new_id()
        self.ids[name] = self.writer.put(
            "workflow_runs", app_id=app, tenant_id=TENANT, type=kind, workflow_id=workflow,
            triggered_from=values.pop("triggered_from", "app-run"), created_by=USER, created_by_role="end_user",
            status=values.pop("status", "succeeded"), total_tokens=total_tokens if self.adds_up else 0,
            created_at=moment, finished_at=moment + timedelta(seconds=20), inputs=values.pop("inputs", "{}"),
            graph=json.dumps(
                {"nodes": [
                    {"id": node, "data": {"model": {"provider": self.provider, "name": MODEL, "mode": "chat"}}}
                    for node in ("classify", "write", "inside")
                ]}
            ),
            **values,
        )  # fmt: skip
        self.app_and_workflow[self.ids[name]] = app, workflow
        return self.ids[name]

    def node(self, run: str, node_id: str, kind: str, second: float, **values: Any) -> str:
        app, workflow = self.app_and_workflow[run]
        row = new_id()
        moment = self.at + timedelta(seconds=second)
        for column in ("inputs", "process_data", "outputs", "execution_metadata"):
            if column in values:
                values[column] = json.dumps(values[column])
        return self.writer.put(
            "workflow_node_executions", id=row, app_id=app, tenant_id=TENANT, workflow_id=workflow,
            triggered_from="workflow-run", workflow_run_id=run, index=int(second) + 1, node_id=node_id, node_type=kind,
            node_execution_id=new_id() if self.is_engine_1 else row, title=node_id,
            status=values.pop("status", "succeeded"), elapsed_time=0.5, created_by=USER, created_by_role="end_user",
            created_at=moment, finished_at=moment + timedelta(seconds=values.pop("took", 0.5)), **values,
        )  # fmt: skip

    def model_node(
        self, run: str, node_id: str, kind: str, second: float, tokens: tuple[int, int], **values: Any
    ) -> str:
        data = {"model_mode": "chat", "prompts": [{"role": "user", "text": "Hi"}], "usage": usage(tokens, self.version),
                "finish_reason": "stop"}  # fmt: skip
        if kind == "llm" or self.version >= (1, 3, 0):
            data |= {"model_provider": self.provider, "model_name": MODEL}
        outputs: dict[str, Any] = {"class_name": "x"} if kind == "question-classifier" else {"text": "Hello"}
        if self.version >= (1, 6, 0):
            outputs["usage"] = usage(tokens, self.version)
        metadata = {"total_tokens": sum(tokens), "total_price": "0.0000081", "currency": "USD"}
        return self.node(
            run, node_id, kind, second, process_data=data, outputs=outputs,
            execution_metadata=metadata | values.pop("within", {}), **values,
        )  # fmt: skip

    def chatflow(self) -> None:
        """Leaves: the classifier and the rounds of an iteration, which repeats its rounds."""
        inside = (ROUND[0] * ROUNDS, ROUND[1] * ROUNDS)
        leaves, container = total(CLASSIFIED, inside), total(inside)
        run_total, shown = leaves, (CLASSIFIED[0] + 2 * inside[0], CLASSIFIED[1] + 2 * inside[1])
        if self.version < (1, 2, 0):
            run_total = BROKEN_SUM  # the rounds run side by side
        if self.version < (1, 9, 0):
            shown = CLASSIFIED
        elif not self.adds_up:
            shown = (0, 0)
        elif self.version < (1, 10, 1):
            run_total = leaves + container
        elif self.is_graphon_7:
            shown = (CLASSIFIED[0] + inside[0], CLASSIFIED[1] + inside[1])
        app = self.app("Helpdesk", "advanced-chat")
        run = self.run("flow run", app, "chat", run_total)
        metadata = None
        if self.version >= (1, 4, 3):
            metadata = json.dumps(
                {"usage": usage(shown, self.version) if self.version >= (1, 10, 0) else None}
            )
        self.ids["flow"] = self.message(
            app, shown, mode="advanced-chat", workflow_run_id=run, message='""', message_metadata=metadata
        )
        self.ids["classifier"] = self.model_node(run, "classify", "question-classifier", 1, CLASSIFIED)
        repeated = sum(inside) if self.adds_up else 0
        self.node(
            run, "each", "iteration", 2, took=6.0, outputs={"output": ["a", "b"]},
            execution_metadata={"total_tokens": repeated, "total_price": "0", "currency": "USD"},
        )  # fmt: skip
        for number in range(ROUNDS):
            within: dict[str, Any] = {"iteration_id": "each", "iteration_index": number}
            if self.is_engine_1:
                within["parallel_mode_run_id"] = new_id()
            self.ids[f"round {number}"] = self.model_node(
                run, "inside", "llm", 3 + number, ROUND, within=within
            )

    def repeated(self) -> None:
        """One model call that succeeded at its second try, then an agent (from 1.0.0)."""
        has_agent = self.version >= (1, 0, 0)
        whole = total(REPEATED) + (total(AGENT_TOOK) if self.version >= (1, 6, 0) else 0)
        run = self.run("report", self.app("Report", "workflow"), "workflow", whole)
        error = "[openai] Error: 503"
        if self.is_engine_1:
            self.ids["try"] = self.node(
                run, "write", "llm", 1, status="retry", error=error, inputs={}, execution_metadata={}
            )
        kept = {"error": error} if self.version >= (1, 14, 0) else {}
        self.ids["repeated"] = self.model_node(run, "write", "llm", 2, REPEATED, **kept)
        if has_agent:
            self.agent_node(run)
        if self.writer.has("workflow_node_execution_offload"):
            file = self.writer.put(
                "upload_files", tenant_id=TENANT, key=f"upload_files/{TENANT}/{new_id()}.json", size=300_000
            )
            self.writer.put(
                "workflow_node_execution_offload", tenant_id=TENANT, app_id=self.app_and_workflow[run][0],
                node_execution_id=self.ids["repeated"], type="process_data", file_id=file,
            )  # fmt: skip

    def agent_node(self, run: str) -> None:
        sums = {"total_tokens": sum(AGENT_TOOK), "total_price": "0.00002", "currency": "USD"}
        log = [
            {"id": "r1", "label": "ROUND 1", "parent_id": None, "status": "success", "metadata": {"total_tokens": 60}},
            {"id": "t1", "label": f"{MODEL} Thought", "parent_id": "r1", "status": "success", "metadata": {"total_tokens": 60}},
            {"id": "c1", "label": "CALL clock", "parent_id": "r1", "status": "success", "metadata": {}},
            {"id": "r2", "label": "ROUND 2", "parent_id": None, "status": "success", "metadata": {"total_tokens": 30}},
            {"id": "t2", "label": f"{MODEL} Thought", "parent_id": "r2", "status": "success", "metadata": {"total_tokens": 30}},
        ]  # fmt: skip
        outputs: dict[str, Any] = {"text": "noon", "files": [], "json": []}
        if self.version >= (1, 8, 0):
            outputs["usage"] = usage(AGENT_TOOK, self.version)
        self.ids["agent node"] = self.node(
            run, "ask", "agent", 4, took=2.0, outputs=outputs, process_data={},
            inputs={"model": {"provider": self.provider, "model": MODEL}, "query": "time?"},
            execution_metadata={"agent_log": log} | (sums if self.version >= (1, 6, 0) else {}),
        )  # fmt: skip

    def tool(self) -> None:
        """A workflow that calls another one as a tool, and whose retrieval asks a model which dataset to take. The engine
        of September 2026 runs the other one inside of the first: its nodes are rows of the first's run."""
        inner_app = self.app("Inner", "workflow")
        provider = self.writer.put(
            "tool_workflow_providers", app_id=inner_app, tenant_id=TENANT, name="inner"
        )
        tells = self.version >= (1, 9, 2)
        whole = total(OUTER, INNER, ROUTED) if tells else total(OUTER)
        outer = self.run("outer", self.app("Outer", "workflow"), "workflow", whole)
        asked = {"q": "Guten Tag"}
        info: dict[str, Any] = {"tool_info": {"provider_type": "workflow", "provider_id": provider}}
        if tells:
            info |= {"total_tokens": total(INNER), "total_price": "0", "currency": "USD"}
        self.ids["tool"] = self.node(
            outer, "inner", "tool", 1, took=3.0, inputs=asked, outputs={"text": "x"}, execution_metadata=info
        )
        self.ids["outer model"] = self.model_node(outer, "write", "llm", 5, OUTER)
        self.ids["retrieval"] = self.node(
            outer, "look", "knowledge-retrieval", 7, outputs={"result": []},
            process_data={"usage": usage(ROUTED, self.version)} if tells else {},
            execution_metadata={"total_tokens": total(ROUTED), "total_price": "0", "currency": "USD"} if tells else {},
        )  # fmt: skip
        if self.is_graphon_7:
            self.ids["inner model"] = self.model_node(
                outer, "inner write", "llm", 2, INNER, triggered_from_workflow_id=new_id(),
                triggered_from_node_execution_id=self.ids["tool"],
            )  # fmt: skip
            return
        moment = self.at + timedelta(seconds=1.5)
        child = self.run(
            "inner", inner_app, "workflow", total(INNER), created_at=moment, inputs=json.dumps(asked)
        )
        self.ids["inner model"] = self.model_node(child, "write", "llm", 2, INNER)

    def failed(self) -> None:
        keeps = self.version >= (1, 11, 0)
        triggered = "webhook" if self.version >= (1, 10, 0) else "app-run"
        run = self.run(
            "failed", self.app("Fails", "workflow"), "workflow", total(FAILED) if keeps else 0,
            status="failed", error="503", triggered_from=triggered,
        )  # fmt: skip
        data = {"usage": usage(FAILED, self.version), "model_provider": self.provider, "model_name": MODEL}
        self.ids["failed model"] = self.node(
            run, "write", "llm", 1, status="failed", error="503", process_data=data if keeps else {}
        )

    def paused(self) -> None:
        """A chatflow that waited two hours for a person; 1.13.0 then writes a new start into the run."""
        app = self.app("Asks", "advanced-chat")
        moved = timedelta(hours=1) if self.version < (1, 13, 1) else timedelta()
        whole = (OUTER[0] + INNER[0], OUTER[1] + INNER[1])
        run = self.run("waited run", app, "chat", total(whole), created_at=self.at + moved)
        self.ids["waited"] = self.message(
            app, whole, mode="advanced-chat", workflow_run_id=run, message='""',
            message_metadata=json.dumps({"usage": usage(whole, self.version)}),
        )  # fmt: skip
        self.ids["before"] = self.model_node(run, "write", "llm", 1, OUTER)
        self.node(run, "person", "human-input", 3600, outputs={"__action_id": "ok"})
        self.ids["after"] = self.model_node(run, "write", "llm", 3602, INNER)
