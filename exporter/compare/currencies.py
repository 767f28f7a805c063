"""One name for each currency, because Dify's plugins and vendors name the renminbi differently."""

from __future__ import annotations

from functools import lru_cache

_OTHER_NAMES = {"RMB": "CNY", "CNH": "CNY", "YUAN": "CNY", "¥": "CNY", "$": "USD"}


@lru_cache(maxsize=256)
def one_name(currency: str) -> str:
    """The ISO code where the name is another one of the same currency."""
    name = currency.strip().upper()
    return _OTHER_NAMES.get(name, name)
