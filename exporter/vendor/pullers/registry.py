"""From settings to pullers: the only place that knows every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from exporter.config import VendorSettings
from exporter.vendor.adapters import ADAPTERS
from exporter.vendor.pullers import bedrock, cloudwatch, litellm, newapi
from exporter.vendor.pullers.base import Puller
from exporter.vendor.pullers.openrouter import ActivityPuller
from exporter.vendor.pullers.tail import FilePuller


def build(settings: Sequence[VendorSettings]) -> list[Puller]:
    """A puller per source that we fetch from, in the order of the settings; sources that push have none.

    Connects to nothing. Raises Misconfigured for a key that HTTP cannot carry.
    """
    return [_BUILDERS[source.kind](source) for source in settings if source.kind in _BUILDERS]


def _bedrock(settings: VendorSettings) -> Puller:
    if settings.bucket:
        return bedrock.BucketPuller(settings, ADAPTERS["bedrock"])
    return cloudwatch.puller(settings, ADAPTERS["bedrock"])


_BUILDERS: Mapping[str, Callable[[VendorSettings], Puller]] = {
    "file": FilePuller,
    "litellm": lambda settings: litellm.puller(settings, ADAPTERS["litellm"]),
    "new-api": lambda settings: newapi.puller(settings, ADAPTERS["new-api"]),
    "openrouter": ActivityPuller,
    "bedrock": _bedrock,
}
