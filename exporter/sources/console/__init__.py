"""The source that reads Dify through its Console API, for those who have no role on its database."""

from exporter.sources.console.source import open_console

__all__ = ["open_console"]
