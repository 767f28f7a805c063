"""Dify exporter: Dify's traces with three token readings on every model call, sent where the team already looks."""

__version__ = "0.1.0"
