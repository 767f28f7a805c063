"""What the book says of a call's readings: of Dify's and our own tokens, and of every vendor request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from exporter.compare.currencies import one_name
from exporter.model import Call, LocalReading, Micros, Money, Tokens
from exporter.prices.book import Names, PriceBook
from exporter.prices.entries import Priced, Unknown
from exporter.vendor.record import VendorCall

_NOTHING = Tokens(input=0, output=0)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one vendor request cost: `own` as its evidence says, `listed` as the book says. Not `is_billed`: refused, or
    answered by a gateway's cache."""

    own: Money | None
    listed: Priced | Unknown
    is_billed: bool = True

    @property
    def money(self) -> Money | None:
        """The evidence's amount, else the book's."""
        if self.own is not None:
            return self.own
        return self.listed.money if isinstance(self.listed, Priced) else None


@dataclass(frozen=True, slots=True)
class Costs:
    """The book's side of one call: its vendor requests' charges in their order, and by which names the model that Dify
    asked and the one that was billed last are looked up, at which moment. `tokens` are those of the request billed last."""

    book: PriceBook
    asked: Names
    served: Names
    at: Micros
    charges: tuple[Charge, ...] = ()
    tokens: Tokens | None = None


def costs(book: PriceBook, call: Call, requests: Sequence[VendorCall], charges: Sequence[Charge]) -> Costs:
    """The Costs of a call and the requests that are its own; both orders are the same."""
    asked = names_of_call(call)
    billed = [request for request, charge in zip(requests, charges, strict=True) if charge.is_billed]
    last = billed[-1] if billed else None
    return Costs(
        book,
        asked,
        served=names_of_request(last, call) if last is not None else asked,
        at=last.start if last is not None else call.started_at,
        charges=tuple(charges),
        tokens=last.tokens if last is not None else None,
    )


def names_of_call(call: Call) -> Names:
    """The model that Dify asked for."""
    return _names(call.provider, call.model, None, None, None)


def names_of_request(request: VendorCall, call: Call | None = None) -> Names:
    """The model that answered, as the evidence names it, then as Dify does."""
    of_call = (None, None) if call is None else (call.provider, call.model)
    return _names(*of_call, request.provider, request.response_model, request.model)


@lru_cache(maxsize=4096)
def _names(
    provider: str | None, model: str | None, seller: str | None, answered: str | None, asked: str | None
) -> Names:
    """The names of Dify's call and of the vendor's record, the best first: the vendor's seller and its models, these models
    under Dify's provider, Dify's own."""
    models = [name for name in (answered, asked) if name]
    providers: list[str | None] = [name for name in (seller, provider) if name]
    found = [(name, of) for name in providers or [None] for of in models]
    return tuple(dict.fromkeys((*found, *([(provider, model)] if model else ()))))


def charge(book: PriceBook, request: VendorCall, billed: Tokens | None, call: Call | None = None) -> Charge:
    """What a billed request cost. `billed` are its tokens, None where nobody counted them."""
    if billed is None:
        return Charge(request.cost, Unknown("the tokens are not known"))
    return Charge(request.cost, book.price(names_of_request(request, call), request.start, billed))


def free(book: PriceBook, request: VendorCall, call: Call | None = None) -> Charge:
    """The charge of a request that the vendor was not paid for: 0 of the book's currency, or what the evidence says."""
    names = names_of_request(request, call)
    listed = book.price(names, request.start, _NOTHING, requests=0, characters=0)
    return Charge(request.cost, listed, is_billed=False)


def total(charges: Sequence[Charge]) -> Money | None:
    """The sum; None when a billed request has no amount, when none has, or when currencies differ. The origin names the
    book's entries where the book made a part of it."""
    if len(charges) == 1:
        return charges[0].money
    known = [(item, money) for item in charges if (money := item.money) is not None]
    missing = any(item.is_billed and item.money is None for item in charges)
    if not known or missing or len({one_name(money.currency) for _, money in known}) > 1:
        return None
    origins = list(dict.fromkeys(money.origin for item, money in known if item.own is None and money.origin))
    if origins and any(item.own is not None for item, _ in known):
        origins.insert(0, "as charged")
    amounts = [money.amount for _, money in known]
    return Money(sum(amounts[1:], start=amounts[0]), known[0][1].currency, "; ".join(origins) or None)


def with_cost(book: PriceBook, local: LocalReading | None, call: Call) -> LocalReading | None:
    """Our own count with what the book says it costs; as it is where the book knows no price. A recount knows of no
    cached tokens, so all of its input is at the full price."""
    if local is None or book.is_empty:
        return local
    priced = book.price(names_of_call(call), call.started_at, local.tokens)
    return local if isinstance(priced, Unknown) else replace(local, cost=priced.money)
