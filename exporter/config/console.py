"""Dify without its database: the Console API of one or more workspaces, or the Service API of single apps."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from exporter.config.section import Section, is_set
from exporter.config.values import Seconds

_VERSION = re.compile(r"^\d+\.\d+(\.\d+)?$")


class AccountSettings(Section):
    """One more console account; its current workspace is read."""

    email: str = Field(min_length=3, description="the account's e-mail address")
    password: SecretStr = Field(description="its password")


class ConsoleSettings(Section):
    """Dify's Console API; only ever asked, nothing in Dify is changed."""

    url: str = Field("", description="address of Dify's console, https://dify.example.com")
    email: str = Field("", description="e-mail of an account of the exporter's own")
    password: SecretStr = Field(SecretStr(""), description="its password")
    accounts: list[AccountSettings] = Field(
        default=[], description="accounts of further workspaces, one for each"
    )
    admin_key: SecretStr = Field(
        SecretStr(""), description="Dify's ADMIN_API_KEY instead of an account; it has an owner's power"
    )
    workspaces: list[str] = Field(default=[], description="ids of the workspaces to read with the admin key")
    requests_per_minute: int = Field(
        60, ge=1, le=100_000, description="most requests made in a minute, all workspaces together"
    )
    timeout: Seconds = Field(30.0, description="time to wait for an answer")
    version: str = Field("", description="Dify's version, only where a proxy takes the header X-Version away")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        return bare_address(url, "/console/api")

    @model_validator(mode="after")
    def _complete(self) -> ConsoleSettings:
        if not self.url:
            return self
        if self.version and not _VERSION.match(self.version):
            raise ValueError("version must look like 1.12.1")
        if bool(self.email) != is_set(self.password):
            raise ValueError("email and password go together")
        if is_set(self.admin_key) != bool(self.workspaces):
            raise ValueError(
                "admin_key and workspaces (their ids) go together; of an account its current workspace is read"
            )
        if not (self.logins() or self.workspaces):
            raise ValueError("url needs email and password, or admin_key and workspaces")
        return self

    def logins(self) -> tuple[tuple[str, SecretStr], ...]:
        """E-mail and password of every account."""
        first = [(self.email, self.password)] if self.email else []
        return (*first, *((item.email, item.password) for item in self.accounts))


class AppKeySettings(Section):
    """One app by its Service API key: workflow runs with their totals, nothing of single calls."""

    url: str = Field(description="address of Dify's Service API, https://api.dify.ai/v1")
    key: SecretStr = Field(description="the app's API key, app-…")
    requests_per_minute: int = Field(60, ge=1, le=100_000, description="most requests made in a minute")
    timeout: Seconds = Field(30.0, description="time to wait for an answer")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        return bare_address(url, "/v1")

    @field_validator("key")
    @classmethod
    def _key(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("is no API key of an app")
        return key


def bare_address(url: str, ending: str) -> str:
    """The address without the API's own path; empty stays empty. Raises ValueError for what is no HTTP address."""
    if not url:
        return ""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or fragment")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(ending)}"
