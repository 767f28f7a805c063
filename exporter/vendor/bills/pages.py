"""Answers of usage and cost reports: pages followed to their end, and their rows made buckets, bad ones set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from exporter.destinations.http import Http, shown_address
from exporter.errors import Unreachable
from exporter.vendor.bills.stretches import Read
from exporter.vendor.pullers.answers import ask, read_json
from exporter.vendor.pullers.base import Bucket, Refused

Answer = Mapping[str, Any]
Row = tuple[Answer, Answer]
"""A stretch as the vendor wrote it, and one result in it."""

Bucketed = Callable[[Answer, Answer], Bucket | None]
"""What a row comes to; None: it tells nothing. Raises ValueError for a bad one."""

Asked = Sequence[tuple[str, str | int]]
_MOST_PAGES = 10_000


def pages(http: Http, url: str, asked: Asked, key_hint: str) -> Iterator[Answer]:
    """Every page of GET `url`, whose answers name `next_page`, which is asked for as `page`. Raises as `ask`."""
    page: str | None = None
    for _ in range(_MOST_PAGES):
        query = urlencode([*asked, *([("page", page)] if page else [])])
        answer = read_json(ask(http, f"{url}?{query}", {}, key_hint), url)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
            raise unknown_form(url)
        yield answer
        following = answer.get("next_page")
        if not answer.get("has_more") or not following:
            return
        if following == page:
            break
        page = str(following)
    raise Unreachable(f"{shown_address(url)} gives the same page again and again")


def unknown_form(url: str) -> Unreachable:
    """The answer is JSON, but not what the service documents."""
    return Unreachable(
        f"{shown_address(url)} gave an answer in an unknown form",
        "check that url is the address of the vendor's API",
    )


def in_stretches(answer: Answer, url: str) -> Iterator[Row]:
    """Each row of `data[].results[]` with the stretch that it stands in. Raises Unreachable for another form."""
    for stretch in answer["data"]:
        if not isinstance(stretch, Mapping) or not isinstance(stretch.get("results"), list):
            raise unknown_form(url)
        for result in stretch["results"]:
            yield stretch, result


@dataclass(slots=True)
class Taken:
    """What the rows of a span came to. `place` names the span in refusals."""

    place: str
    buckets: list[Bucket] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    _rows: int = 0

    def take(self, rows: Iterable[Row], bucket: Bucketed) -> None:
        """Each row as a bucket, or refused."""
        for stretch, result in rows:
            self._rows += 1
            try:
                if not isinstance(result, Mapping):
                    raise ValueError("the row is not an object")
                found = bucket(stretch, result)
            except ValueError as problem:
                self.refused.append(Refused(f"{self.place} row {self._rows}", str(problem)))
                continue
            if found is not None:
                self.buckets.append(found)

    def read(self) -> Read:
        """A span with bad rows was not told whole: what stood there before may stand in them."""
        return Read(tuple(self.buckets), tuple(self.refused), is_whole=not self.refused)
