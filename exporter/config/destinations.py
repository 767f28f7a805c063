"""The places that traces are sent to."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from exporter.config.content import ContentSettings
from exporter.config.section import Section, is_set
from exporter.config.values import ByteSize, Seconds


class DestinationSettings(Section):
    """One place that traces are sent to."""

    kind: Literal[
        "langfuse", "langsmith", "opik", "mlflow", "databricks", "weave", "arize", "phoenix",
        "aliyun-arms", "aliyun-cloudmonitor", "tencent-apm", "otlp",
    ]  # fmt: skip
    name: str = ""
    endpoint: str = Field("", description="base address; default: the platform's own cloud")
    public_key: str = Field("", description="langfuse")
    secret_key: SecretStr = Field(SecretStr(""), description="langfuse")
    api_key: SecretStr = Field(
        SecretStr(""), description="the platform's key, token or license key; not for langfuse and otlp"
    )
    project: str = Field("default", description="project: langsmith, opik, weave, arize, phoenix")
    workspace: str = Field(
        "", description="langsmith: workspace id, for keys of an organisation; opik: workspace name"
    )
    experiment: str = Field("", description="mlflow: id of the experiment")
    table: str = Field("", description="databricks: Unity Catalog table of the spans")
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
    timeout: Seconds = Field(30.0, description="time to wait for an answer")
    max_spans: int = Field(500, ge=1, description="spans in one request")
    max_bytes: ByteSize = Field(4 * 2**20, description="uncompressed bytes in one request")
    requests_per_second: float = Field(0.0, ge=0, description="0 = the platform's known limit")
    confirm: Literal["auto", "read_back", "age", "at_once"] = Field(
        "auto", description="when an acknowledged trace may be forgotten"
    )
    confirm_after: Seconds = Field(10.0, description="wait before reading back")
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
        if self.kind in _NEEDED_BY_PLATFORM:
            self._speaks_http()
        return self

    def _speaks_http(self) -> None:
        """Refuse addresses of a platform that are known to answer gRPC only, and keys inside of addresses."""
        if "/adapt_" in self.endpoint:
            raise ValueError(
                "endpoint holds the license key: set api_key to what follows adapt_, up to the next slash, "
                "and endpoint to what stands before /adapt_"
            )
        if _GRPC_ADDRESS.search(self.endpoint):
            raise ValueError(
                "endpoint is a gRPC address, and gRPC is not supported yet: name the platform's OTLP/HTTP address, "
                "or that of an OpenTelemetry Collector (http://otel-collector:4318) which passes the spans on "
                "over gRPC (docs/destinations.md shows how)"
            )


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
        "endpoint": "an OpenTelemetry Collector, such as http://otel-collector:4318: Tencent takes gRPC only",
        "api_key": "the token of the business system",
    },
}
"""What each platform of the preset table needs, with the words that say where to find it."""
