"""The demo's settings and files: its own source, evidence and ledger; destinations and page as the environment says.

The ledger stays when the demo ends, so that it can be looked at again; the next demo begins with an empty one. A state
file that the user named is never emptied.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter import config
from exporter.config import Settings
from exporter.errors import Misconfigured, StateRefused

Flags = Mapping[str, Any]
"""Dotted path of a setting → value, as the command line gave it."""

_QUICK: Flags = {
    "dify.name": "demo",
    "dify.poll_interval": "1s",
    "dify.sweep_interval": "2s",
    "dify.unfinished_after": "30s",
    "dify.paused_after": "30s",
    "compare.settle": "10s",
    "log.level": "warning",
}
"""A demo shows within a minute what takes a daemon an hour."""


def demo_settings(flags: Flags, environ: Mapping[str, str], database_url: str | None) -> Settings:
    """The settings of a demo on this database (None: no source and no evidence, only the ledger).

    Raises `Misconfigured`. The settings file and `DIFY_…` variables are left alone: they belong to the real Dify.
    """
    state = state_path(flags, environ)
    fixed: dict[str, Any] = {"dify.database.url": database_url, "state.path": str(state)}
    if database_url is not None:
        fixed["vendor"] = [{"kind": "file", "path": str(vendor_log(state)), "name": "gateway"}]
    outside = {name: value for name, value in environ.items() if not name.startswith("DIFY_")}
    usual = {**_QUICK, "web.port": environ.get(f"{config.PREFIX}WEB_PORT") or _free_port()}
    return config.load(Path(os.devnull), outside, {**usual, **flags, **fixed}).settings


def state_path(flags: Flags, environ: Mapping[str, str]) -> Path:
    """The ledger's file: the one given, else one in the user's cache folder."""
    if flags.get("state.path"):
        return Path(flags["state.path"])
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "dify-exporter" / "demo.db"


def vendor_log(state: Path) -> Path:
    """The file that plays the vendor's log, beside the ledger."""
    return state.with_name(f"{state.stem}-vendor-calls.jsonl")


def make_room(flags: Flags, environ: Mapping[str, str]) -> None:
    """An empty place for ledger and vendor log. Raises `Misconfigured` when the user named a file that exists,
    `StateRefused` while another demo runs."""
    state = state_path(flags, environ)
    if flags.get("state.path") and state.exists():
        raise Misconfigured([f"state.path: {state} exists already"], "name a new file, or leave it out")
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.with_name(f"{state.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateRefused("another demo is running", "end it with Ctrl-C first") from None
        for name in (state.name, f"{state.name}-wal", f"{state.name}-shm", vendor_log(state).name):
            state.with_name(name).unlink(missing_ok=True)
    vendor_log(state).touch(mode=0o600)


def _free_port() -> int:
    """The usual port, or any free one when another program has it."""
    usual = config.WebSettings().port  # type: ignore[call-arg]
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return usual
