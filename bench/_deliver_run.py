"""The measured delivery: everything is read into the queue first, then the clock runs until one destination has it all.

The daemon's own schedule delivers, so whatever else is configured works beside it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import orjson

from bench._measured import measured

_LOOK_SECONDS = 0.05
_STOP_SECONDS = 10.0


def main() -> None:
    """Deliver to the first of the destinations. Fails when anything of its is set aside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core", type=int)
    parser.add_argument("url")
    parser.add_argument("destinations", help="JSON list of settings")
    given = parser.parse_args()

    from exporter import config
    from exporter.daemon import App
    from exporter.schedule import Schedule
    from exporter.state import health, outbox

    with tempfile.TemporaryDirectory(prefix="dify-exporter-bench-") as folder:
        wanted = {
            "dify.database.url": given.url,
            "state.path": str(Path(folder) / "state.db"),
            "log.level": "error",
            "destinations": orjson.loads(given.destinations),
        }
        settings = config.load(Path(os.devnull), {}, wanted).settings
        measured_name = settings.destinations[0].name
        with App(settings) as app:
            app.poll(hurry=True)
            with app.store.read() as connection:
                traces = outbox.backlogs(connection)[measured_name].ready
            schedule = Schedule(app)

            def work() -> tuple[int, dict[str, float]]:
                schedule.start()
                while True:
                    with app.store.read() as connection:
                        done = health.deliveries(connection)[measured_name]
                    if done.traces == traces:
                        return done.spans, {"requests": done.requests}
                    if done.refused or done.failures:
                        raise RuntimeError(f"not everything was taken: {done.failure}")
                    time.sleep(_LOOK_SECONDS)

            measured(given.core, work)
            schedule.stop(_STOP_SECONDS)


if __name__ == "__main__":
    main()
