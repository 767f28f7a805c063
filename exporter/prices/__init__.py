"""What models cost. The book of the settings is put in force once, at start; before that nothing has a price."""

from __future__ import annotations

from exporter.config.prices import PriceSettings
from exporter.prices.book import PriceBook, price_book


def use(settings: PriceSettings) -> None:
    """Put the prices of the settings in force for the whole process; they do not change while it runs."""
    global _in_force
    _in_force = price_book(settings)


def in_force() -> PriceBook:
    """The book that `use` made last; an empty one at first."""
    return _in_force


_in_force = PriceBook()
