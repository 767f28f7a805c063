"""OTLP platforms, played by one server that keeps each platform's documented rules.

What a rule is taken from: the platforms' public documents and sources (MLflow's otel_api and translators, Phoenix's
REST routes, Opik's mapping rules, Weave's attribute constants, the APMs' field lists). The token sums are made by
each platform's own rule, so usage that is told twice shows as twice.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.contract.twin_server import Refused, Request, Response, Twin, attributes, spans_of, twice

KEY = "key-1"
MOST_ATTRIBUTES = 128  # what collectors and APMs keep of one span

Sum = Callable[[Mapping[str, Any]], tuple[int, int] | None]


@dataclass(frozen=True)
class Rules:
    """What one platform demands and how it counts."""

    path: str
    headers: Mapping[str, str]  # name (lower case) and value; another value is refused with `refusal`
    resource: Mapping[str, str]
    usage: Sum
    refusal: int = 401
    without: Mapping[str, int] = field(default_factory=dict)  # header that is missing: status
    known: re.Pattern[str] | None = None  # an attribute beside it is shown where it does not belong
    kinds: tuple[str, frozenset[str]] | None = None  # attribute and its words, on every span
    entry_spans: bool = False
    keeps_first: bool = False
    replaces: bool = False
    sums_below_usage: bool = True  # False: below a span with usage nothing is added
    metadata: Mapping[str, str] | None = None  # over gRPC in place of the headers


def _pair(read: Mapping[str, Any], *names: tuple[str, str]) -> tuple[int, int] | None:
    for first, second in names:
        if first in read or second in read:
            return int(read.get(first, 0)), int(read.get(second, 0))
    return None


def _gen_ai(read: Mapping[str, Any]) -> tuple[int, int] | None:
    return _pair(read, ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"))


def _openinference(read: Mapping[str, Any]) -> tuple[int, int] | None:
    return _pair(read, ("llm.token_count.prompt", "llm.token_count.completion"))


def _phoenix(read: Mapping[str, Any]) -> tuple[int, int] | None:
    """A project's sums are those of its LLM spans: embeddings and reranks are left out."""
    return _openinference(read) if read.get("openinference.span.kind") == "LLM" else None


def _mlflow(read: Mapping[str, Any]) -> tuple[int, int] | None:
    return _openinference(read) or _gen_ai(read)


def _opik(read: Mapping[str, Any]) -> tuple[int, int] | None:
    """Every number under gen_ai.usage. is a usage entry; a fraction that is no cost cannot be read."""
    for name, value in read.items():
        if name.startswith("gen_ai.usage.") and name != "gen_ai.usage.cost" and not isinstance(value, int):
            raise Refused(400, "usage cannot be parsed")
    return _pair(read, ("llm.token_count.prompt", "llm.token_count.completion")) or _gen_ai(read)


def _weave(read: Mapping[str, Any]) -> tuple[int, int] | None:
    """The old and the new names are separate entries of a call's usage, and totals add them."""
    old = _pair(
        read,
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
        ("llm.token_count.prompt", "llm.token_count.completion"),
    )
    new = _gen_ai(read)
    found = [pair for pair in (old, new) if pair is not None]
    return (sum(pair[0] for pair in found), sum(pair[1] for pair in found)) if found else None


def _apm(read: Mapping[str, Any]) -> tuple[int, int] | None:
    pair = _gen_ai(read)
    if pair is not None and read.get("gen_ai.usage.total_tokens") != sum(pair):
        raise Refused(400, "total_tokens is not the sum")
    return pair


_ALIYUN_KINDS = frozenset({"CHAIN", "RETRIEVER", "RERANKER", "LLM", "EMBEDDING", "TOOL", "AGENT", "TASK"})
_TENCENT_KINDS = frozenset({"WORKFLOW", "RETRIEVER", "GENERATION", "TOOL", "AGENT", "TASK"})
_OPIK_KNOWN = re.compile(
    r"(gen_ai\.(prompt|completion|request|response|usage|input|output|tool|agent|cost)[._]?|gen_ai\.system"
    r"|gen_ai\.operation\.name$|gen_ai\.framework$|gen_ai\.data_source|input|output|error\.|thread_id$"
    r"|opik\.|openinference\.|llm\.)"
)

