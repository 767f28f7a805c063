"""The operator's own prices and exchange rates, from the settings to the book's entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from exporter.clock import micros
from exporter.compare.currencies import one_name
from exporter.config.prices import ExchangeRate, PriceEntry, PriceSettings
from exporter.model import Micros
from exporter.prices.entries import BATCH, Entry, Hours, Rates, Special, Tier
from exporter.prices.exchange import Exchange, Rate


@dataclass(frozen=True, slots=True)
class Own:
    """An entry of the operator's with the names that it is for."""

    provider: str
    model: str
    entry: Entry

    def is_for(self, provider: str | None, model: str) -> bool:
        """Whether the patterns fit the names; capitals do not matter, nor how Dify's plugins are nested."""
        name = (provider or "").strip().lower()
        return fnmatchcase(model.strip().lower(), self.model) and (
            fnmatchcase(name, self.provider) or fnmatchcase(name.rpartition("/")[2], self.provider)
        )


def own_prices(settings: PriceSettings) -> tuple[Own, ...]:
    """The entries of the settings, then those of the price file, in their order."""
    file = settings.file.name if settings.file is not None else ""
    return (
        *_entries(settings.entries, "prices.entries"),
        *_entries(settings.of_file.entries, f"{file}: entries"),
    )


def own_exchange(settings: PriceSettings) -> Exchange:
    """The exchange rates of the settings and of the price file."""
    return Exchange(_rate(item) for item in (*settings.rates, *settings.of_file.rates))


def schedule(entries: Iterable[Own], provider: str | None, model: str) -> Iterator[Entry]:
    """The entries for a model, the one that wins first: by the first pattern that fits; of one pattern the newest price,
    and of one day that of certain hours."""
    fitting = [own for own in entries if own.is_for(provider, model)]
    for pattern in dict.fromkeys((own.provider, own.model) for own in fitting):
        same = [own.entry for own in fitting if (own.provider, own.model) == pattern]
        yield from sorted(same, key=lambda entry: (-(entry.since or 0), not entry.hours))


def _entries(items: Iterable[PriceEntry], where: str) -> Iterator[Own]:
    for number, item in enumerate(items):
        yield Own(item.provider.lower(), item.model.lower(), _entry(item, f"operator: {where}[{number}]"))


def _entry(item: PriceEntry, origin: str) -> Entry:
    zone = ZoneInfo(item.time_zone)
    tiers = _tiers(item)
    return Entry(
        origin=origin,
        currency=item.currency,
        tiers=tiers,
        since=_since(item.since),
        hours=tuple(Hours(start, end, zone) for start, end in item.hours),
        special=() if item.batch_factor is None else (_batch(tiers, item.batch_factor),),
    )


def _batch(tiers: tuple[Tier, ...], factor: Decimal) -> Special:
    return Special(BATCH, tuple(Tier(tier.above, tier.rates.times(factor)) for tier in tiers))


def _tiers(item: PriceEntry) -> tuple[Tier, ...]:
    lowest = Rates(
        item.input, item.output, item.cached_input, item.cache_write, item.reasoning, item.per_request, item.per_character
    )  # fmt: skip
    found = [Tier(0, lowest)]
    for tier in sorted(item.tiers, key=lambda tier: tier.above):
        stated = {
            "input": tier.input,
            "output": tier.output,
            "cache_read": tier.cached_input,
            "cache_write": tier.cache_write,
            "reasoning": tier.reasoning,
        }
        known = {name: rate for name, rate in stated.items() if rate is not None}
        found.append(Tier(tier.above, replace(lowest, **known)))
    return tuple(reversed(found))


def _rate(item: ExchangeRate) -> Rate:
    day = f" of {item.date:%Y-%m-%d}" if item.date is not None else ""
    words = f"{item.rate} {item.currency} per {item.per}{day}"
    return Rate(one_name(item.currency), one_name(item.per), item.rate, _since(item.date), words)


def _since(moment: datetime | None) -> Micros | None:
    return None if moment is None else micros(moment)
