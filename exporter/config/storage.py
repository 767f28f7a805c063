"""Where Dify keeps the values that are too long for its database: a mounted folder, or a bucket."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator

from exporter.config.section import Section, is_set
from exporter.config.values import ByteSize, Seconds


class BucketSettings(Section):
    """A bucket on AWS or any S3-compatible store; only ever read."""

    bucket: str = Field("", description="Dify's S3_BUCKET_NAME")
    endpoint: str = Field("", description="address of an S3-compatible store; empty for AWS")
    region: str = Field("", description="the bucket's region; empty where the store has none")
    access_key: str = Field("", description="access key; empty for AWS's usual chain")
    secret_key: SecretStr = Field(SecretStr(""), description="its secret")

    @field_validator("endpoint")
    @classmethod
    def _address(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url

    @model_validator(mode="after")
    def _complete(self) -> BucketSettings:
        if bool(self.access_key) != is_set(self.secret_key):
            raise ValueError("access_key and secret_key go together")
        if not self.bucket and (self.endpoint or self.access_key):
            raise ValueError("bucket is required")
        return self


class StorageSettings(Section):
    """Dify's object storage; without it long values stay cut."""

    path: Path | None = Field(None, description="Dify's storage folder, mounted read-only")
    s3: BucketSettings = BucketSettings()  # type: ignore[call-arg]
    timeout: Seconds = Field(10.0, description="time to wait for the store's answer")
    max_bytes: ByteSize = Field(16 * 2**20, description="a value larger than this stays cut")
