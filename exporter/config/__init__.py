"""The settings: one typed tree that file, environment and flags map onto, validated whole, with the origin of every value."""

from exporter.config.bills import BillSettings
from exporter.config.console import AccountSettings, AppKeySettings, ConsoleSettings
from exporter.config.content import ContentSettings
from exporter.config.destinations import DestinationSettings
from exporter.config.evidence import IntakeSettings, VendorSettings
from exporter.config.loading import DEFAULT_FILE, PREFIX, Loaded, leaves, load
from exporter.config.metrics import MetricsSettings, OtlpMetricsSettings
from exporter.config.models import ModelSettings
from exporter.config.prices import ExchangeRate, PriceEntry, PriceSettings
from exporter.config.report import ReportSettings, ScheduleSettings, ScopeSettings
from exporter.config.storage import BucketSettings, StorageSettings
from exporter.config.tree import (
    CompareSettings,
    DatabaseSettings,
    DifySettings,
    Filter,
    LogSettings,
    Settings,
    StateSettings,
    WebSettings,
)
from exporter.config.values import masked_url, parse_time, time_zone

__all__ = [
    "DEFAULT_FILE",
    "PREFIX",
    "AccountSettings",
    "AppKeySettings",
    "BillSettings",
    "BucketSettings",
    "CompareSettings",
    "ConsoleSettings",
    "ContentSettings",
    "DatabaseSettings",
    "DestinationSettings",
    "DifySettings",
    "ExchangeRate",
    "Filter",
    "IntakeSettings",
    "Loaded",
    "LogSettings",
    "MetricsSettings",
    "ModelSettings",
    "OtlpMetricsSettings",
    "PriceEntry",
    "PriceSettings",
    "ReportSettings",
    "ScheduleSettings",
    "ScopeSettings",
    "Settings",
    "StateSettings",
    "StorageSettings",
    "VendorSettings",
    "WebSettings",
    "leaves",
    "load",
    "masked_url",
    "parse_time",
    "time_zone",
]
