"""Settings of reports: whose usage a vendor's key, project or region is, in which time zone days are days, and when one
is made by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from exporter.config.section import Section
from exporter.config.values import time_zone


class ScopeSettings(Section):
    """Which of a vendor's usage is whose. The first scope that fits decides; globs, case does not matter."""

    name: str = Field("", description="how reports call it; default: the apps, or the key")
    source: str = Field("*", description="vendor source, by its name in `vendor` or `bills`")
    key: str = Field(
        "*", description="the vendor's key, project, workspace, region: whatever the source groups by"
    )
    model: str = Field("*", description="model name as the vendor writes it")
    apps: list[str] = Field(default=[], description="Dify apps (names or ids) that use it; empty: all")
    workspaces: list[str] = Field(default=[], description="Dify workspaces (ids) that use it; empty: all")
    foreign: bool = Field(False, description="not Dify's at all: left out of the comparison, shown apart")

    @model_validator(mode="after")
    def _is_one_thing(self) -> ScopeSettings:
        if self.foreign and (self.apps or self.workspaces):
            raise ValueError("a foreign scope has no apps and no workspaces")
        return self


class ScheduleSettings(Section):
    """A report that is made by itself when its stretch of time has ended."""

    name: str = Field("", description="names its files, and what was made already; default: `every`")
    every: Literal["day", "week", "month"] = Field(
        "day", description="the stretch it covers, in report.time_zone"
    )
    after: str = Field(
        "06:00", description="time of day after the stretch has ended, when bills have settled"
    )
    by: list[str] = Field(
        default=["app", "model"], description="its rows: app, model, provider, key, kind, day, workspace"
    )
    formats: list[Literal["html", "json", "csv"]] = Field(default=["html", "json"])
    folder: Path | None = Field(None, description="where the files go")
    webhook: SecretStr | None = Field(None, description="address that the JSON is posted to")

    @field_validator("after")
    @classmethod
    def _is_time(cls, text: str) -> str:
        hours, colon, minutes = text.partition(":")
        if not (colon and hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60):
            raise ValueError("expected a time of day such as 06:00")
        return text

    @model_validator(mode="after")
    def _goes_somewhere(self) -> ScheduleSettings:
        if not self.name:
            object.__setattr__(self, "name", self.every)
        if self.folder is None and self.webhook is None:
            raise ValueError("folder or webhook is needed")
        return self


class ReportSettings(Section):
    """Reconciliation over a window of time."""

    time_zone: str = Field("UTC", description="where days begin: Asia/Shanghai, UTC, +08:00")
    language: Literal["en", "zh"] = Field("en", description="of text and HTML")
    scopes: list[ScopeSettings] = Field(default=[])
    schedule: list[ScheduleSettings] = Field(default=[])

    @model_validator(mode="after")
    def _tells_reports_apart(self) -> ReportSettings:
        names = [item.name for item in self.schedule]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                raise ValueError(
                    f"schedule: two entries are named {name!r}; give one of them a name of its own"
                )
        return self

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        time_zone(name)
        return name
