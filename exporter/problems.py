"""The sentences that say what is wrong and what to do: the only place where `status`, /readyz and the page take them from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson

from exporter.config import DestinationSettings
from exporter.state.health import Delivery, Job
from exporter.state.outbox import Backlog

_JOBS = {
    "poll": "Dify cannot be read",
    "evidence": "Vendor evidence cannot be matched",
    "metrics": "Metrics cannot be pushed",
    "report": "A scheduled report cannot be made",
}
_NAMES_SHOWN = 5
TWICE = "counted_twice."
"""Facts by entry of `destinations`: the names of the apps whose tokens are counted twice there."""
TROUBLES = "trouble."
"""Facts by number: what Dify refuses the source just now, in sentences with what to do."""
PLATFORMS: Mapping[str, str] = {"langfuse": "Langfuse", "langsmith": "LangSmith"}
"""Where Dify's own tracing can write what is sent too: by kind, which is also Dify's word for its provider."""
EVIDENCE = "evidence"
"""The job that takes and matches evidence; each source is recorded behind a colon."""


def sentence(text: str) -> str:
    """Begins with a capital and ends with a full stop, whoever wrote it."""
    text = text.strip()
    if not text:
        return ""
    return f"{text[0].upper()}{text[1:]}" + ("" if text[-1] in ".!?" else ".")


def failing_job(job: Job) -> str:
    """A job that fails and is tried again by itself."""
    kind, _, source = job.name.partition(":")
    if kind == EVIDENCE and source:
        what = f"Vendor evidence of {source} cannot be read"
    else:
        what = _JOBS.get(job.name, f"The job {job.name} fails")
    return (
        f"{what}: {sentence(job.failure or 'no reason is known')}"
        " It is tried again by itself; `dify-exporter check` tests the connections and says what is missing."
    )


def held(delivery: Delivery, backlog: Backlog | None) -> str:
    """A destination that waits for a person."""
    return (
        f"Destination {delivery.destination} is on hold: {sentence(delivery.hold or '')}"
        f" Correct its keys, address or rights; {_waiting(backlog)} and nothing is dropped."
    )


def silent(delivery: Delivery, backlog: Backlog | None) -> str:
    """A destination that does not answer."""
    return (
        f"Destination {delivery.destination} does not answer: {sentence(delivery.failure or 'no reason is known')}"
        f" Reading goes on until the backlog is full; {_waiting(backlog)} and nothing is dropped."
    )


def leftovers(backlogs: Mapping[str, Backlog], set_aside: int) -> Iterator[str]:
    """What was refused or could not be read, and is kept."""
    for name, backlog in backlogs.items():
        if backlog.dead:
            yield (
                f"Dead letters for {name}: {backlog.dead:,}, refused and kept with the reason."
                " `dify-exporter status` and the status page list them; `dify-exporter replay` sends them again."
            )
    if set_aside:
        yield (
            f"Dify records that no trace could be made of: {set_aside:,}, set aside with the reason."
            " `dify-exporter status` and the status page list them; `dify-exporter replay` reads them again."
        )


def twice(destinations: Sequence[DestinationSettings], facts: Mapping[str, str]) -> Iterator[str]:
    """Where tokens are counted twice, from the facts remembered under `TWICE`. Who wrote `existing: send` knows it."""
    for item in destinations:
        apps: list[str] = orjson.loads(facts.get(item.name, "[]"))
        if apps and item.kind in PLATFORMS and "existing" not in item.model_fields_set:
            yield counted_twice(item.name, PLATFORMS[item.kind], apps)


def counted_twice(destination: str, platform: str, apps: Sequence[str]) -> str:
    """Apps are traced to one project by Dify itself and by this program."""
    return (
        f"Tokens are counted twice at destination {destination}: Dify's own {platform} tracing is on for"
        f" {named(apps)}, and this program sends the same traces. {TWICE_ADVICE}"
    )


TWICE_ADVICE = (
    "Switch Dify's own tracing off, use another project, or set `existing: auto` for this destination: then readings and"
    " scores are added to the traces that Dify writes. `existing: send` says that both are wanted."
)


def named(apps: Sequence[str]) -> str:
    """How many apps, and the names of the first of them."""
    shown = ", ".join(apps[:_NAMES_SHOWN])
    more = f" and {len(apps) - _NAMES_SHOWN:,} more" if len(apps) > _NAMES_SHOWN else ""
    return f"{len(apps):,} {'app' if len(apps) == 1 else 'apps'} ({shown}{more})"


def is_silent(delivery: Delivery) -> bool:
    """True when the last request to the destination failed."""
    return delivery.failed_at is not None and (delivery.succeeded_at or 0) < delivery.failed_at


def _waiting(backlog: Backlog | None) -> str:
    count = backlog.ready + backlog.in_doubt if backlog is not None else 0
    if not count:
        return "nothing waits for it yet"
    return f"{count:,} {'trace waits' if count == 1 else 'traces wait'} for it"
