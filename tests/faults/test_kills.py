"""Killed anywhere, nothing is lost and nothing is held twice."""

from __future__ import annotations

import random

from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.faults.conftest import Killable, assert_held_once

RANDOM_KILLS = 200
SEED = 20261124


def test_a_clean_run_delivers_every_span_once(
    killable: Killable, langfuse: LangfuseTwin, langsmith: LangSmithTwin
) -> None:
    assert killable.run() == {"killed": False, "code": 0}
    assert_held_once(killable, langfuse, langsmith)


def test_a_second_run_sends_nothing_again(
    killable: Killable, langfuse: LangfuseTwin, langsmith: LangSmithTwin
) -> None:
    killable.run()
    before = (langfuse.requests, langsmith.requests)
    assert killable.run() == {"killed": False, "code": 0}
    assert (langfuse.requests, langsmith.requests) == before


def test_killed_at_every_durable_boundary_nothing_is_lost_or_doubled(
    killable: Killable, langfuse: LangfuseTwin, langsmith: LangSmithTwin
) -> None:
    killable.run()
    seen: dict[str, int] = {}
    for name, occurrence in killable.boundaries:
        seen[name] = max(seen.get(name, 0), occurrence)
    assert {"after discovered", "before page", "after sending", "before answered", "after confirmed"} <= set(
        seen
    )
    for name, last in sorted(seen.items()):
        for occurrence in sorted({1, (last + 1) // 2, last}):
            killable.forget()
            killed = killable.run(kill_at=[name, occurrence])
            if killed["killed"]:
                assert killable.run() == {"killed": False, "code": 0}, (name, occurrence)
            assert_held_once(killable, langfuse, langsmith)


def test_killed_at_two_hundred_random_moments_nothing_is_lost_or_doubled(
    killable: Killable, langfuse: LangfuseTwin, langsmith: LangSmithTwin
) -> None:
    chance = random.Random(SEED)
    killed = 0
    while killed < RANDOM_KILLS:
        answer = killable.run(kill_after_ms=chance.uniform(1, 400))
        killed += answer["killed"]
        if not answer["killed"]:
            assert answer["code"] == 0
            killable.forget()
    assert killable.run() == {"killed": False, "code": 0}
    assert_held_once(killable, langfuse, langsmith)
