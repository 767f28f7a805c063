"""The settings tree: what can be set, its defaults, and what makes a value impossible. Secrets are `SecretStr`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from exporter.config.bills import BillSettings
from exporter.config.console import AppKeySettings, ConsoleSettings, bare_address
from exporter.config.content import ContentSettings
from exporter.config.destinations import DestinationSettings
from exporter.config.evidence import IntakeSettings, VendorSettings
from exporter.config.metrics import MetricsSettings
from exporter.config.models import ModelSettings
from exporter.config.prices import PriceSettings
from exporter.config.report import ReportSettings
from exporter.config.section import Section
from exporter.config.storage import StorageSettings
from exporter.config.values import ByteSize, Seconds, StartTime


class DatabaseSettings(Section):
    """Dify's own database; only ever read."""

    url: SecretStr | None = Field(
        None,
        description="postgresql://user:password@host:5432/dify or mysql://user:password@host:3306/dify (DIFY_DATABASE_URL)",
    )
    schema_name: str | None = Field(
        None,
        alias="schema",
        description="schema that holds Dify's tables: `public`; on MySQL the database in the address",
    )
    message_times: Literal["auto", "utc", "server"] = Field(
        "auto", description="MySQL: the zone in which messages are dated; auto asks chatflow messages"
    )
    statement_timeout: Seconds = Field(30.0, description="a query that takes longer is cancelled")
    connect_timeout: Seconds = Field(10.0, description="time to wait for a connection")

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Filter(Section):
    """Names or ids; an empty list means no restriction."""

    workspaces: list[str] = Field(default=[])
    apps: list[str] = Field(default=[])
    modes: list[str] = Field(default=[])


class DifySettings(Section):
    """The source."""

    name: str = Field("dify", description="name of this Dify instance in spans and reports")
    database: DatabaseSettings = DatabaseSettings()  # type: ignore[call-arg]
    console: ConsoleSettings = ConsoleSettings()  # type: ignore[call-arg]
    apps: list[AppKeySettings] = Field(
        default=[], description="single apps by their Service API keys: totals of workflow runs only"
    )
    storage: StorageSettings = StorageSettings()  # type: ignore[call-arg]
    pages_url: str = Field(
        "", description="address of Dify's own pages, for links to them; dify.console.url where that is set"
    )
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

    @field_validator("pages_url")
    @classmethod
    def _console_address(cls, url: str) -> str:
        return bare_address(url, "/console/api")


class CompareSettings(Section):
    """When a difference counts as one."""

    tolerance_percent: float = Field(
        5.0, ge=0, description="an unexplained rest up to this share is within tolerance"
    )
    settle: Seconds = Field(60.0, description="a finished trace waits this long for vendor evidence")
    match_skew: Seconds = Field(2.0, description="clock difference allowed between Dify and the evidence")


class StateSettings(Section):
    """Our own durable state."""

    path: Path = Field(Path("dify-exporter.db"), description="SQLite file; also its -wal and -shm neighbours")
    max_backlog: ByteSize = Field(2 * 2**30, description="unsent bytes at which reading Dify stops")
    min_free_disk: ByteSize = Field(256 * 2**20, description="free disk at which reading Dify stops")
    keep: Seconds = Field(400 * 86400.0, description="how long the ledger remembers finished traces")
    keep_sums: Seconds = Field(
        1200 * 86400.0, description="how long the sums that reports add up are kept, per quarter of an hour"
    )


class WebSettings(Section):
    """Our own pages and metrics."""

    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535)
    token: SecretStr = Field(
        SecretStr(""), description="password of the pages; required unless host is a loopback address"
    )
    top_apps: int = Field(50, ge=1, description="apps with their own metric label; the rest is 'other'")
    top_models: int = Field(100, ge=1, description="models with their own metric label; the rest is 'other'")
    new_at_zero: Seconds = Field(
        60.0,
        description="a new counter shows 0 for so long, so that Prometheus sees it grow; not less than its scrape interval",
    )


class LogSettings(Section):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON"
    )


class Settings(Section):
    """Everything that can be set."""

    dify: DifySettings = DifySettings()  # type: ignore[call-arg]
    vendor: list[VendorSettings] = Field(default=[])
    bills: list[BillSettings] = Field(default=[])
    intake: IntakeSettings = IntakeSettings()  # type: ignore[call-arg]
    models: list[ModelSettings] = Field(default=[])
    prices: PriceSettings = PriceSettings()  # type: ignore[call-arg]
    report: ReportSettings = ReportSettings()  # type: ignore[call-arg]
    compare: CompareSettings = CompareSettings()  # type: ignore[call-arg]
    destinations: list[DestinationSettings] = Field(default=[])
    resource: dict[str, str] = Field(
        default={}, description="extra resource attributes (OTEL_RESOURCE_ATTRIBUTES)"
    )
    content: ContentSettings = ContentSettings()  # type: ignore[call-arg]
    state: StateSettings = StateSettings()  # type: ignore[call-arg]
    web: WebSettings = WebSettings()  # type: ignore[call-arg]
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _unique_names(self) -> Settings:
        for what, names in (
            ("destinations", [item.name for item in self.destinations]),
            ("vendor sources", [item.name for item in self.vendor] + [item.name for item in self.bills]),
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
