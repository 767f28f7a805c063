"""The places that traces are sent to."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from exporter.config import projects
from exporter.config.content import ContentSettings
from exporter.config.section import Section, is_set
from exporter.config.values import ByteSize, Seconds


class DestinationSettings(Section):
    """One place that traces are sent to."""

    kind: Literal[
        "langfuse", "langsmith", "opik", "mlflow", "databricks", "weave", "arize", "phoenix",
        "aliyun-arms", "aliyun-cloudmonitor", "tencent-apm", "otlp", "postgresql",
    ]  # fmt: skip
    name: str = ""
    endpoint: str = Field("", description="base address; default: the platform's own cloud")
    protocol: Literal["auto", "http/protobuf", "grpc"] = Field(
        "auto", description="otlp, arize, phoenix, aliyun-arms, tencent-apm: how spans travel"
    )
    grpc_endpoint: str = Field(
        "", description="phoenix: where it takes gRPC, when not at port 4317 of the endpoint's host"
    )
    public_key: str = Field("", description="langfuse")
    secret_key: SecretStr = Field(SecretStr(""), description="langfuse")
    api_key: SecretStr = Field(
        SecretStr(""), description="the platform's key, token or license key; not for langfuse and otlp"
    )
    project: str = Field(
        "default",
        description="project: langsmith, opik, weave, arize, phoenix; may hold {instance}, and {app}, {app_id}, {mode}, "
        "{workspace} where a project can be chosen for each trace",
    )
    workspace: str = Field(
        "", description="langsmith: workspace id, for keys of an organisation; opik: workspace name"
    )
    experiment: str = Field("", description="mlflow: id of the experiment")
    url: SecretStr = Field(
        SecretStr(""),
        description="postgresql: address of the database that keeps a copy of the ledger's calls",
    )
    table: str = Field(
        "",
        description="databricks: Unity Catalog table of the spans; postgresql: default dify_exporter_calls",
    )
    entity: str = Field("", description="weave: team or user that owns the project")
    space_id: str = Field("", description="arize: id of the space")
    region: str = Field("", description="aliyun-arms: region, such as cn-hangzhou, when endpoint is not set")
    headers: dict[str, SecretStr] = Field(default={}, description="extra request headers")
    content: ContentSettings | None = Field(
        None, description="what differs from the global content section for this destination"
    )
    scores: bool = Field(
        True, description="langfuse, langsmith: send the differences and the verdict as scores too"
    )
    existing: Literal["send", "enrich", "auto"] = Field(
        "send",
        description="langfuse, langsmith: what of traces that Dify's own tracing writes there: send ours too, only enrich "
        "Dify's, or auto: enrich where an app's own tracing is on, else send",
    )
    timeout: Seconds = Field(30.0, description="time to wait for an answer")
    max_spans: int = Field(500, ge=1, description="spans in one request")
    max_bytes: ByteSize = Field(4 * 2**20, description="uncompressed bytes in one request")
    requests_per_second: float = Field(0.0, ge=0, description="0 = the platform's known limit")
    confirm: Literal["auto", "read_back", "age", "at_once"] = Field(
        "auto", description="when an acknowledged trace may be forgotten"
    )
    confirm_after: Seconds = Field(10.0, description="wait before reading back")
    confirm_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="part of the traces that are read back; the others are believed with them",
    )
    keep_acked: Seconds = Field(
        86400.0, description="how long acknowledged traces are kept when they cannot be read back"
    )

    @model_validator(mode="after")
    def _complete(self) -> DestinationSettings:
        if not self.name:
            object.__setattr__(self, "name", self.kind)
        if self.endpoint and not re.match(r"^https?://[^\s/]+", self.endpoint):
            raise ValueError("endpoint must start with http:// or https:// and name a host")
        if self.kind == "langfuse" and not (self.public_key and self.secret_key.get_secret_value()):
            raise ValueError(
                "langfuse needs public_key and secret_key (LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY)"
            )
        if self.kind == "langsmith" and not self.api_key.get_secret_value():
            raise ValueError("langsmith needs api_key (LANGSMITH_API_KEY)")
        if self.kind == "postgresql" and not self.url.get_secret_value().startswith("postgres"):
            raise ValueError("postgresql needs url (postgresql://user:password@host:5432/database)")
        if self.kind == "otlp" and not self.endpoint:
            raise ValueError("otlp needs endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)")
        needs = _NEEDED_BY_PLATFORM.get(self.kind, {})
        missing = [f"{name} ({why})" for name, why in needs.items() if not is_set(getattr(self, name))]
        if missing:
            raise ValueError(f"{self.kind} needs {' and '.join(missing)}")
        if self.kind == "aliyun-arms" and not (self.endpoint or self.region):
            raise ValueError("aliyun-arms needs region (such as cn-hangzhou) or endpoint")
        if self.kind == "opik" and not (self.endpoint or self.api_key.get_secret_value()):
            raise ValueError("opik needs api_key (Comet's cloud) or endpoint (your own Opik)")
        self._routes()
        self._speaks()
        self._enriches()
        return self

    @property
    def speaks_grpc(self) -> bool:
        """Whether spans travel over gRPC: as told, else where a platform's address is known to answer nothing else."""
        if self.protocol != "auto":
            return self.protocol == "grpc"
        return self.kind in _GRPC_BY_ADDRESS and _GRPC_ADDRESS.search(self.endpoint) is not None

    def _enriches(self) -> None:
        """Refuse to add to Dify's own traces where Dify writes none, or without the queue that does it."""
        if self.existing == "send":
            return
        if self.kind not in ("langfuse", "langsmith"):
            raise ValueError(
                f"existing: {self.existing} works with langfuse and langsmith, not with {self.kind}"
            )
        if not self.scores:
            raise ValueError(
                f"existing: {self.existing} needs scores: true; they are what Dify's own traces get"
            )

    def _routes(self) -> None:
        """Refuse a project that differs from trace to trace where the platform learns it from the request."""
        try:
            names = projects.places(self.project)
        except ValueError as error:
            raise ValueError(f"project: {error}") from None
        by_trace = sorted(names & projects.OF_TRACE)
        if by_trace and self.kind not in _PROJECT_BY_TRACE:
            raise ValueError(
                f"project: {{{by_trace[0]}}} cannot be used with {self.kind}, which has one project for all traces; "
                f"{{{projects.OF_INSTANCE}}} can"
            )

    def _speaks(self) -> None:
        """Refuse gRPC where a platform has none, addresses that answer nothing else, and keys inside of addresses."""
        if "/adapt_" in self.endpoint and self.kind in _NEEDED_BY_PLATFORM:
            raise ValueError(
                "endpoint holds the license key: set api_key to what follows adapt_, up to the next slash, "
                "and endpoint to what stands before /adapt_"
            )
        if self.speaks_grpc and self.kind not in GRPC_KINDS:
            raise ValueError(f"protocol: {self.kind} is reached by http/protobuf only")
        if self.grpc_endpoint and not (self.kind == "phoenix" and self.speaks_grpc):
            raise ValueError("grpc_endpoint is for phoenix with protocol: grpc; others are told by endpoint")
        is_grpc = self.kind in _NEEDED_BY_PLATFORM and _GRPC_ADDRESS.search(self.endpoint) is not None
        if is_grpc and (self.kind == "phoenix" or not self.speaks_grpc):
            raise ValueError(_NOT_FOR_HTTP.get(self.kind, _NOT_FOR_HTTP[""]))


