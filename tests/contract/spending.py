"""What vendors' accounts were used for, request by request, and the sums that each vendor's twin makes of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.contract.litellm_twin import SECRET
from tests.contract.twin_server import Refused, Request, Response, Twin

EXPIRED_KEY = "expired-twin-key"


@dataclass(frozen=True)
class Spent:
    """One billed request. `input` includes `cached` and `written`; `cents` is what it cost."""

    at: int
    model: str = "gpt-5-mini-2025-08-07"
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    key: str | None = "key_dify"
    place: str | None = "proj_dify"  # project, workspace or region
    endpoint: str = "completions"
    is_batch: bool = False
    cents: Decimal = Decimal(0)


def grouped(
    spent: Iterable[Spent], group: Callable[[Spent], tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], list[Spent]]]:
    """The requests of each group, in the order of the groups' names."""
    found: dict[tuple[Any, ...], list[Spent]] = {}
    for item in spent:
        found.setdefault(group(item), []).append(item)
    yield from sorted(found.items(), key=lambda pair: str(pair[0]))


class SpendingTwin(Twin):
    """A vendor's account. `page_size`: the most that a page holds, whatever is asked for."""

    def __init__(self, spent: Iterable[Spent] = (), *, page_size: int = 10**6) -> None:
        super().__init__()
        self.spent = list(spent)
        self.page_size = page_size
        self.asked: list[Request] = []

    def held(self) -> dict[str, Any]:
        """How many requests."""
        return {"spent": len(self.spent)}

    def answer(self, request: Request) -> Response:
        """One request, faults first."""
        with self.lock:
            self.requests += 1
            self.asked.append(request)
            if self._use("throttle"):
                raise Refused(429, SECRET, {"Retry-After": self.faults.retry_after})
            if self._use("fail"):
                raise Refused(502, SECRET)
            return self.report(request)

    @abstractmethod
    def report(self, request: Request) -> Response:
        """What the account's report says."""

    def between(self, since: int, until: int) -> list[Spent]:
        """The requests of a stretch."""
        return [item for item in self.spent if since <= item.at < until]
