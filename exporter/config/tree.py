"""The settings tree: what can be set, its defaults, and what makes a value impossible. Secrets are `SecretStr`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from exporter.config.values import ByteSize, Seconds, StartTime

if TYPE_CHECKING:
    from exporter.local.mapping import Rule

FORMATS = (
    "generic", "litellm", "apisix", "kong", "higress", "envoy", "new-api", "bedrock", "otlp",
)  # fmt: skip
"""The forms of vendor records that files may hold and that may be pushed."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(_Section):
    """Dify's own database; only ever read."""

    url: SecretStr | None = Field(
        None, description="postgresql://user:password@host:5432/dify (DIFY_DATABASE_URL)"
    )
    schema_name: str = Field("public", alias="schema", description="schema that holds Dify's tables")
    statement_timeout: Seconds = Field(30.0, description="a query that takes longer is cancelled")
    connect_timeout: Seconds = Field(10.0, description="time to wait for a connection")

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Filter(_Section):
    """Names or ids; an empty list means no restriction."""

    workspaces: list[str] = []
    apps: list[str] = []
    modes: list[str] = []


class DifySettings(_Section):
    """The source."""

    name: str = Field("dify", description="name of this Dify instance in spans and reports")
    database: DatabaseSettings = DatabaseSettings()  # type: ignore[call-arg]
    start: StartTime = Field("beginning", description="where the first run begins: beginning, now, or a time")
    poll_interval: Seconds = Field(5.0, description="pause between looks for new rows")
    overlap: Seconds = Field(
        900.0, description="how far behind the newest row is looked again for rows committed late"
    )
    sweep_interval: Seconds = Field(60.0, description="how often that overlap is read again")
    page_size: int = Field(200, ge=1, le=5000, description="traces read from Dify at a time")
    page_bytes: ByteSize = Field(2 * 2**20, description="text read from Dify at a time")
    unfinished_after: Seconds = Field(
        3600.0, description="a running row older than this is exported as unfinished"
    )
    paused_after: Seconds = Field(7 * 86400.0, description="the same for runs that wait for human input")
    watch_unfinished: Seconds = Field(
        30 * 86400.0, description="how long an unfinished row is looked at again"
    )
    debug_runs: bool = Field(True, description="export runs made in Dify's editor (tagged debug)")
    include: Filter = Filter()
    exclude: Filter = Filter()


