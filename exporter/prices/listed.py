"""Public list prices of the package genai-prices, as entries of the book. Dated, tiered, by time of day, with cached parts.

Only the data inside the package is read: nothing is downloaded, and its updater is never started. It is imported at the
first price that is asked for. Its prices are of texts; those of pictures, sound, searches and storage are left out, and
of the two prices of a cache write the one for five minutes is taken. Prices before the list began (2025) are its oldest.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from exporter.clock import micros
from exporter.prices.entries import BATCH, Entry, Hours, Rates, Special, Tier, Unknown
from exporter.prices.sellers import seller

if TYPE_CHECKING:
    from genai_prices.types import (
        ConditionalPrice,
        ModelInfo,
        ModelPrice,
        Provider,
        StartDateConstraint,
        TieredPrices,
        TimeOfDateConstraint,
    )

    Constraint = StartDateConstraint | TimeOfDateConstraint | None

_SPECIAL = (
    (BATCH, "processing", "batch"),
    ("flex", "service_tier", "flex"),
    ("priority", "service_tier", "priority"),
)
"""Other ways to be served: our name, and the list's word for it."""

_THOUSAND, _MILLION = Decimal(1000), Decimal(1_000_000)


def entries(provider: str | None, model: str) -> tuple[Entry, ...] | Unknown:
    """The model's list prices, the one that wins first, the last one holding always; or why there is none."""
    sold = seller(provider, model)
    if isinstance(sold, Unknown):
        return sold
    from genai_prices import __version__, data_snapshot

    listed_provider, name, remark = sold
    providers = data_snapshot.get_snapshot().providers
    maker = next((item for item in providers if item.id == listed_provider), None)
    info = maker.find_model(name, all_providers=providers) if maker is not None else None
    if maker is None or info is None:
        return Unknown(f"the list of prices has no model {model} of {listed_provider}")
    origin = f"genai-prices {__version__}: {maker.id}/{info.id}"
    return tuple(
        _entry(maker, info, prices, constraint, origin, remark) for prices, constraint in _in_order(info)
    )


def _in_order(info: ModelInfo) -> list[tuple[ModelPrice, Constraint]]:
    """The last one that holds wins in the list; its first one stands where none does."""
    if not isinstance(info.prices, list):
        return [(info.prices, None)]
    conditional: Iterable[ConditionalPrice] = reversed(info.prices)
    return [*((item.prices, item.constraint) for item in conditional), (info.prices[0].prices, None)]


def _entry(
    maker: Provider,
    info: ModelInfo,
    prices: ModelPrice,
    constraint: Constraint,
    origin: str,
    remark: str,
) -> Entry:
    since, hours = _since(constraint), _hours(constraint)
    if since is not None:
        origin += f", from {since:%Y-%m-%d}"
    if hours is not None:
        origin += f", {hours.start:%H:%M}-{hours.end:%H:%M} UTC"
    is_makers_own = any(info is item for item in maker.models)
    return Entry(
        origin=origin + remark,
        currency="USD",
        tiers=_tiers(prices),
        since=None if since is None else micros(since),
        hours=() if hours is None else (hours,),
        special=_special(info, prices) if is_makers_own else (),
    )


def _since(constraint: Constraint) -> datetime | None:
    start = getattr(constraint, "start_date", None)
    return None if start is None else datetime.combine(start, time(), UTC)


def _hours(constraint: Constraint) -> Hours | None:
    start, end = getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)
    if start is None or end is None:
        return None
    return Hours(_utc(start), _utc(end), UTC)


def _utc(moment: time) -> time:
    if moment.tzinfo is None:
        return moment
    return datetime.combine(datetime(1970, 1, 2), moment).astimezone(UTC).time()


def _special(info: ModelInfo, standard: ModelPrice) -> tuple[Special, ...]:
    """The rates of other ways to be served: those that a variant states, and the standard ones for the rest."""
    from genai_prices.types import ModelPrice

    found = []
    for variant in info.price_variants or ():
        name = next((own for own, *when in _SPECIAL if variant.when == dict([when])), None)
        stated = {rate: price for rate, price in vars(variant.prices).items() if price is not None}
        if name is None or not stated or _hours(variant.constraint) is not None:
            continue
        since = _since(variant.constraint)
        tiers = _tiers(ModelPrice(**{**vars(standard), **stated}))
        found.append(Special(name, tiers, None if since is None else micros(since)))
    return tuple(found)


def _tiers(prices: ModelPrice) -> tuple[Tier, ...]:
    stated: dict[str, Decimal | TieredPrices | None] = dict(vars(prices))
    starts = {tier.start for price in stated.values() for tier in getattr(price, "tiers", ())}
    return tuple(Tier(above, _rates(stated, above)) for above in sorted({0, *starts}, reverse=True))


def _rates(stated: dict[str, Decimal | TieredPrices | None], above: int) -> Rates:
    def rate(name: str) -> Decimal | None:
        price = stated.get(name)
        if price is None or isinstance(price, Decimal):
            return price
        reached = [tier.price for tier in price.tiers if tier.start <= above and above > 0]
        return reached[-1] if reached else price.base

    requests, characters = rate("requests_kcount"), rate("input_mchars")
    return Rates(
        input=rate("input_mtok"),
        output=rate("output_mtok"),
        cache_read=rate("cache_read_mtok"),
        cache_write=rate("cache_write_mtok"),
        reasoning=rate("output_reasoning_mtok"),
        request=None if requests is None else requests / _THOUSAND,
        character=None if characters is None else characters / _MILLION,
    )
