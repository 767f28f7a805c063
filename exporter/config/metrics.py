"""Where our own metrics are pushed to, for those who do not scrape."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from exporter.config.section import Section
from exporter.config.values import Seconds

_PATH = "/v1/metrics"


class OtlpMetricsSettings(Section):
    """A receiver of OTLP metrics over HTTP, such as an OpenTelemetry Collector."""

    endpoint: str = Field(
        "", description="address of the receiver; /v1/metrics is added when it has no path. Empty: no push"
    )
    headers: dict[str, SecretStr] = Field(default={}, description="extra request headers")
    interval: Seconds = Field(60.0, description="pause between pushes")
    protocol: Literal["http/protobuf", "http/json"] = Field(
        "http/protobuf", description="form of the request's body"
    )
    timeout: Seconds = Field(10.0, description="time to wait for an answer")

    @model_validator(mode="after")
    def _complete(self) -> OtlpMetricsSettings:
        if self.endpoint and not re.match(r"^https?://[^\s/]+", self.endpoint):
            raise ValueError("endpoint must start with http:// or https:// and name a host")
        if self.interval < 1:
            raise ValueError("interval must be at least 1s")
        return self

    @property
    def url(self) -> str:
        """Where metrics are posted."""
        base = self.endpoint.rstrip("/")
        return self.endpoint if urlsplit(base).path else base + _PATH


class MetricsSettings(Section):
    """Our own metrics beyond the address that is scraped."""

    otlp: OtlpMetricsSettings = OtlpMetricsSettings()  # type: ignore[call-arg]
