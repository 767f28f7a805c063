"""The settings: one typed tree that file, environment and flags map onto, validated whole, with the origin of every value."""

from exporter.config.loading import DEFAULT_FILE, PREFIX, Loaded, leaves, load
from exporter.config.tree import (
    CompareSettings,
    ContentSettings,
    DatabaseSettings,
    DestinationSettings,
    DifySettings,
    Filter,
    IntakeSettings,
    LogSettings,
    ModelSettings,
    Settings,
    StateSettings,
    VendorSettings,
    WebSettings,
)
from exporter.config.values import masked_url, parse_time

__all__ = [
    "DEFAULT_FILE",
    "PREFIX",
    "CompareSettings",
    "ContentSettings",
    "DatabaseSettings",
    "DestinationSettings",
    "DifySettings",
    "Filter",
    "IntakeSettings",
    "Loaded",
    "LogSettings",
    "ModelSettings",
    "Settings",
    "StateSettings",
    "VendorSettings",
    "WebSettings",
    "leaves",
    "load",
    "masked_url",
    "parse_time",
]
