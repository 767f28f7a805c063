"""The plain frozen types that carry everything from source to span.

Words are those of the design: trace, step, call, attempt, reading, finding, verdict. Unknown is None, never 0.
Times are integer microseconds since the epoch, UTC (Dify's own resolution), so that nothing drifts on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

Micros = int
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND: Micros = 1_000_000


# ── what Dify stores ────────────────────────────────────────────────────────────────────────────────────────


class RecordKind(StrEnum):
    """The Dify table a trace comes from."""

    MESSAGE = "message"
    RUN = "run"
    NODE = "node"  # a single-step debug run of one node: a paid call that belongs to no run


@dataclass(frozen=True, slots=True)
class RecordRef:
    """Where a trace is found again in Dify: its table, primary key and (never changing) creation time."""

    kind: RecordKind
    id: str
    created_at: Micros


@dataclass(frozen=True, slots=True)
class App:
    """A Dify app and its workspace."""

    id: str
    name: str
    mode: str
    tenant_id: str
    tenant_name: str | None = None


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Tokens:
    """One count. `input` includes cached tokens and `output` includes reasoning; the parts are subsets of them."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int | None:
        """Input + output, or None when either is unknown."""
        if self.input is None or self.output is None:
            return None
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency (ISO-like code as the source wrote it, e.g. USD, RMB). `origin` says who made it: None for
    the source of the reading itself, else the price book's entry."""

    amount: Decimal
    currency: str
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """What Dify's record says that a million input and a million output tokens cost; 0 and 0 where Dify has no price for the
    model."""

    input: Decimal
    output: Decimal
    currency: str

    @property
    def is_missing(self) -> bool:
        """Whether Dify has no price."""
        return not self.input and not self.output


class DifyKind(StrEnum):
    """What kind of number Dify's record is (reference: tokenizers §6 and §7.2)."""

    VENDOR_PASSED = "vendor_passed"
    ESTIMATE = "estimate"
    PRICE_WEIGHTED = "price_weighted"
    ZERO = "zero"
    UNKNOWN = "unknown"


class Accuracy(StrEnum):
    """How far a local count can be trusted (reference: tokenizers §5)."""

    EXACT = "exact"
    TEMPLATE = "template"
    NEAR = "near"
    APPROXIMATE = "approximate"
    LOWER_BOUND = "lower_bound"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What Dify's row says about one call, before anyone judged it.

    `total` differs from `tokens.total` only where Dify knows the total alone (ReAct agent nodes). `rates` are the prices
    that Dify says it multiplied by, None where it kept none.
    """

    tokens: Tokens
    provenance: str
    total: int | None = None
    cost: Money | None = None
    rates: UnitPrices | None = None


@dataclass(frozen=True, slots=True)
class DifyReading:
    """The `dify` reading: the recorded numbers and what kind of number they are."""

    tokens: Tokens
    provenance: str
    kind: DifyKind
    total: int | None = None
    cost: Money | None = None
    rates: UnitPrices | None = None


@dataclass(frozen=True, slots=True)
class LocalReading:
    """The `local` reading: our recount. `error_pct` is the stated error of the input count in percent. `is_of_request`: it
    was made of the request that the vendor's evidence held whole, not of what Dify kept of it."""

    tokens: Tokens
    tokenizer: str
    accuracy: Accuracy
    error_pct: float | None = None
    note: str | None = None
    cost: Money | None = None
    is_of_request: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One vendor request that belongs to a call; a call has several when something retried.

    `copies` names the other sources that logged the same request. `tools`, `has_schema` and `media` say what the request
    held besides its messages, `added_messages` how many messages it held that Dify's record does not; all None where the
    request's body was not logged. `key` is the alias of the vendor's key that paid.
    """

    id: str
    source: str
    status: str  # ok | error | aborted | cached (answered by a gateway, billed 0)
    started_at: Micros | None
    ended_at: Micros | None
    tokens: Tokens
    model: str | None = None
    is_estimated: bool = False  # the gateway counted by itself
    copies: tuple[str, ...] = ()
    tools: int | None = None
    has_schema: bool | None = None
    media: int | None = None
    added_messages: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class VendorReading:
    """The `vendor` reading: the sum over all billed attempts, or Dify's own record when it is known to be the
    vendor's number passed on (`independent` False: shown, never used as proof)."""

    tokens: Tokens
    provenance: str
    independent: bool
    match: str
    confidence: float
    attempts: tuple[Attempt, ...] = ()
    cost: Money | None = None


# ── why they differ ─────────────────────────────────────────────────────────────────────────────────────────


