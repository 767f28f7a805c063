"""AWS through boto3, which is an optional extra: clients, and what AWS's refusals mean.

Credentials come from the standard chain (environment, profile, container or instance role) and are never seen here. Of
an error only its code is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from exporter.config import BillSettings, VendorSettings
from exporter.errors import Misconfigured, Unreachable

_DENIED = frozenset({
    "AccessDenied", "AccessDeniedException", "AuthorizationHeaderMalformed", "ExpiredToken", "ExpiredTokenException",
    "Forbidden", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
    "UnrecognizedClientException", "403",
})  # fmt: skip
_MISSING = frozenset({"NoSuchBucket", "ResourceNotFoundException", "PermanentRedirect"})
_KEY_HINT = (
    "give this process AWS credentials (environment, profile or role) that may read what the source is about"
)


def client(service: str, settings: VendorSettings | BillSettings) -> Any:
    """A client of an AWS service in the source's region. Raises Misconfigured, also when boto3 is not installed."""
    try:
        boto3, config = import_module("boto3"), import_module("botocore.config")
    except ImportError:
        raise Misconfigured(
            [f"source {settings.name}: reading from AWS needs boto3, which is not installed"],
            "pip install 'dify-exporter[aws]'",
        ) from None
    with asking(f"AWS {service}"):
        return boto3.session.Session().client(
            service,
            region_name=settings.region,
            endpoint_url=settings.url or None,
            config=config.Config(
                connect_timeout=min(5.0, settings.timeout),
                read_timeout=settings.timeout,
                retries={"total_max_attempts": 2, "mode": "standard"},
                s3={"addressing_style": "path" if settings.url else "auto"},
            ),
        )


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Everything that boto3 raises inside becomes Misconfigured or Unreachable, naming `what`."""
    errors = import_module("botocore.exceptions")
    try:
        yield
    except errors.ClientError as error:
        raise _meaning(what, error_code(error)) from None
    except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError):
        raise Misconfigured([f"{what}: no AWS credentials were found"], _KEY_HINT) from None
    except (errors.ProfileNotFound, errors.InvalidRegionError, ValueError):
        raise Misconfigured([f"{what}: region, url or profile cannot work"], _KEY_HINT) from None
    except errors.BotoCoreError as error:
        raise Unreachable(f"{what} failed: {type(error).__name__}", "it is tried again by itself") from None


def error_code(error: Any) -> str:
    """The code of a ClientError, such as AccessDenied."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _meaning(what: str, code: str) -> Misconfigured | Unreachable:
    if code in _DENIED:
        return Misconfigured([f"{what} refused the credentials ({code})"], _KEY_HINT)
    if code in _MISSING:
        return Misconfigured(
            [f"{what} is not there ({code})"],
            "check bucket or log_group, and region, against Bedrock's settings for model invocation logging",
        )
    return Unreachable(f"{what} failed ({code})", "it is tried again by itself")
