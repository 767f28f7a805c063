"""Asks the prompts, spaced, and waits until the ledger has what Dify and the vendor wrote of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from exporter.calibrate.causes import Pair, Sample
from exporter.calibrate.prompts import Prompt
from exporter.calibrate.service_api import ServiceApp
from exporter.config import Settings
from exporter.daemon import App
from exporter.errors import ExporterError, StateRefused
from exporter.state import ledger
from exporter.state.store import Store

Document = dict[str, Any]
_LOOK_EVERY_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Run:
    """One question asked, or why it could not be."""

    prompt: Prompt
    record_id: str | None
    failure: str | None = None


def ask_all(
    app: ServiceApp, mode: str, prompts: Sequence[Prompt], times: int, every_seconds: float
) -> Iterator[Run]:
    """Every prompt, `times` times, round by round, so that a change in time meets all prompts alike. A question that fails is
    told and the others are asked; raises only when the very first cannot be asked at all."""
    for number, prompt in enumerate([prompt for _ in range(times) for prompt in prompts]):
        if number:
            time.sleep(every_seconds)
        try:
            asked = app.ask(mode, prompt.text)
        except ExporterError as error:
            if not number:
                raise
            yield Run(prompt, None, str(error))
        else:
            yield Run(prompt, asked.record_id, asked.failure)


def wait_for(
    settings: Settings, runs: Sequence[Run], patience_seconds: float, tell: Callable[[int, int], None]
) -> list[Sample]:
    """The samples of these runs as the ledger has them when all are judged, or when patience ends; where a vendor source is
    configured, a run without the vendor's number is waited for. A daemon on the state file does the reading; while there
    is none, it is done here, and a source that fails meanwhile is asked again: the runs were paid for. Raises StateRefused."""
    ends_at = time.monotonic() + patience_seconds
    asked = sum(run.record_id is not None for run in runs)
    while True:
        _read(settings)
        samples = _samples(settings, runs)
        ready = sum(_is_ready(sample, is_vendor_heard=bool(settings.vendor)) for sample in samples)
        tell(ready, asked)
        if ready == asked or time.monotonic() > ends_at:
            return samples
        time.sleep(_LOOK_EVERY_SECONDS)


def _read(settings: Settings) -> None:
    """One look at everything, unless a daemon does that."""
    try:
        with App(settings) as own:
            own.run_once()
    except StateRefused:
        return  # a daemon holds the state file
    except ExporterError as error:
        log.warning("not_read", reason=str(error))


def _is_ready(sample: Sample, *, is_vendor_heard: bool) -> bool:
    return sample.verdict != "pending" and (sample.vendor is not None or not is_vendor_heard)


def _samples(settings: Settings, runs: Sequence[Run]) -> list[Sample]:
    store = Store(settings.state.path)
    try:
        with store.read() as connection:
            found = [(run, ledger.trace(connection, run.record_id)) for run in runs if run.record_id]
    finally:
        store.close()
    return [sample(run, trace) for run, trace in found if trace is not None]


def sample(run: Run, trace: Document) -> Sample:
    """What a trace document says of a run; its hidden calls are part of what the question cost."""
    calls = trace["calls"]
    return Sample(
        prompt=run.prompt.name,
        kind=run.prompt.kind,
        record_id=run.record_id or "",
        verdict=trace["verdict"],
        dify=_sum([call["readings"]["dify"] for call in calls], is_zero_known=True),
        local=_sum([call["readings"]["local"] for call in calls]),
        vendor=_sum([_independent(call["readings"]["vendor"]) for call in calls]),
        findings=tuple(
            (finding["code"], finding["input"], finding["output"])
            for call in calls
            for finding in call["findings"]
        ),
    )


def _independent(reading: Document | None) -> Document | None:
    return reading if reading is not None and reading["independent"] else None


def _sum(readings: Sequence[Document | None], *, is_zero_known: bool = False) -> Pair | None:
    """The counts of all calls together; None unless each is known. What Dify did not record at all counts 0."""
    if not readings or (not is_zero_known and None in readings):
        return None
    known = [reading for reading in readings if reading is not None]
    if any(reading[part] is None for reading in known for part in ("input", "output")):
        return None
    return sum(reading["input"] for reading in known), sum(reading["output"] for reading in known)
