"""The recorder's log: a line that cannot be written (a full disk under the log file) is lost, and nothing else fails."""

from __future__ import annotations

import contextlib

import structlog


def info(event: str, **facts: object) -> None:
    """Start, stop, and what is good to know."""
    with contextlib.suppress(OSError):
        structlog.get_logger().info(event, **facts)


def warning(event: str, **facts: object) -> None:
    """What a person may want to look at."""
    with contextlib.suppress(OSError):
        structlog.get_logger().warning(event, **facts)


def error(event: str, **facts: object) -> None:
    """What a person must act on."""
    with contextlib.suppress(OSError):
        structlog.get_logger().error(event, **facts)
