"""Where the vendors' own sums come from: usage and cost reports that are fetched, and files exported from a console."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from exporter.config.section import Section, is_set
from exporter.config.values import Seconds, StartTime, time_zone

BillKind = Literal[
    "openai", "anthropic", "openrouter", "azure", "bedrock", "google", "tencent", "alibaba", "volcengine", "file"
]  # fmt: skip


class BillSettings(Section):
    """One account whose sums are read, or a set of exported files."""

    kind: BillKind
    name: str = Field("", description="source name in reports; default: the kind, or the preset")
    key: SecretStr = Field(SecretStr(""), description="admin or management key; a cloud's access key id")
    secret: SecretStr = Field(SecretStr(""), description="the secret that belongs to a cloud's access key id")
    url: str = Field("", description="base address, when it is not the vendor's public one")
    reports: list[str] = Field(default=[], description="which of the vendor's reports; empty: the usual ones")
    group_by: str = Field(
        "", description="what becomes the key of a row; default: the API key where there is one"
    )
    width: Literal["1m", "1h", "1d"] = Field(
        "1h", description="length of a stretch, where the vendor offers a choice"
    )
    region: str = Field("", description="bedrock, tencent, alibaba, volcengine: the cloud's region")
    resource: str = Field("", description="azure: resource id of the Azure OpenAI account")
    login_url: str = Field("", description="azure: address of the login, in a national cloud")
    tenant: str = Field("", description="azure: Entra tenant; without one the managed identity is used")
    project: str = Field("", description="google: project id; volcengine: project name")
    endpoints: dict[str, str] = Field(
        default={},
        description="volcengine: ids of endpoints and the models behind them, asked for one by one",
    )
    credentials: Path | None = Field(None, description="google: file of a service account's key")
    products: list[str] = Field(
        default=[],
        description="tencent, alibaba, file: parts of the names of products whose rows are of models",
    )
    path: str = Field("", description="file: path or glob of exported files; .gz is read too")
    preset: str = Field("", description="file: what exported it, such as openai-usage")
    columns: dict[str, str | list[str]] = Field(
        default={}, description="file: own column names, over those of the preset"
    )
    time_zone: str = Field("", description="file: zone of its days; default: the preset's, else UTC")
    currency: str = Field("", description="file: of amounts in a file that names none")
    encoding: str = Field("", description="file: default: UTF-8, else GB18030")
    replaces: bool = Field(
        False,
        description="file: a file holds all there is of its time, so what was imported of it before goes",
    )
    start: StartTime = Field(
        "beginning", description="where the first reading begins; beginning: 90 days back"
    )
    reread: Seconds | None = Field(None, description="how far back it is read again; default: the vendor's")
    poll_interval: Seconds = Field(900.0, description="pause between looks")
    timeout: Seconds = Field(30.0, description="time to wait for an answer")

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        if name:
            time_zone(name)
        return name

    @model_validator(mode="after")
    def _complete(self) -> BillSettings:
        if not self.name:
            object.__setattr__(self, "name", self.preset or self.kind)
        if self.url and not re.match(r"^https?://[^\s/]+", self.url):
            raise ValueError("url must start with http:// or https:// and name a host")
        if self.kind == "file" and not (self.preset or self.columns):
            raise ValueError("file needs preset or columns")
        missing = [name for name in _NEEDED[self.kind] if not is_set(getattr(self, name))]
        if missing:
            raise ValueError(f"{self.kind} needs {' and '.join(missing)}")
        return self


_NEEDED: dict[str, tuple[str, ...]] = {
    "openai": ("key",),
    "anthropic": ("key",),
    "openrouter": ("key",),
    "azure": ("resource",),
    "bedrock": ("region",),
    "google": ("project",),
    "tencent": ("key", "secret"),
    "alibaba": ("key", "secret"),
    "volcengine": ("key", "secret"),
    "file": ("path",),
}


def fill_from_environment(entries: Any, environ: Mapping[str, str]) -> None:
    """The vendors' own variables fill what entries of `bills` leave open. A variable alone switches nothing on."""
    openai = {"key": environ.get("OPENAI_ADMIN_KEY")}
    anthropic = {"key": environ.get("ANTHROPIC_ADMIN_KEY")}
    azure = {
        "tenant": environ.get("AZURE_TENANT_ID"),
        "key": environ.get("AZURE_CLIENT_ID"),
        "secret": environ.get("AZURE_CLIENT_SECRET"),
    }
    tencent = {
        "key": environ.get("TENCENTCLOUD_SECRET_ID"),
        "secret": environ.get("TENCENTCLOUD_SECRET_KEY"),
    }
    alibaba = {
        "key": environ.get("ALIBABA_CLOUD_ACCESS_KEY_ID"),
        "secret": environ.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
    }
    volcengine = {"key": environ.get("VOLC_ACCESSKEY"), "secret": environ.get("VOLC_SECRETKEY")}
    known = {
        "openai": openai,
        "anthropic": anthropic,
        "azure": azure,
        "bedrock": {"region": environ.get("AWS_REGION")},
        "tencent": tencent,
        "alibaba": alibaba,
        "volcengine": volcengine,
    }
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        for name, value in known.get(str(entry.get("kind")), {}).items():
            if value and not entry.get(name):
                entry[name] = value
