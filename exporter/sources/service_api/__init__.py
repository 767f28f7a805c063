"""The weakest source: single apps by their Service API keys, workflow runs with their totals and nothing of single calls."""

from exporter.sources.service_api.source import open_service_api

__all__ = ["open_service_api"]
