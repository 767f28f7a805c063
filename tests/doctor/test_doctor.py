"""Each point of the checklist says fine, problem or can't know as the data in the state file has it, with the number."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter import clock, config
from exporter.cli import app as program
from exporter.compare.catalog import FINDINGS
from exporter.doctor.checks import Answer, State, walk
from exporter.doctor.facts import gather
from exporter.model import AssessedTrace, Confidence, DifyKind, Finding, Verdict
from exporter.report.window import read_window
from exporter.state import evidence
from exporter.state.store import Store
from exporter.vendor.record import parse
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

DAY = 86_400 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def asked(store: Store, *traces: AssessedTrace, **settings: Any) -> dict[str, Answer]:
    keep(store, *traces)
    wanted = {
        "state.path": str(store.path),
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    known = config.load(Path(os.devnull), {}, wanted).settings
    window = read_window(clock.rfc3339(NOON - DAY), clock.rfc3339(NOON + DAY), "UTC", NOON + DAY)
    return {item.topic: item for item in walk(gather(store, known, window, NOON + SECOND))}


def differing(number: int, code: str, tokens: int, **call: object) -> AssessedTrace:
    """A call that the vendor counted so many tokens more of, all explained by one finding."""
    finding = Finding(code, tokens, 0, Confidence.CERTAIN, "seen", "do")
    told = {"vendor": (12 + tokens, 7), "findings": (finding,), "verdict": Verdict.EXPLAINED, **call}
    return build_trace(number, started_at=NOON + number * SECOND, calls=[told])


def with_estimate(trace: AssessedTrace) -> AssessedTrace:
    """The same, with Dify's number made by the plugin."""
    (call,) = trace.assessments
    assert call.dify is not None
    return replace(trace, assessments=(replace(call, dify=replace(call.dify, kind=DifyKind.ESTIMATE)),))


def test_where_all_agrees_only_what_was_never_configured_is_unknown(store: Store) -> None:
    found = asked(
        store,
        *(
            build_trace(
                n,
                started_at=NOON + n * SECOND,
                calls=[{"cost": usd("0.00001"), "vendor_cost": usd("0.00001")}],
            )
            for n in range(1, 6)
        ),
    )
    assert {topic for topic, item in found.items() if item.state is State.PROBLEM} == set()
    assert {topic for topic, item in found.items() if item.state is State.UNKNOWN} == {
        "same scope",
        "the bill",
    }
    assert found["vendor evidence"].seen.startswith("5 of 5 calls")


def test_without_evidence_what_needs_it_cannot_be_known(store: Store) -> None:
    found = asked(store, build_trace(1, calls=[{"vendor": None, "verdict": Verdict.UNVERIFIED}]))
    for topic in (
        "vendor evidence",
        "own key",
        "hidden calls",
        "retries",
        "stops and failures",
        "unexplained",
    ):
        assert found[topic].state is State.UNKNOWN, topic
        assert "docs/evidence.md" in found[topic].next_step


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("retries", "retry_billed"), ("stops and failures", "recorded_nothing_stopped"), ("hidden calls", "hidden_title"),
        ("embeddings and rerank", "hidden_embedding"), ("prompt cache", "cache_price_weighted"),
        ("gateway between", "gateway_estimate"),
    ],
)  # fmt: skip
def test_a_cause_is_a_problem_of_its_own_topic_with_its_size_and_advice(
    store: Store, topic: str, code: str
) -> None:
    found = asked(store, differing(1, code, 120))
    assert found[topic].state is State.PROBLEM
    assert "120 tokens" in found[topic].seen
    assert found[topic].next_step == FINDINGS[code].advice
    others = {
        "retries",
        "stops and failures",
        "hidden calls",
        "embeddings and rerank",
        "prompt cache",
        "gateway between",
    } - {topic}
    assert {found[other].state for other in others} == {State.FINE}


def test_a_small_cause_is_told_and_no_problem(store: Store) -> None:
    large = build_trace(
        2, started_at=NOON + 60 * SECOND, calls=[{"dify": (9000, 1000), "vendor": (9000, 1000)}]
    )
    found = asked(store, differing(1, "retry_billed", 3), large)
    assert (found["retries"].state, "3 tokens" in found["retries"].seen) == (State.FINE, True)


def test_an_unexplained_rest_above_tolerance_is_a_problem(store: Store) -> None:
    found = asked(store, build_trace(1, calls=[{"vendor": (30, 7), "verdict": Verdict.UNEXPLAINED}]))
    assert (found["unexplained"].state, "18 tokens in 1 calls" in found["unexplained"].seen) == (
        State.PROBLEM,
        True,
    )


def test_estimates_of_plugins_are_counted(store: Store) -> None:
    assert asked(store, with_estimate(build_trace(1)))["Dify's tokenizer"] == Answer(
        "Dify's tokenizer", State.PROBLEM, "1 of 1 numbers of Dify's are estimates of a plugin",
        "Let the endpoint send usage in streams (stream_include_usage in the plugin, or forced by the gateway).",
    )  # fmt: skip


def test_totals_that_dify_adds_up_wrongly_are_named(store: Store) -> None:
    finding = Finding("containers_counted_twice", 0, 0, Confidence.CERTAIN, "seen", "do")
    found = asked(store, build_trace(1, findings=(finding,)))
    assert (found["Dify's own sums"].state, "containers counted twice in 1 traces" in found["Dify's own sums"].seen) == (
        State.PROBLEM, True,
    )  # fmt: skip


