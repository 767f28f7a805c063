"""Bedrock's model invocation log in S3: gzip'ed JSON Lines under
`AWSLogs/<account>/BedrockModelInvocationLogs/<region>/yyyy/mm/dd/hh/`.

Names sort by hour, so a pull goes on behind the last name it read; each cycle begins some hours back, because objects
appear late, and leaves out those it has read. Bodies that Bedrock puts into objects of their own (`data/`) are not
fetched: their requests are matched without texts.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from exporter.config import VendorSettings
from exporter.errors import Unreachable
from exporter.model import Micros
from exporter.vendor.adapters import Adapter
from exporter.vendor.pullers.aws import asking, client
from exporter.vendor.pullers.base import Pulled, Refused, Traits
from exporter.vendor.pullers.files import MAX_LINE_BYTES, skip_line
from exporter.vendor.pullers.rows import Found, loads
from exporter.vendor.pullers.seen import Seen

TRAITS = Traits(delay_seconds=600.0, reread_seconds=7_200.0, includes_cached=False, has_texts=True)
"""Bedrock delivers within minutes and counts cached tokens apart from its input."""

LIMIT = 5_000
_MOST_OBJECTS = 500
_LOG = "BedrockModelInvocationLogs"


@dataclass(frozen=True, slots=True)
class _Place:
    """`since`: the hour (yyyy/mm/dd/hh, empty: all) where the cycle begins; `next`: where the one after it does. Of the
    cycle under way: the account and the last name passed in it; of an object too large for one pull, the lines read."""

    since: str
    next: str | None = None
    account: str = ""
    after: str = ""
    partial: str = ""
    lines: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))


class BucketPuller:
    """A Puller over one bucket."""

    def __init__(self, settings: VendorSettings, adapter: Adapter) -> None:
        self._settings, self._adapter = settings, adapter
        self._what = f"S3 bucket {settings.bucket}"
        self._root = f"{settings.prefix.strip('/')}/AWSLogs/".removeprefix("/")
        self._seen = Seen()
        self._client: Any = None

    @property
    def name(self) -> str:
        """The source's name."""
        return self._settings.name

    @property
    def traits(self) -> Traits:
        """What the source declares."""
        return TRAITS

    @property
    def every_seconds(self) -> float:
        """The pause between pulls."""
        return self._settings.poll_interval

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """The next objects; what was read before a failure is returned, and the failure comes with the next pull."""
        self._seen.begin(position)
        place = _read_place(position) or _Place(self._first_hour(now))
        if place.next is None:
            place = replace(place, next=max(place.since, _hour(now - int(TRAITS.reread_seconds) * 1_000_000)))
        found, objects, is_caught_up = Found(self.name, self._adapter), 0, False
        try:
            for account, key in self._keys(place):
                if objects >= _MOST_OBJECTS or found.count >= LIMIT:
                    break
                if not self._seen.has(key):
                    lines = self._read(key, place.lines if key == place.partial else 0, found)
                    objects += 1
                    if lines:
                        place = replace(place, partial=key, lines=lines)
                        break
                    self._seen.is_new(key)
                place = replace(place, account=account, after=key)
            else:
                place, is_caught_up = _Place(place.next or place.since), True
        except Unreachable:
            if not objects:
                raise
        text = place.text()
        self._seen.end(text)
        return Pulled(tuple(found.records), tuple(found.refused), (), text, is_caught_up)

    def check(self) -> str:
        """Whether the bucket may be listed, and whose logs are in it."""
        accounts = self._accounts()
        if not accounts:
            return f"{self._what}: readable, no invocation log under {self._root} yet"
        return f"{self._what}: invocation logs of {len(accounts)} account{'s' if len(accounts) > 1 else ''}"

    def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            self._client.close()

    def _s3(self) -> Any:
        if self._client is None:
            self._client = client("s3", self._settings)
        return self._client

    def _first_hour(self, now: Micros) -> str:
        start = self._settings.start
        if start == "beginning":
            return ""
        return _hour(now) if start == "now" else start.astimezone(UTC).strftime("%Y/%m/%d/%H")

    def _keys(self, place: _Place) -> Iterator[tuple[str, str]]:
        """Accounts and names of log objects in their order, from the place on."""
        for account in self._accounts():
            if account < place.account:
                continue
            base = f"{self._root}{account}/{_LOG}/{self._settings.region}/"
            after = place.after if account == place.account and place.after else base + place.since
            for item in self._list(Prefix=base, StartAfter=after):
                key = str(item["Key"])
                if "/" not in key[len(base) + len("yyyy/mm/dd/hh/") :]:
                    yield account, key

    def _accounts(self) -> list[str]:
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            with asking(self._what):
                answer = self._s3().list_objects_v2(
                    Bucket=self._settings.bucket, Prefix=self._root, Delimiter="/", **token
                )
            found += [item["Prefix"][len(self._root) : -1] for item in answer.get("CommonPrefixes", ())]
            if not answer.get("IsTruncated"):
                return sorted(found)
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def _list(self, **wanted: str) -> Iterator[dict[str, Any]]:
        while True:
            with asking(self._what):
                answer = self._s3().list_objects_v2(Bucket=self._settings.bucket, **wanted)
            items = answer.get("Contents", ())
            yield from items
            if not answer.get("IsTruncated") or not items:
                return
            wanted = {**wanted, "StartAfter": str(items[-1]["Key"])}

    def _read(self, key: str, passed: int, found: Found) -> int:
        """Take in an object behind its first `passed` lines; returns the lines read when it holds too many, else 0."""
        with asking(f"{self._what}, object {key}"):
            body = self._s3().get_object(Bucket=self._settings.bucket, Key=key)["Body"]
            try:
                return _take(_text_of(key, body), key, passed, found)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                found.refused.append(Refused(key, "the object is not complete gzip"))
                return 0
            finally:
                body.close()


def _take(text: BinaryIO, key: str, passed: int, found: Found) -> int:
    """Keep the lines behind the first `passed`. Returns the lines read when it stopped early, 0 at the end."""
    number = 0
    while line := text.readline(MAX_LINE_BYTES):
        if number >= passed and found.count >= LIMIT:
            return number
        number += 1
        is_too_long = len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n")
        if is_too_long:
            skip_line(text)
        if number > passed and line.strip():
            _keep(line, is_too_long, f"{key}: line {number}", found)
    return 0


def _keep(line: bytes, is_too_long: bool, place: str, found: Found) -> None:
    try:
        if is_too_long:
            raise ValueError
        value = loads(line)
    except ValueError:
        found.refused.append(Refused(place, "the line is too long" if is_too_long else "not valid JSON"))
        return
    found.keep(value, place)


def _text_of(key: str, body: Any) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=body) if key.endswith(".gz") else body)


def _hour(moment: Micros) -> str:
    return datetime.fromtimestamp(moment / 1_000_000, UTC).strftime("%Y/%m/%d/%H")


def _read_place(position: str | None) -> _Place | None:
    """None for no position and for one of another kind of source: reading twice is harmless."""
    try:
        return _Place(**json.loads(position)) if position else None
    except (ValueError, TypeError):
        return None
