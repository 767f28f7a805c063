"""`dify-exporter record`: the recorder from start to stop.

Needs no Dify, no state file and no settings file. Bytes pass as soon as it listens, whether or not records can go out.
"""

from __future__ import annotations

import asyncio
import signal

from exporter.errors import Misconfigured, Unreachable
from exporter.recorder import telling
from exporter.recorder.counts import LOSSES, Counts
from exporter.recorder.options import RecorderOptions, StoreOptions

_TELL_SECONDS = 10.0
_LAST_RECORDS_SECONDS = 3.0


def serve_recorder(options: RecorderOptions) -> int:
    """Run until a signal; returns the exit code. Raises Misconfigured or Unreachable when it cannot start."""
    try:
        import aiohttp  # noqa: F401 - an optional part of the installation
    except ImportError:
        raise Misconfigured(
            ["record: the Python package aiohttp is not installed"], "pip install 'dify-exporter[recorder]'"
        ) from None
    return asyncio.run(_serve(options))


async def _serve(options: RecorderOptions) -> int:
    from aiohttp import web

    from exporter.recorder.capture import Memory
    from exporter.recorder.handoff import Handoff
    from exporter.recorder.proxy import Site
    from exporter.recorder.server import HEALTH_PATH, build_runner, build_session

    counts, memory = Counts(), Memory(options.memory_bytes)
    handoff = Handoff(StoreOptions.of(options), memory, counts)
    ending = _signals()
    async with build_session(options) as session:
        runner = build_runner(Site(options, session, memory, counts, handoff))
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.port).start()
        except OSError as problem:
            await runner.cleanup()
            raise Unreachable(
                f"listening on {options.host}:{options.port} failed: {problem.strerror or problem}",
                "choose another address with --listen",
            ) from None
        background = [asyncio.create_task(handoff.run()), asyncio.create_task(_tell_losses(counts))]
        listening = [":".join(map(str, address[:2])) for address in runner.addresses]
        telling.info("recording", listening=listening, upstreams=_upstreams(options), health=HEALTH_PATH)
        await ending.wait()
        telling.info("stopping", in_flight=counts.in_flight)
        await runner.cleanup()
    await handoff.drained(_LAST_RECORDS_SECONDS)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    telling.info("stopped", recorded=counts.recorded, lost=dict(counts.lost))
    return 0


def _signals() -> asyncio.Event:
    """Set by the first signal; a second one ends the process at once."""
    loop, ending = asyncio.get_running_loop(), asyncio.Event()

    def first() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)
    return ending


async def _tell_losses(counts: Counts) -> None:
    """Say new losses in the log, not more often than every few seconds."""
    told = counts.lost.copy()
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        for cause, number in counts.lost.items():
            if number > told[cause]:
                telling.warning(
                    "records_lost",
                    cause=cause,
                    why=LOSSES[cause],
                    since_last=number - told[cause],
                    all=number,
                )
        told = counts.lost.copy()


def _upstreams(options: RecorderOptions) -> list[str]:
    return [f"{one.prefix or '/'} → {one.origin}{one.base_path}" for one in options.upstreams]