def test_others_under_difys_key_are_a_problem_of_the_key(store: Store) -> None:
    foreign = parse(
        {"id": "x", "started_at": clock.rfc3339(NOON), "model": "gpt-4o", "usage": {"prompt_tokens": 900, "completion_tokens": 100}},
        "gateway",
    )  # fmt: skip
    with store.transaction("test") as connection:
        evidence.add(connection, [foreign], NOON)
        connection.execute("UPDATE evidence SET standing = 'foreign'")
    found = asked(store, build_trace(1))
    assert (found["own key"].state, "1 requests (1,000 tokens)" in found["own key"].seen) == (
        State.PROBLEM,
        True,
    )


def test_the_command_prints_every_point_and_ends_with_1_where_there_is_a_problem(
    store: Store, tmp_path: Path
) -> None:
    keep(store, differing(1, "retry_billed", 120))
    since = ["--since", clock.rfc3339(NOON - DAY), "--until", clock.rfc3339(NOON + DAY)]
    runner = CliRunner()
    done = runner.invoke(program, ["--state", str(store.path), "doctor", *since, "--json"])
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, len(answers)) == (1, 21)
    assert {"retries"} <= {item["topic"] for item in answers if item["state"] == "problem"}
    spoken = runner.invoke(program, ["--state", str(store.path), "doctor", *since])
    assert FINDINGS["retry_billed"].advice.split(".")[0] in " ".join(spoken.stdout.split())


def test_models_without_a_price_are_named_with_the_reason(store: Store) -> None:
    priced = build_trace(1, calls=[{"vendor_cost": usd("0.00001")}])
    without = [("tongyi", "qwen-plus"), ("ollama", "llama3"), ("ollama", "qwen3")]
    traces = [
        build_trace(n, started_at=NOON + n * SECOND, calls=[{"provider": provider, "model": model}])
        for n, (provider, model) in enumerate(without, start=2)
    ]
    found = asked(store, priced, *traces)["prices"]
    assert found.state is State.UNKNOWN
    assert found.seen.startswith("3 calls have no price; ")
    assert "tongyi/qwen-plus: no list prices are known of the provider tongyi" in found.seen
    assert "ollama/llama3, ollama/qwen3: no list prices are known of the provider ollama" in found.seen


def test_without_evidence_a_model_without_a_price_is_told_too(store: Store) -> None:
    lone = {"vendor": None, "verdict": Verdict.UNVERIFIED, "provider": "tongyi", "model": "qwen-plus"}
    assert asked(store, build_trace(1, calls=[lone]))["prices"].seen.startswith("1 calls have no price")


def test_in_a_window_without_calls_nothing_is_fine_but_the_exporter_itself(store: Store) -> None:
    """The ledger has an estimate, a roughly counted model and a trace with wrong sums; all of them lie before the window."""
    finding = Finding("containers_counted_twice", 0, 0, Confidence.CERTAIN, "seen", "do")
    before = build_trace(
        1, started_at=NOON - 9 * DAY, calls=[{"model": "claude-opus-4"}], findings=(finding,)
    )
    found = asked(store, with_estimate(before))
    assert [topic for topic, item in found.items() if item.state is not State.UNKNOWN] == ["exporter"]
    for topic, item in found.items():
        if topic not in ("exporter", "records", "same scope", "the bill"):
            assert "nothing to judge" in item.seen, topic
            assert "another window" in item.next_step, topic


def test_what_was_never_started_is_not_called_well(store: Store) -> None:
    assert asked(store)["exporter"] == Answer(
        "exporter", State.UNKNOWN, "Dify was not read yet", "Start `dify-exporter run`."
    )


def test_estimates_and_models_of_before_the_window_are_not_counted(store: Store) -> None:
    before = with_estimate(build_trace(1, started_at=NOON - 9 * DAY, calls=[{"model": "claude-opus-4"}]))
    found = asked(store, before, build_trace(2))
    assert (found["Dify's tokenizer"].state, "0 of 1" in found["Dify's tokenizer"].seen) == (State.FINE, True)
    assert found["our own count"].state is State.FINE


def test_prices_that_nobody_told_are_not_called_right(store: Store) -> None:
    """Where no call has both a price of Dify's and one of the vendor's, nothing was compared."""
    found = asked(store, build_trace(1, calls=[{"vendor_cost": usd("0.00001")}]))
    assert found["prices"].state is State.UNKNOWN


def test_evidence_that_matches_nothing_is_not_called_missing(store: Store) -> None:
    lone = build_trace(1, calls=[{"vendor": None, "verdict": Verdict.UNVERIFIED}])
    found = asked(store, lone, vendor=[{"kind": "push", "name": "gateway"}])["vendor evidence"]
    assert (found.state, "`dify-exporter evidence`" in found.next_step) == (State.UNKNOWN, True)


@pytest.mark.parametrize(
    ("providers", "state"),
    [
        (("langgenius/openai_api_compatible/openai_api_compatible", "openai"), State.FINE),
        (("litellm", "anthropic"), State.FINE),
        (("azure_openai", "azure"), State.FINE),
        (("openai", "azure"), State.PROBLEM),
    ],
)
def test_one_vendor_under_two_names_is_not_taken_for_two(
    store: Store, providers: tuple[str, str], state: State
) -> None:
    """A form that says nothing of who answers, such as OpenAI-compatible, is no vendor of its own."""
    calls = [{"provider": provider} for provider in providers]
    assert asked(store, build_trace(1, calls=calls))["models and regions"].state is state


def test_advice_that_many_points_share_is_said_once(store: Store) -> None:
    done = CliRunner().invoke(
        program, ["--state", str(store.path), "doctor", "--since", "2026-11-01", "--until", "2026-11-02"]
    )
    assert done.stdout.count("nothing to judge") > 10
    assert done.stdout.count("Choose another window") < 5
