"""A courier that is killed between a platform's acknowledgement and its own note of it:
`python -m tests.destinations.killed_courier STORE SETTINGS DESTINATION`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from exporter import config
from exporter.destinations import registry
from exporter.destinations.delivery import Courier
from exporter.state.store import Store
from tests.spans.assessed_traces import START


def main(path: str, settings_json: str, name: str) -> None:
    """Send once and die with the answer in hand."""

    def boundary(crossed: str) -> None:
        if crossed == "before answered":
            os.kill(os.getpid(), signal.SIGKILL)

    settings = config.load(Path(os.devnull), {}, {"destinations": [json.loads(settings_json)]}).settings
    destination = next(item for item in registry.build(settings) if item.name == name)
    Courier(
        Store(Path(path), boundary), destination, registry.delivery_settings(settings)[name], lambda: START
    ).step()


if __name__ == "__main__":
    main(*sys.argv[1:])
