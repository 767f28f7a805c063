"""The rows a source hands to `assemble`, whichever source found them.

Text columns that hold JSON stay text here; `assemble` parses them and is the only reader. A column that this
Dify does not have is None. Times are `Micros`. Ids are lower-case dashed UUID text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from exporter.model import App, Micros, RecordRef


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A row of `messages`."""

    id: str
    app_id: str
    created_at: Micros
    conversation_id: str | None = None
    workflow_run_id: str | None = None
    model_provider: str | None = None
    model_id: str | None = None
    override_model_configs: str | None = None
    inputs: str | None = None
    query: str | None = None
    message: str | None = None
    message_tokens: int | None = None
    answer: str | None = None
    answer_tokens: int | None = None
    message_unit_price: Decimal | None = None
    message_price_unit: Decimal | None = None
    answer_unit_price: Decimal | None = None
    answer_price_unit: Decimal | None = None
    total_price: Decimal | None = None
    currency: str | None = None
    provider_response_latency: float | None = None
    status: str | None = None
    error: str | None = None
    message_metadata: str | None = None
    invoke_from: str | None = None
    from_source: str | None = None
    from_end_user_id: str | None = None
    from_account_id: str | None = None
    updated_at: Micros | None = None
    media: int = 0  # rows of message_files that belong to the user's side
    conversation_name: str | None = None  # conversations.name, as it is now


@dataclass(frozen=True, slots=True)
class ThoughtRow:
    """A row of `message_agent_thoughts`: one model round of an agent app, with its tool results."""

    id: str
    message_id: str
    position: int
    created_at: Micros
    thought: str | None = None
    tool: str | None = None
    tool_input: str | None = None
    tool_meta: str | None = None
    observation: str | None = None
    answer: str | None = None
    message_token: int | None = None
    answer_token: int | None = None
    message_unit_price: Decimal | None = None
    message_price_unit: Decimal | None = None
    answer_unit_price: Decimal | None = None
    answer_price_unit: Decimal | None = None
    total_price: Decimal | None = None
    currency: str | None = None
    tokens: int | None = None  # the round's total; all that is known of it through the Console API


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of `workflow_runs`."""

    id: str
    tenant_id: str
    app_id: str
    created_at: Micros
    workflow_id: str | None = None
    type: str | None = None
    triggered_from: str | None = None
    version: str | None = None
    inputs: str | None = None
    outputs: str | None = None
    status: str | None = None
    error: str | None = None
    elapsed_time: float | None = None
    total_tokens: int | None = None
    total_steps: int | None = None
    exceptions_count: int | None = None
    created_by_role: str | None = None
    created_by: str | None = None
    finished_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A row of `workflow_node_executions`. `offloaded` names the columns (inputs, process_data, outputs) whose
    full value lies in object storage and is cut here."""

    id: str
    app_id: str
    created_at: Micros
    tenant_id: str | None = None
    workflow_id: str | None = None
    workflow_run_id: str | None = None
    triggered_from: str | None = None
    index: int | None = None
    predecessor_node_id: str | None = None
    node_id: str | None = None
    node_type: str | None = None
    title: str | None = None
    inputs: str | None = None
    process_data: str | None = None
    outputs: str | None = None
    status: str | None = None
    error: str | None = None
    elapsed_time: float | None = None
    execution_metadata: str | None = None
    created_by_role: str | None = None
    created_by: str | None = None
    finished_at: Micros | None = None
    offloaded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run that may be the child of a workflow-as-tool row: enough of it to tell whether the link is unique."""

    id: str
    app_id: str
    created_at: Micros
    created_by: str | None
    inputs: str | None
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class TraceRows:
    """Everything of one trace. Which of message, run and nodes are there depends on `ref.kind` and the app's mode.

    `tool_apps` maps a workflow tool's provider id to the app it runs; `child_runs` are the runs of those apps that
    began while this trace ran. `user` is the end user's session id, else the account id. `graph` is the run's graph, only
    where a model node kept nothing that names its model. `notes` say what this source cannot tell of the trace.
    """

    ref: RecordRef
    app: App
    message: MessageRow | None = None
    run: RunRow | None = None
    nodes: tuple[NodeRow, ...] = ()
    thoughts: tuple[ThoughtRow, ...] = ()
    user: str | None = None
    tool_apps: tuple[tuple[str, str], ...] = ()
    child_runs: tuple[ChildRun, ...] = ()
    graph: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One page of discovery: new-or-known refs in order, and where to go on (opaque text for the state).

    `caught_up` is True when nothing newer was there at that moment, or none is read before what was found is fetched.
    """

    refs: tuple[RecordRef, ...]
    cursor: str
    caught_up: bool


@dataclass(frozen=True, slots=True)
class Filtered:
    """A record left out by the operator's filters, with the reason."""

    ref: RecordRef
    reason: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to one `fetch`: rows per trace, what the filters left out, what is gone, and what could not be read."""

    traces: tuple[TraceRows, ...] = ()
    filtered: tuple[Filtered, ...] = ()
    vanished: tuple[RecordRef, ...] = ()
    failed: tuple[tuple[RecordRef, str], ...] = ()


class Source(Protocol):
    """What the pipeline needs of a source. All methods raise `Unreachable` or `SourceRefused`, nothing else.

    `discover(stream, cursor)` never skips: a row that commits late is found by a later call.
    `fetch(refs)` reads the present state of those records; it may answer for fewer refs than asked (the rest must be
    asked again), so that one answer stays below the page's byte limit.
    """

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the independent record streams, each with its own cursor."""

    def discover(self, stream: str, cursor: str | None) -> Found:
        """The next page of refs after the cursor (None = the configured start)."""

    def discover_range(self, stream: str, since: Micros, until: Micros, after: str | None) -> Found:
        """One page of refs created in [since, until), for back-fill; `after` is the last page's cursor."""

    def count_range(self, stream: str, since: Micros, until: Micros) -> int:
        """How many records that range holds."""

    def fetch(self, refs: tuple[RecordRef, ...]) -> Fetched:
        """The rows of these records as they are now."""

    def describe(self) -> Iterator[tuple[str, str]]:
        """What was found at start, as (name, words): version range, missing columns, other facts for `status`."""

    def close(self) -> None:
        """Give back the connections."""
