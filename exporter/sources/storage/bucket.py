"""Dify's storage as a bucket of AWS or an S3-compatible store, through boto3, which is the optional extra `aws`.

Only GetObject is asked. Of an error only its code is repeated; no key, secret or content.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from exporter.config import BucketSettings, StorageSettings
from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable
from exporter.sources.storage.store import NoValue, checked_key, too_large

_GONE = frozenset({"NoSuchKey", "404"})
_REFUSED = frozenset({
    "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken", "Forbidden", "InvalidAccessKeyId",
    "InvalidToken", "NoSuchBucket", "PermanentRedirect", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "403",
})  # fmt: skip
_HINT = (
    "check bucket, region and keys in dify.storage.s3 against Dify's S3_* settings; the keys need s3:GetObject and"
    " s3:ListBucket (without the latter a value that is gone looks like one that is refused)"
)
_LONGEST_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A `Store`."""

    client: Any
    name: str
    most_bytes: int

    @property
    def where(self) -> str:
        """The bucket."""
        return f"bucket {self.name}"

    def read(self, key: str) -> bytes:
        """A whole object."""
        errors, transport = import_module("botocore.exceptions"), import_module("urllib3.exceptions")
        try:
            answer = self.client.get_object(Bucket=self.name, Key=checked_key(key))
            with answer["Body"] as body:
                if answer["ContentLength"] > self.most_bytes:
                    raise too_large(self.most_bytes)
                data: bytes = body.read()
        except errors.ClientError as error:
            raise self._meaning(str(error.response.get("Error", {}).get("Code", "unknown"))) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError):
            raise SourceRefused(f"{self._doing}: no AWS credentials were found", _HINT) from None
        except (errors.BotoCoreError, transport.HTTPError, OSError) as error:
            raise Unreachable(
                f"{self._doing} failed: {type(error).__name__}", "it is tried again by itself"
            ) from None
        return data

    @property
    def _doing(self) -> str:
        return f"reading a long value of Dify's from bucket {self.name}"

    def _meaning(self, code: str) -> ExporterError | NoValue:
        if code in _GONE:
            return NoValue("it is not in Dify's storage any more")
        if code in _REFUSED:
            return SourceRefused(f"{self._doing} was refused ({code})", _HINT)
        return Unreachable(f"{self._doing} failed ({code})", "it is tried again by itself")


def open_bucket(settings: BucketSettings, storage: StorageSettings) -> Bucket:
    """The bucket, not yet asked. Raises `Misconfigured`, also when boto3 is not installed."""
    try:
        boto3, config = import_module("boto3"), import_module("botocore.config")
        errors = import_module("botocore.exceptions")
    except ImportError:
        raise Misconfigured(
            ["dify.storage.s3 needs boto3, which is not installed"], "pip install 'dify-exporter[aws]'"
        ) from None
    try:
        client = boto3.session.Session().client(
            "s3",
            region_name=settings.region or ("us-east-1" if settings.endpoint else None),
            endpoint_url=settings.endpoint or None,
            aws_access_key_id=settings.access_key or None,
            aws_secret_access_key=settings.secret_key.get_secret_value() or None,
            config=config.Config(
                connect_timeout=min(_LONGEST_CONNECT_SECONDS, storage.timeout),
                read_timeout=storage.timeout,
                retries={"total_max_attempts": 2, "mode": "standard"},
                s3={"addressing_style": "path" if settings.endpoint else "auto"},
                response_checksum_validation="when_required",
            ),
        )
    except (errors.BotoCoreError, ValueError) as error:
        raise Misconfigured(
            [f"dify.storage.s3: endpoint, region or profile cannot work ({type(error).__name__})"], _HINT
        ) from None
    return Bucket(client, settings.bucket, storage.max_bytes)
