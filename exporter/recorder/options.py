"""What the recorder is told on its command line: where it listens, which upstreams it stands for, where records go.

`read_options` checks everything at once and raises Misconfigured with every problem found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from exporter.config import LogSettings
from exporter.errors import Misconfigured

INTAKE_TOKEN = "DIFY_EXPORTER_INTAKE_TOKEN"
"""The environment variable that holds the intake's bearer token."""

DEFAULT_PUSH = "http://127.0.0.1:9464"
_RECORDER_OWN = "/-/recorder"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One vendor. Requests whose path begins with `prefix` go to `origin` with `base_path` in the prefix's place."""

    prefix: str
    origin: str
    base_path: str

    @property
    def authority(self) -> str:
        """Host and port, as the Host header names them."""
        return self.origin.partition("://")[2]


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """Everything `serve_recorder` needs. Exactly one of `out` (a file) and `push` (an exporter's address) is set.

    `memory_bytes` bounds all copies held aside at once; `spool_bytes` what waits on disk for the exporter;
    `file_bytes` is the size at which `out` is begun anew. `silence_seconds`: an upstream that sends nothing for so long
    has failed. `drain_seconds`: how long answers in progress may go on after a signal to stop.
    """

    host: str
    port: int
    upstreams: tuple[Upstream, ...]
    log: LogSettings
    name: str = "recorder"
    out: Path | None = None
    push: str | None = None
    spool: Path = Path("recorder-spool")
    asks_for_usage: bool = False
    upstream_ca: Path | None = None
    memory_bytes: int = 256 * 2**20
    spool_bytes: int = 256 * 2**20
    file_bytes: int = 64 * 2**20
    connect_seconds: float = 30.0
    silence_seconds: float = 600.0
    drain_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the store process is told; see RecorderOptions. The token comes with the environment."""

    name: str
    out: str | None
    push: str | None
    spool: str
    spool_bytes: int
    file_bytes: int
    log: dict[str, Any]

    @staticmethod
    def of(options: RecorderOptions) -> StoreOptions:
        """The store's part of the options."""
        return StoreOptions(
            name=options.name,
            out=None if options.out is None else str(options.out),
            push=options.push,
            spool=str(options.spool),
            spool_bytes=options.spool_bytes,
            file_bytes=options.file_bytes,
            log=options.log.model_dump(),
        )

    def to_text(self) -> str:
        """As one word of a command line; it holds no secret."""
        return orjson.dumps(self).decode()

    @staticmethod
    def from_text(text: str) -> StoreOptions:
        """The options of `to_text`."""
        return StoreOptions(**orjson.loads(text))


def read_options(
    *,
    listen: str,
    upstream: Sequence[str],
    log: LogSettings,
    out: Path | None = None,
    push: str | None = None,
    name: str = "recorder",
    spool: Path = Path("recorder-spool"),
    force_stream_usage: bool = False,
    upstream_ca: Path | None = None,
    timeout_seconds: float = 600.0,
) -> RecorderOptions:
    """The options as they were typed, checked. Raises Misconfigured."""
    problems: list[str] = []
    host, port = _listen(listen, problems)
    upstreams = tuple(found for text in upstream if (found := _upstream(text, problems)) is not None)
    _check_prefixes(upstreams, problems)
    if not upstream:
        problems.append("--upstream: at least one is needed, e.g. --upstream https://api.openai.com")
    if out is not None and push is not None:
        problems.append("--out and --push: choose one")
    address = None if out is not None else (push or DEFAULT_PUSH).rstrip("/")
    if address is not None and not re.match(r"^https?://[^\s/]+", address):
        problems.append("--push: must start with http:// or https:// and name a host")
    if not name or len(name) > 100:
        problems.append("--name: between 1 and 100 characters")
    if timeout_seconds <= 0:
        problems.append("--timeout: must be longer than nothing")
    if upstream_ca is not None and not upstream_ca.is_file():
        problems.append(f"--upstream-ca: {upstream_ca} is not a file")
    if out is not None and not out.resolve().parent.is_dir():
        problems.append(f"--out: the folder of {out} does not exist")
    if problems:
        raise Misconfigured(problems)
    longest_first = sorted(upstreams, key=lambda one: -len(one.prefix))
    return RecorderOptions(
        host=host,
        port=port,
        upstreams=tuple(longest_first),
        name=name,
        out=out,
        push=address,
        spool=spool,
        asks_for_usage=force_stream_usage,
        upstream_ca=upstream_ca,
        silence_seconds=timeout_seconds,
        log=log,
    )


def _listen(text: str, problems: list[str]) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        problems.append(f"--listen {text}: expected host:port, such as 127.0.0.1:9465")
        return "", 0
    return host, int(port)


def _upstream(text: str, problems: list[str]) -> Upstream | None:
    """`https://api.openai.com` or `/prefix=https://api.anthropic.com`."""
    prefix, equals, address = text.partition("=") if text.startswith("/") else ("", "=", text)
    prefix = prefix.rstrip("/")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if not equals or parts.scheme not in ("http", "https") or not parts.hostname:
        problems.append("--upstream: expected https://host or /prefix=https://host")
    elif parts.username is not None or parts.query or parts.fragment:
        problems.append(f"--upstream: {parts.scheme}://{parts.hostname} must have no user, query or fragment")
    elif f"{prefix}/".startswith(f"{_RECORDER_OWN}/"):
        problems.append(f"--upstream: {_RECORDER_OWN} is the recorder's own")
    else:
        return Upstream(prefix, f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))
    return None


def _check_prefixes(upstreams: Sequence[Upstream], problems: list[str]) -> None:
    prefixes = [one.prefix for one in upstreams]
    problems += [
        f"--upstream: two upstreams for {prefix or 'everything else'}; give one a /prefix="
        for prefix in sorted({one for one in prefixes if prefixes.count(one) > 1})
    ]
