"""Logs: one structured line per event on standard error; JSON for machines, colours for people at a terminal.

Never secrets, never prompt text: what is logged is counts, durations, names and ids.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

import structlog

from exporter.config import LogSettings


def configure(settings: LogSettings) -> None:
    """Set level and form for the whole process."""
    level = getattr(logging, settings.level.upper())
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    for noisy in ("apscheduler", "urllib3", "uvicorn", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_Unfailing()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


class _Unfailing:
    """Standard error as a file that never raises: a log on a full disk must not break the work that it tells of."""

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        with suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what was not."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()