GRPC_KINDS = frozenset({"otlp", "arize", "phoenix", "aliyun-arms", "tencent-apm"})
_GRPC_BY_ADDRESS = frozenset({"arize", "aliyun-arms", "tencent-apm"})
_PROJECT_BY_TRACE = frozenset({"langsmith", "weave", "arize", "phoenix"})
_NOT_FOR_HTTP = {
    "": "endpoint is a gRPC address: name the platform's OTLP/HTTP address",
    "arize": "endpoint is a gRPC address: set protocol to grpc, or name the platform's OTLP/HTTP address",
    "aliyun-arms": "endpoint is a gRPC address: set protocol to grpc, or name the platform's OTLP/HTTP address",
    "tencent-apm": "endpoint is a gRPC address: set protocol to grpc, or name an OpenTelemetry Collector",
    "phoenix": "endpoint is Phoenix's gRPC address: name that of its page, such as http://phoenix:6006, and set "
    "protocol to grpc if spans shall go to port 4317 of that host (grpc_endpoint: to another one)",
}
_GRPC_ADDRESS = re.compile(
    r"^https?://[^/]*(?::4317(?:/|$)|\.aliyuncs\.com:8090(?:/|$)|\.apm\.tencentcs\.com|\.zerobus\.)"
)

_NEEDED_BY_PLATFORM: dict[str, dict[str, str]] = {
    "opik": {},
    "mlflow": {
        "endpoint": "the server's address, such as http://mlflow:5000",
        "experiment": "the experiment's id, a number; not its name",
    },
    "databricks": {
        "endpoint": "the workspace's address, such as https://dbc-1234.cloud.databricks.com",
        "api_key": "a personal access token, or an OAuth token",
        "table": "<catalog>.<schema>.<prefix>_otel_spans",
    },
    "weave": {"api_key": "a W&B key", "entity": "the team or user that owns the project"},
    "arize": {"api_key": "a key of the space", "space_id": "the space's id"},
    "phoenix": {"endpoint": "the server's address, such as http://phoenix:6006"},
    "aliyun-arms": {"api_key": "the license key: what follows adapt_ in the address that the console shows"},
    "aliyun-cloudmonitor": {
        "endpoint": "what stands before /adapt_ in the address that the console shows",
        "api_key": "the license key: what follows adapt_ in that address",
    },
    "tencent-apm": {
        "endpoint": "the access point, such as http://ap-guangzhou.apm.tencentcs.com:4317, or an OpenTelemetry "
        "Collector, such as http://otel-collector:4318",
        "api_key": "the token of the business system",
    },
}
"""What each platform of the preset table needs, with the words that say where to find it."""
