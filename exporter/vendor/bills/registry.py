"""From settings to pullers: the only place that knows every kind of bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from exporter.config.bills import BillSettings
from exporter.vendor.bills import alibaba, anthropic, azure, bedrock, google, openai, tencent, volcengine
from exporter.vendor.bills.files import FilePuller
from exporter.vendor.pullers.base import Puller
from exporter.vendor.pullers.openrouter import ActivityPuller


def build(settings: Sequence[BillSettings]) -> list[Puller]:
    """A puller per entry, in the order of the settings. Connects to nothing. Raises Misconfigured."""
    return [_BUILDERS[entry.kind](entry) for entry in settings]


_BUILDERS: Mapping[str, Callable[[BillSettings], Puller]] = {
    "openai": openai.puller,
    "anthropic": anthropic.puller,
    "azure": azure.puller,
    "bedrock": bedrock.puller,
    "tencent": tencent.puller,
    "alibaba": alibaba.puller,
    "google": google.puller,
    "volcengine": volcengine.puller,
    "openrouter": ActivityPuller,
    "file": FilePuller,
}
