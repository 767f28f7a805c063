"""What each release of Dify keeps, and what it records wrongly or not at all: for `describe`, `check` and docs/versions.md.

Nothing is counted by these rules: the numbers of a trace come from its rows, and its sums are held against each other
whatever the version. They say in advance what to expect. Source: the releases' own code and their issues, and recordings
of 1.12.1 and 1.14.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.sources.versions import Releases


@dataclass(frozen=True, slots=True)
class Gain:
    """Something that can be told from release `since` on, up to, not including, `before`."""

    since: str
    before: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that goes wrong or is missing in these releases, and why. `is_seen`: `describe` says it from what it finds
    in the database itself."""

    since: str
    before: str | None
    what: str
    why: str
    is_seen: bool = False


GAINS = (
    Gain("0", None, "every model call with its prompt, usage and price"),
    Gain("0", "1.9.0", "every failed try of a node as a call of its own"),
    Gain("1.8.0", None, "input and output of agent nodes (function calling)"),
    Gain("1.9.0", None, "whole long values, with `dify.storage`"),
    Gain("1.9.2", None, "model calls of knowledge retrieval; tokens of workflow tools"),
    Gain("1.10.0", None, "time of the first token; webhook, schedule and plugin runs"),
    Gain("1.11.3", None, "new runs found by an index; workflow tools linked to their runs"),
    Gain("1.13.0", None, "runs that wait for a person"),
)

LIMITS = (
    Limit(
        "0", "1.0.0",
        "counts of models that send no usage are Dify's own estimates",
        "models ran inside Dify, with tokenizers of its own",
    ),
    Limit(
        "0", "1.2.0",
        "runs with parallel iterations may show a far too large sum",
        "the engine copied its counter and did not reset it; the model calls are right",
    ),
    Limit(
        "0", "1.3.0",
        "question classifiers and parameter extractors do not name their model",
        "it is taken from the run's graph, where that is not larger than 256 KiB",
    ),
    Limit(
        "0", "1.4.0",
        "a stream whose first usage is 0 is recorded as 0",
        "the LLM node took the first usage it saw",
    ),
    Limit(
        "1.0.0", "1.6.0",
        "agent nodes have a total only, which run and message lack",
        "the node kept no sum; the total is that of the rounds in its log",
    ),
    Limit(
        "1.6.0", "1.8.0",
        "agent nodes have a total only, and chatflow messages count all of it as output",
        "the node kept no split of input and output",
    ),
    Limit(
        "0", "1.9.0",
        "chatflow messages lack the tokens inside iterations and loops",
        "the message adds up its nodes' usage, and containers bring none",
    ),
    Limit(
        "1.9.0", "1.9.2",
        "runs and chatflow messages show 0 tokens",
        "the new engine does not add up; the model calls are right",
    ),
    Limit(
        "1.9.2", "1.10.1",
        "runs and chatflow messages count iterations and loops twice",
        "once themselves, once the calls inside them; the model calls are right",
    ),
    Limit(
        "1.10.1", None,
        "chatflow messages count iterations and loops twice",
        "only the run's sum was mended (measured on 1.14.0; engines from graphon 0.7.0 on should be right)",
    ),
    Limit(
        "0", "1.9.2",
        "tokens of workflow tools and of retrieval's own model calls are not in the run that made them",
        "a tool's tokens stand in the run of its own workflow alone, a retrieval's nowhere",
    ),
    Limit(
        "0", "1.10.0",
        "the time of the first token is unknown",
        "usage does not hold it",
    ),
    Limit(
        "0", "1.11.3",
        "workflow tools are not linked to their runs; new runs are found by scanning their table, less often",
        "`workflow_runs` has no index by time",
        is_seen=True,
    ),
    Limit(
        "1.9.0", None,
        "failed tries of a node that is repeated leave nothing",
        "the engine writes over their row; only evidence from the vendor's side shows them",
    ),
    Limit(
        "1.9.0", None,
        "long values are cut in the database",
        "the whole value is in Dify's object storage, which is read where `dify.storage` says how",
        is_seen=True,
    ),
    Limit(
        "1.13.0", "1.13.1",
        "a run that waited for a person has a later start than its message",
        "Dify writes a new `created_at` when it goes on; its message is looked for up to 7 days before",
    ),
    Limit(
        "1.14.0", "1.14.1",
        "parallel iterations that go on after errors succeed with 0 tokens and no calls",
        "every round fails inside Dify before it asks the model: nothing was billed",
    ),
    Limit(
        "1.15.0", None,
        "agents of the new kind (table `agents`) are read by the rules of the others",
        "how Dify records their tokens was not verified on a running one; these shapes are derived, not recorded",
    ),
)  # fmt: skip


def limits(releases: Releases) -> Iterator[tuple[Limit, bool]]:
    """What to expect of this Dify, with True where it holds for every release that it may be."""
    for limit in LIMITS:
        if releases.overlap(limit.since, limit.before):
            yield limit, releases.are_within(limit.since, limit.before)


def gains(releases: Releases) -> Iterator[Gain]:
    """What can be told of this Dify, where that holds for every release that it may be."""
    return (gain for gain in GAINS if releases.are_within(gain.since, gain.before))
