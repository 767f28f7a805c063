"""The measured exporter: `run --once` from a database to the sink, with an empty state file."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench._common import exporter_flags
from bench._measured import measured


def main() -> None:
    """Export everything once. Fails when anything is left over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core", type=int)
    parser.add_argument("url")
    parser.add_argument("kind")
    parser.add_argument("sink")
    given = parser.parse_args()

    import psycopg  # noqa: F401 - what the exporter would import when the clock runs
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    from exporter import config
    from exporter.daemon import App
    from exporter.local.vocabulary import count
    from exporter.sources import database  # noqa: F401

    count("o200k_base", "loaded")
    with tempfile.TemporaryDirectory(prefix="dify-exporter-bench-") as folder:
        flags = exporter_flags(given.url, Path(folder) / "state.db", given.kind, given.sink)
        settings = config.load(Path(os.devnull), {}, flags).settings

        def work() -> tuple[int, dict[str, float]]:
            with App(settings) as app:
                report = app.run_once()
                if report.problems or report.waiting or report.dead or report.set_aside:
                    raise RuntimeError(f"not everything was exported: {report}")
                with app.store.read() as connection:
                    spans = connection.execute("SELECT sum(spans) FROM deliveries").fetchone()[0]
            return int(spans), {}

        measured(given.core, work)


if __name__ == "__main__":
    main()