class Confidence(StrEnum):
    """How sure a finding is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Finding:
    """One named cause of a difference. Amounts are signed as vendor − dify: positive = the vendor counted more. `cost` is
    the money that goes with them, None where no price is known."""

    code: str
    input: int
    output: int
    confidence: Confidence
    evidence: str
    advice: str
    cost: Money | None = None


class Verdict(StrEnum):
    """What we say of a call or a trace."""

    AGREE = "agree"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    UNVERIFIED = "unverified"
    PENDING = "pending"


# ── traces ──────────────────────────────────────────────────────────────────────────────────────────────────


class Status(StrEnum):
    """How a step, call or trace ended."""

    OK = "ok"
    ERROR = "error"
    STOPPED = "stopped"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call the model asked for; `arguments` is JSON text as the vendor wrote it."""

    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of a prompt as Dify keeps it. `media` counts the files whose content Dify has cut away."""

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    media: int = 0
    tool_call_id: str | None = None
    name: str | None = None


class StepKind(StrEnum):
    """What a step is; destinations translate it into their own span types."""

    MESSAGE = "message"
    WORKFLOW = "workflow"
    MODEL = "model"
    AGENT = "agent"
    ROUND = "round"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    CONTAINER = "container"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model: the leaf that may carry usage.

    `call_id` is stable: `<row kind>:<row uuid>[:<part>]`. `prompt` is None when Dify kept none. `missing` names
    what Dify did not keep of the request (e.g. "tool schemas"), so that a recount can say it is a lower bound.
    `user` is the end user string that Dify's plugins may send to the vendor.
    """

    call_id: str
    kind: str  # chat | completion | embedding | rerank | hidden:<what>
    provider: str | None
    model: str | None
    started_at: Micros
    ended_at: Micros
    status: Status
    recorded: Recorded | None
    prompt: tuple[PromptMessage, ...] | None = None
    answer: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    parameters: tuple[tuple[str, str | int | float | bool], ...] = ()
    first_token_at: Micros | None = None
    missing: tuple[str, ...] = ()
    user: str | None = None
    query: str | None = None  # the end user's words when the prompt itself was not kept
    message_id: str | None = None
    workflow_run_id: str | None = None
    node_execution_id: str | None = None
    node_title: str | None = None
    note: str | None = None  # a fact about the record that a finding needs, as a short code


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the trace tree, in the order it started. Only `call` ever carries usage."""

    span_id: str
    parent_id: str | None
    kind: StepKind
    name: str
    started_at: Micros
    ended_at: Micros
    status: Status
    error: str | None = None
    input: str | None = None
    output: str | None = None
    facts: tuple[tuple[str, str | int | float | bool], ...] = ()
    call: Call | None = None
    link: str | None = None  # trace id of a child run (workflow used as a tool), where the evidence is unique


@dataclass(frozen=True, slots=True)
class Sums:
    """The three Dify sums that ought to be equal and often are not (reference: Dify §3.5)."""

    leaves: Tokens
    message: Tokens | None = None
    run_total: int | None = None
    containers_total: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """One Dify message or workflow run with everything that happened inside it, root step first."""

    trace_id: str
    ref: RecordRef
    app: App
    name: str
    started_at: Micros
    ended_at: Micros
    status: Status
    steps: tuple[Step, ...]
    sums: Sums
    session_id: str | None = None
    user_id: str | None = None
    user_aliases: tuple[str, ...] = ()  # other names of the same user that a plugin may send to the vendor
    invoke_from: str | None = None
    triggered_from: str | None = None
    is_debug: bool = False
    workflow_id: str | None = None
    workflow_version: str | None = None
    message_id: str | None = None
    workflow_run_id: str | None = None
    is_final: bool = True  # False while Dify may still change it (running, paused)
    is_paused: bool = False
    notes: tuple[str, ...] = ()  # what could not be read, in words; shown with the trace
    conversation_name: str | None = None  # the title that a hidden call gave it, or a person

    @property
    def calls(self) -> tuple[Call, ...]:
        """The model calls, in step order."""
        return tuple(step.call for step in self.steps if step.call is not None)


# ── assessed ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Assessment:
    """One call with its three readings, the findings and the verdict.

    `unexplained` is vendor − dify minus the findings; both parts None without an independent vendor reading.
    """

    call: Call
    dify: DifyReading | None
    local: LocalReading | None
    vendor: VendorReading | None
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    unexplained_input: int | None = None
    unexplained_output: int | None = None
    within_tolerance: bool = True


@dataclass(frozen=True, slots=True)
class AssessedTrace:
    """A trace after reading and comparing; what destinations render and the ledger keeps."""

    trace: Trace
    assessments: tuple[Assessment, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()  # about the trace as a whole; never added to the calls' findings


def chosen(assessment: Assessment) -> tuple[str, Tokens] | None:
    """The reading that feeds `gen_ai.usage.*`: vendor, else dify, else local; with its source name.

    A relayed vendor reading is Dify's own record, so it counts as dify. None when no reading has both parts.
    """
    vendor = assessment.vendor if assessment.vendor is not None and assessment.vendor.independent else None
    for source, reading in (("vendor", vendor), ("dify", assessment.dify), ("local", assessment.local)):
        if reading is not None and reading.tokens.total is not None:
            return source, reading.tokens
    return None
