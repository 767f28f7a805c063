"""`check`: every connection and setting tested, each with what was seen and how to mend it. Leaves no trace behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from exporter.config import BillSettings, Settings, VendorSettings
from exporter.destinations import registry
from exporter.destinations.base import Checked, Destination, Home, Homes
from exporter.errors import ExporterError, Unreachable
from exporter.existing_check import checked
from exporter.problems import PLATFORMS
from exporter.sources import choice
from exporter.sources.tracing import Tracing
from exporter.state.store import Store
from exporter.vendor.bills import registry as bills
from exporter.vendor.pullers import registry as pullers
from exporter.vendor.pullers.base import Puller


@dataclass(frozen=True, slots=True)
class Result:
    """One line. `unreachable` tells a failed connection from a wrong setting (exit code 3 or 1)."""

    name: str
    ok: bool
    seen: str
    hint: str | None
    unreachable: bool


def check_all(settings: Settings) -> Iterator[Result]:
    """Source, vendor files, destinations, state, in that order."""
    can_read = True
    for item in choice.check_chosen(settings):
        can_read = can_read and item.ok
        yield _result(item, unreachable=True)
    for source in settings.vendor:
        yield _vendor(source)
    for entry in settings.bills:
        yield _bill(entry)
    destinations = registry.build(settings)
    for destination in destinations:
        for item in destination.check():
            yield _result(item, unreachable=True)
    if not destinations:
        yield Result(
            "destinations", True, "none: readings go to the local page, metrics and ledger only",
            "set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, LANGSMITH_API_KEY, or OTEL_EXPORTER_OTLP_ENDPOINT", False,
        )  # fmt: skip
    if can_read:
        yield from _existing(settings, destinations)
    yield _state(settings)


def _existing(settings: Settings, destinations: Sequence[Destination]) -> Iterator[Result]:
    """Whether Dify's own tracing writes the same traces."""
    by_name = {item.name: item for item in destinations}
    entries = [item for item in settings.destinations if item.kind in PLATFORMS]
    found = choice.ask_tracing(settings) if entries else Tracing()
    for entry in entries:
        destination = by_name[entry.name]
        home = destination.home() if found.at(entry.kind) and isinstance(destination, Homes) else Home()
        for item in checked(entry, settings.dify.name, found, home):
            yield _result(item, unreachable=False)


def _result(item: Checked, *, unreachable: bool) -> Result:
    return Result(item.name, item.ok, item.seen, item.hint, unreachable and not item.ok)


def _vendor(source: VendorSettings) -> Result:
    name = f"vendor {source.name}"
    if source.kind == "push":
        return Result(name, True, "waits for records that others push", None, False)
    return _fetched(name, lambda: pullers.build([source]))


def _bill(entry: BillSettings) -> Result:
    return _fetched(f"bills {entry.name}", lambda: bills.build([entry]))


def _fetched(name: str, build: Callable[[], list[Puller]]) -> Result:
    """Whether a place that we fetch from can be read."""
    try:
        (puller,) = build()
    except ExporterError as error:
        return Result(name, False, str(error), error.hint, False)
    try:
        return Result(name, True, puller.check(), None, False)
    except ExporterError as error:
        return Result(name, False, str(error), error.hint, isinstance(error, Unreachable))
    finally:
        puller.close()


def _state(settings: Settings) -> Result:
    """Opened as `run` would, unless a daemon holds it: then it plainly works."""
    is_new = not settings.state.path.exists()
    try:
        store = Store(settings.state.path)
    except ExporterError as error:
        return Result("state", False, str(error), error.hint, False)
    busy = store.is_locked_elsewhere()
    store.close()
    if is_new:
        for suffix in ("", "-wal", "-shm"):
            settings.state.path.with_name(settings.state.path.name + suffix).unlink(missing_ok=True)
    seen = "a daemon is running on it" if busy else "new" if is_new else "usable"
    return Result("state", True, f"{settings.state.path}: {seen}", None, False)
