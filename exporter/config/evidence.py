"""Where vendor evidence comes from: sources that are fetched, and what others push."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, model_validator

from exporter.config.section import Section, is_set
from exporter.config.values import ByteSize, Seconds, StartTime

FORMATS = (
    "generic", "litellm", "apisix", "kong", "higress", "envoy", "new-api", "bedrock", "otlp",
)  # fmt: skip
"""The forms of vendor records that files may hold and that may be pushed."""


class VendorSettings(Section):
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
        missing = [name for name in _NEEDED_BY_KIND[self.kind] if not is_set(getattr(self, name))]
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


class IntakeSettings(Section):
    """Vendor calls that others push to us (POST /v1/vendor-calls/<format>, /v1/traces)."""

    enabled: bool = Field(True, description="whether the addresses exist")
    token: SecretStr = Field(
        SecretStr(""), description="bearer token; required unless web.host is a loopback address"
    )
    max_body: ByteSize = Field(32 * 2**20, description="largest request body, compressed or not")