class VendorSettings(_Section):
    """One source of vendor evidence."""

    kind: Literal["push", "file", "litellm", "new-api", "openrouter", "bedrock"]
    name: str = Field("", description="source name in readings; default: the kind, or the file's name")
    path: Path | None = Field(
        None, description="file: JSON, JSON array or JSON Lines of vendor calls; .gz is read too"
    )
    format: str = Field("generic", description="file: the form of its records")
    url: str = Field("", description="base address of the gateway, or of the service when not the public one")
    key: SecretStr = Field(
        SecretStr(""), description="key that may read the log (an admin's or management key)"
    )
    user_id: str = Field("", description="new-api: id of the user whose access token `key` is")
    bucket: str = Field("", description="bedrock: S3 bucket of the invocation logs")
    prefix: str = Field("", description="bedrock: key prefix in front of AWSLogs/")
    log_group: str = Field("", description="bedrock: CloudWatch log group of the invocation logs")
    region: str = Field("", description="bedrock: AWS region")
    time_zone: str = Field("UTC", description="zone of times that the source writes without one")
    start: StartTime = Field(
        "beginning", description="where the first pull begins: beginning, now, or a time"
    )
    poll_interval: Seconds = Field(
        15.0, description="pause between looks for new records; openrouter: at least 1h"
    )
    timeout: Seconds = Field(30.0, description="time to wait for an answer")

    @model_validator(mode="after")
    def _complete(self) -> VendorSettings:
        if not self.name:
            file_name = self.path.name.split(".")[0] if self.path else ""
            object.__setattr__(self, "name", file_name or self.kind)
        if self.format not in FORMATS:
            raise ValueError(f"format is none of {', '.join(FORMATS)}")
        if self.url and not re.match(r"^https?://[^\s/]+", self.url):
            raise ValueError("url must start with http:// or https:// and name a host")
        try:
            ZoneInfo(self.time_zone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError(
                f"time_zone {self.time_zone!r} is no zone name such as Asia/Shanghai or UTC"
            ) from None
        missing = [name for name in _NEEDED_BY_KIND[self.kind] if not _is_set(getattr(self, name))]
        if missing:
            raise ValueError(f"{self.kind} needs {' and '.join(missing)}")
        if self.kind == "bedrock" and not (self.bucket or self.log_group):
            raise ValueError("bedrock needs bucket (S3) or log_group (CloudWatch)")
        if self.bucket and self.log_group:
            raise ValueError("bedrock reads bucket or log_group, not both: they hold the same requests")
        return self


_NEEDED_BY_KIND: dict[str, tuple[str, ...]] = {
    "push": (),
    "file": ("path",),
    "litellm": ("url", "key"),
    "new-api": ("url", "key"),
    "openrouter": ("key",),
    "bedrock": ("region",),
}


def _is_set(value: object) -> bool:
    return bool(value.get_secret_value()) if isinstance(value, SecretStr) else bool(value)


class IntakeSettings(_Section):
    """Vendor calls that others push to us (POST /v1/vendor-calls/<format>, /v1/traces)."""

    enabled: bool = Field(True, description="whether the addresses exist")
    token: SecretStr = Field(
        SecretStr(""), description="bearer token; required unless web.host is a loopback address"
    )
    max_body: ByteSize = Field(32 * 2**20, description="largest request body, compressed or not")


class ModelSettings(_Section):
    """Which models count how, where their names do not tell or tell wrong; the first entry that matches wins."""

    match: str = Field(
        min_length=1, description="the model's name as Dify shows it; * and ? stand for any characters"
    )
    family: str | None = Field(None, description="a family of docs/readings.md, such as claude-3 or qwen-3")
    tokenizer: str | None = Field(
        None, description="instead of family: a name of Dify's list (QwenTokenizer, …) or a vocabulary"
    )
    template: str | None = Field(None, description="chat format, such as chatml; default: the family's own")
    note: str | None = Field(None, description="shown with every count made so")

    @model_validator(mode="after")
    def _known(self) -> ModelSettings:
        from exporter.local.mapping import problem

        found = problem(self.rule())
        if found:
            raise ValueError(found)
        return self

    def rule(self) -> Rule:
        """The entry as counting takes it (`exporter.local.mapping.use`)."""
        from exporter.local.mapping import Rule

        return Rule(self.match, self.family, self.tokenizer, self.template, self.note)


ContentMode = Literal["full", "redacted", "none"]


class AppContentSettings(_Section):
    """One app, or several by a pattern, whose texts are treated differently; the first entry that matches wins."""

    match: str = Field(
        min_length=1,
        description="the app's name or id; * and ? stand for any characters, capitals do not matter",
    )
    mode: ContentMode


class ContentSettings(_Section):
    """How much prompt and answer text leaves the building."""

    mode: ContentMode = "full"
    builtin: list[Literal["email", "phone", "id_card", "bank_card", "keys"]] = Field(
        default=["email", "phone", "id_card", "bank_card", "keys"],
        description="what mode redacted finds by itself",
    )
    patterns: list[str] = Field(
        default=[], description="own regular expressions, replaced by [redacted] in mode redacted"
    )
    max_chars: int = Field(200_000, ge=1000, description="a longer text is cut in spans (never in counts)")
    apps: list[AppContentSettings] = Field(default=[], description="another mode for some apps")

    @model_validator(mode="after")
    def _patterns_usable(self) -> ContentSettings:
        from exporter.spans.expressions import problem

        for pattern in self.patterns:
            found = problem(pattern)
            if found:
                raise ValueError(f"pattern {pattern!r} {found}")
        return self


class DestinationSettings(_Section):
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
        missing = [f"{name} ({why})" for name, why in needs.items() if not _is_set(getattr(self, name))]
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


class CompareSettings(_Section):
    """When a difference counts as one."""

    tolerance_percent: float = Field(
        5.0, ge=0, description="an unexplained rest up to this share is within tolerance"
    )
    settle: Seconds = Field(60.0, description="a finished trace waits this long for vendor evidence")
    match_skew: Seconds = Field(2.0, description="clock difference allowed between Dify and the evidence")


class StateSettings(_Section):
    """Our own durable state."""

    path: Path = Field(Path("dify-exporter.db"), description="SQLite file; also its -wal and -shm neighbours")
    max_backlog: ByteSize = Field(2 * 2**30, description="unsent bytes at which reading Dify stops")
    min_free_disk: ByteSize = Field(256 * 2**20, description="free disk at which reading Dify stops")
    keep: Seconds = Field(400 * 86400.0, description="how long the ledger remembers finished traces")


class WebSettings(_Section):
    """Our own pages and metrics."""

    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535)
    top_apps: int = Field(50, ge=1, description="apps with their own metric label; the rest is 'other'")
    top_models: int = Field(100, ge=1, description="models with their own metric label; the rest is 'other'")


class LogSettings(_Section):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON"
    )


class Settings(_Section):
    """Everything that can be set."""

    dify: DifySettings = DifySettings()  # type: ignore[call-arg]
    vendor: list[VendorSettings] = []
    intake: IntakeSettings = IntakeSettings()  # type: ignore[call-arg]
    models: list[ModelSettings] = []
    compare: CompareSettings = CompareSettings()  # type: ignore[call-arg]
    destinations: list[DestinationSettings] = []
    resource: dict[str, str] = Field(
        default={}, description="extra resource attributes (OTEL_RESOURCE_ATTRIBUTES)"
    )
    content: ContentSettings = ContentSettings()  # type: ignore[call-arg]
    state: StateSettings = StateSettings()  # type: ignore[call-arg]
    web: WebSettings = WebSettings()  # type: ignore[call-arg]
    log: LogSettings = LogSettings()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _unique_names(self) -> Settings:
        for what, names in (
            ("destinations", [item.name for item in self.destinations]),
            ("vendor sources", [item.name for item in self.vendor]),
        ):
            for name in sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what} are named {name!r}; give each its own name")
        return self

    @model_validator(mode="after")
    def _content_of_destinations(self) -> Settings:
        """What a destination's content leaves open is as in the global section: a rule for an app holds everywhere."""
        for item in self.destinations:
            if item.content is not None:
                given = {name: getattr(item.content, name) for name in item.content.model_fields_set}
                object.__setattr__(item, "content", self.content.model_copy(update=given))
        return self