RULES: dict[str, Rules] = {
    "opik": Rules(
        path="/api/v1/private/otel/v1/traces",
        headers={"authorization": KEY, "comet-workspace": "acme", "projectname": "dify"},
        resource={},
        usage=_opik,
        known=_OPIK_KNOWN,
    ),
    "mlflow": Rules(
        path="/v1/traces",
        headers={"x-mlflow-experiment-id": "7"},
        resource={},
        usage=_mlflow,
        refusal=404,
        without={"x-mlflow-experiment-id": 422},
        replaces=True,
        sums_below_usage=False,
    ),
    "databricks": Rules(
        path="/api/2.0/otel/v1/traces",
        headers={
            "authorization": f"Bearer {KEY}",
            "x-databricks-uc-table-name": "main.llm.dify_otel_spans",
        },
        resource={},
        usage=_mlflow,
        sums_below_usage=False,
    ),
    "weave": Rules(
        path="/otel/v1/traces",
        headers={"wandb-api-key": KEY},
        resource={"wandb.entity": "acme", "wandb.project": "dify"},
        usage=_weave,
    ),
    "arize": Rules(
        path="/v1/traces",
        headers={"authorization": KEY, "arize-space-id": "space-1", "arize-interface": "otel"},
        resource={"openinference.project.name": "dify"},
        usage=_openinference,
    ),
    "phoenix": Rules(
        path="/v1/traces",
        headers={"authorization": f"Bearer {KEY}"},
        resource={"openinference.project.name": "dify"},
        usage=_phoenix,
        keeps_first=True,
        sums_below_usage=False,
    ),
    "aliyun-arms": Rules(
        path=f"/adapt_{KEY}/api/otlp/traces",
        headers={},
        resource={"acs.arms.service.feature": "genai_app"},
        usage=_apm,
        kinds=("gen_ai.span.kind", _ALIYUN_KINDS),
        entry_spans=True,
        metadata={"authentication": KEY},
    ),
    "aliyun-cloudmonitor": Rules(
        path=f"/adapt_{KEY}/api/v1/traces",
        headers={},
        resource={"acs.arms.service.feature": "genai_app"},
        usage=_apm,
        kinds=("gen_ai.span.kind", _ALIYUN_KINDS),
        entry_spans=True,
    ),
    "tencent-apm": Rules(
        path="/v1/traces",
        headers={"authorization": f"Bearer {KEY}"},
        resource={"token": KEY},
        usage=_apm,
        kinds=("gen_ai.span.kind", _TENCENT_KINDS),
        entry_spans=True,
    ),
}


COLLECTOR = Rules(path="/v1/traces", headers={}, resource={}, usage=_gen_ai)
"""Any receiver of OTLP."""


_PROJECT = frozenset({"openinference.project.name", "wandb.project"})


class OtlpTwin(Twin):
    """One platform. Holds spans in the order of their arrival, by trace and span id, and the project of each. With
    `any_project` a resource may name whatever project it likes."""

    def __init__(self, kind: str, *, any_project: bool = False, **known: Any) -> None:
        super().__init__(**known)
        self.rules = RULES.get(kind, COLLECTOR)
        self.spans: dict[tuple[str, str], Span] = {}
        self.projects: dict[tuple[str, str], str | None] = {}
        self.any_project = any_project
        self.arrivals = 0
        self._asked = threading.local()

    def up(self) -> Self:
        """As every twin; a repeated name in a query is kept."""
        super().up()
        assert self._server is not None
        twin, plain = self, self._server.RequestHandlerClass

        class WithQuery(plain):  # type: ignore[valid-type,misc]
            def do_GET(self) -> None:
                twin._asked.query = parse_qs(urlsplit(self.path).query)
                super().do_GET()

        self._server.RequestHandlerClass = WithQuery
        return self

    def answer(self, request: Request) -> Response:
        """Spans in; for Phoenix also spans out."""
        if request.method == "GET" and self.rules.keeps_first:
            return self._read(request)
        if request.path == "/graphql" and self.rules.keeps_first:
            return self._graphql(request)
        if request.method != "POST" or request.path != self.rules.path:
            raise Refused(404, "no such route")
        self._admit(request)
        if request.headers.get("content-type") != "application/x-protobuf":
            raise Refused(415, "unsupported content type")
        hang_up = self.take(request, self._keep)
        return Response(200, {}, hang_up=hang_up)

    def held(self) -> dict[str, Any]:
        """Spans and the platform's own sums."""
        return {"spans": len(self.spans), "tokens": self.tokens()}

    def tokens(self) -> tuple[int, int]:
        """Input and output tokens of all that is held, summed by the platform's rule."""
        found = {key: self.rules.usage(attributes(span)) for key, span in self.spans.items()}
        total = [0, 0]
        for key, pair in found.items():
            if pair is None or (not self.rules.sums_below_usage and self._below_usage(key, found)):
                continue
            total = [total[0] + pair[0], total[1] + pair[1]]
        return total[0], total[1]

    def checks(self) -> list[str]:
        """Broken trees: a parent that never came, or another number of roots than one."""
        broken = []
        roots: dict[str, int] = {}
        for (trace_id, span_id), span in self.spans.items():
            roots.setdefault(trace_id, 0)
            if not span.parent_span_id:
                roots[trace_id] += 1
            elif (trace_id, span.parent_span_id.hex()) not in self.spans:
                broken.append(f"the parent of span {span_id} never came")
        broken += [f"trace {trace_id} has {count} roots" for trace_id, count in roots.items() if count != 1]
        return broken

    def _admit(self, request: Request) -> None:
        for name, status in self.rules.without.items():
            if name not in request.headers:
                raise Refused(status, f"{name} is required")
        for name, value in self.rules.headers.items():
            if request.headers.get(name) != value:
                raise Refused(self.rules.refusal, f"{name} is missing or wrong")

    def _keep(self, export: ExportTraceServiceRequest) -> None:
        for resource_spans in export.resource_spans:
            told = attributes(resource_spans.resource)
            for name, value in self.rules.resource.items():
                is_free = self.any_project and name in _PROJECT and told.get(name)
                if told.get(name) != value and not is_free:
                    self.note(f"resource attribute {name} is {told.get(name)!r}")
        for span, told, _ in spans_of(export):
            self._check(span)
            if self.is_lost():
                continue
            self.arrivals += 1
            key = (span.trace_id.hex(), span.span_id.hex())
            if key in self.spans and not (self.rules.keeps_first or self.rules.replaces):
                self.note(f"span {key[1]} came twice")
            if key not in self.spans or self.rules.replaces:
                self.spans[key] = span
                self.projects[key] = self._home(key[0]) or next(
                    (told[name] for name in _PROJECT if name in told), None
                )

    def _check(self, span: Span) -> None:
        told = attributes(span)
        self.rules.usage(told)
        for name in twice(span):
            self.note(f"attribute {name} is there twice")
        if len(span.attributes) > MOST_ATTRIBUTES:
            self.note(f"{len(span.attributes)} attributes on one span")
        if len(span.trace_id) != 16 or len(span.span_id) != 8:
            self.note("an id of the wrong length")
        if self.rules.known is not None:
            for name in told:
                if not self.rules.known.match(name):
                    self.note(f"{name} has no rule and would be shown as input")
        if self.rules.kinds is not None:
            name, words = self.rules.kinds
            if told.get(name) not in words:
                self.note(f"{name} is {told.get(name)!r}")
        if self.rules.entry_spans and not span.parent_span_id and span.kind != Span.SPAN_KIND_SERVER:
            self.note("a root is no entry span")

    def _below_usage(self, key: tuple[str, str], found: Mapping[tuple[str, str], Any]) -> bool:
        trace_id, span = key[0], self.spans[key]
        while span.parent_span_id and (trace_id, span.parent_span_id.hex()) in self.spans:
            above = (trace_id, span.parent_span_id.hex())
            if found[above] is not None:
                return True
            span = self.spans[above]
        return False

    def _home(self, trace_id: str) -> str | None:
        """Where Phoenix keeps a trace that it has: the project of its first span, whatever later ones name."""
        homes = (project for (of, _), project in self.projects.items() if of == trace_id)
        return next(homes, None) if self.rules.keeps_first else None

    def _graphql(self, request: Request) -> Response:
        """{t0:getTraceByOtelId(traceId:"…"){project{name}} t1:…}"""
        self._admit(request)
        self.read()
        asked = re.findall(r'(\w+):getTraceByOtelId\(traceId:"(\w+)"\)', json.loads(request.body)["query"])
        with self.lock:
            homes = {name: self._home(trace_id) for name, trace_id in asked}
        data = {name: {"project": {"name": home}} if home else None for name, home in homes.items()}
        return Response(200, {"data": data})

    def _read(self, request: Request) -> Response:
        """GET /v1/projects/<name>/spans?trace_id=…&trace_id=…&limit=…&cursor=…"""
        self._admit(request)
        self.read()
        parts = request.path.split("/")
        if parts[:3] != ["", "v1", "projects"] or parts[4:] != ["spans"]:
            raise Refused(404, "not found")
        project = unquote(parts[3])
        if project not in self.projects.values():
            raise Refused(404, "no such project")
        query = self._asked.query
        asked, most = query.get("trace_id", []), min(int(query.get("limit", ["100"])[0]), 3)
        start = int(query.get("cursor", ["0"])[0])
        with self.lock:
            found = [key for key in self.spans if key[0] in asked and self.projects[key] == project]
        page = [{"context": {"trace_id": a, "span_id": b}} for a, b in found[start : start + most]]
        more = str(start + most) if start + most < len(found) else None
        return Response(200, {"data": page, "next_cursor": more})
