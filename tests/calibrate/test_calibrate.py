"""The small-sample procedure against an app and a vendor that count by known factors: the interval holds the factor, the cause
named is the right one, and nothing is asked without a key and a yes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.contract.service_api_twin import KEY, Factors, ServiceApiTwin
from tests.e2e.living_dify import living_dify


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with living_dify() as url:
        yield url


@pytest.fixture
def dify(server: str) -> str:
    with psycopg.connect(server) as connection:
        connection.execute("DELETE FROM messages")
    return server


def calibrate(
    dify: str, tmp_path: Path, twin: ServiceApiTwin, *more: str, log: Path | None = None, key: str = KEY
) -> subprocess.CompletedProcess[str]:
    """The command as a user gives it, in a process of its own."""
    settings: dict[str, Any] = {
        "dify": {"database": {"url": dify}, "sweep_interval": "0s"},
        "state": {"path": str(tmp_path / "s.db")},
        "compare": {"settle": "0s"},
        "vendor": [{"kind": "file", "path": str(log), "name": "log"}] if log else [],
    }
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", "exporter", "-c", str(file)]
    if not (tmp_path / "s.db").exists():
        subprocess.run([*command, "run", "--once"], check=True, capture_output=True, timeout=120)
    environment = {**os.environ, "DIFY_APP_KEY": key}
    return subprocess.run(
        [*command, "calibrate", "--url", twin.url, "--every", "0", "--wait", "60", *more],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip


def found(dify: str, tmp_path: Path, factors: Factors, *more: str, with_log: bool = True) -> dict[str, Any]:
    log = tmp_path / "vendor.jsonl"
    log.touch()
    with ServiceApiTwin(dify, log if with_log else None, factors) as twin:
        done = calibrate(
            dify, tmp_path, twin, "--json", "--yes", "-n", "3", *more, log=log if with_log else None
        )
        assert twin.violations == []
    assert done.returncode in (0, 1), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (document["standing"] == "out")
    return document


def holds(ratio: dict[str, Any], truth: float) -> bool:
    return bool(ratio["low"] - 1e-4 <= truth <= ratio["high"] + 1e-4)


def test_where_all_count_alike_it_says_so(dify: str, tmp_path: Path) -> None:
    document = found(dify, tmp_path, Factors())
    assert (document["standing"], document["cause"]["code"]) == ("in", "agree")
    assert (document["asked"], document["judged"]) == (36, 36)
    for name in ("dify_vendor", "local_vendor", "dify_local"):
        assert (document["ratios"][name]["mean"], document["ratios"][name]["standing"]) == (1.0, "in")


@pytest.mark.parametrize("factor", [1.25, 0.8])
def test_a_gateway_that_multiplies_is_found_with_its_factor(dify: str, tmp_path: Path, factor: float) -> None:
    billed = Factors(billed=lambda prompt, given, answered: (round(given * factor), round(answered * factor)))
    document = found(dify, tmp_path, billed)
    assert (document["standing"], document["cause"]["code"]) == ("out", "constant_ratio")
    assert f"{factor:.2f}" in document["cause"]["evidence"]
    assert abs(document["ratios"]["dify_vendor"]["mean"] - 1 / factor) < 0.02
    longest = next(row for row in document["prompts"] if row["prompt"] == "english long")
    assert abs(longest["ratios"]["dify_vendor"]["mean"] - 1 / factor) < 0.002  # whole tokens


def test_a_factor_that_dify_passes_on_shows_against_our_own_count(dify: str, tmp_path: Path) -> None:
    more = lambda prompt, given, answered: (round(given * 1.5), round(answered * 1.5))  # noqa: E731
    document = found(dify, tmp_path, Factors(recorded=more, billed=more))
    assert document["standing"] == "in"
    assert document["cause"]["code"] == "constant_ratio"
    assert "our own count" in document["cause"]["words"]


def test_a_hidden_system_prompt_is_an_addition_to_every_request(dify: str, tmp_path: Path) -> None:
    document = found(dify, tmp_path, Factors(billed=lambda prompt, given, answered: (given + 180, answered)))
    assert document["cause"]["code"] == "constant_addition"
    assert "180" in document["cause"]["evidence"]


def test_retries_are_named_by_their_finding(dify: str, tmp_path: Path) -> None:
    """Spaced so far that each question is over before the next one begins."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("What is the capital of France?\nAnd that of Spain?\nWhere is the lamp?\n", "utf-8")
    document = found(dify, tmp_path, Factors(attempts=2), "--prompts", str(prompts), "--every", "0.6")
    assert (document["standing"], document["cause"]["code"]) == ("out", "retry_billed")
    assert abs(document["ratios"]["dify_vendor"]["mean"] - 0.5) < 0.001


def test_another_tokenizer_depends_on_the_kind_of_text(dify: str, tmp_path: Path) -> None:
    def billed(prompt: str, given: int, answered: int) -> tuple[int, int]:
        return (round(given * 1.6) if any("一" <= sign <= "鿿" for sign in prompt) else given, answered)

    document = found(dify, tmp_path, Factors(billed=billed))
    assert document["cause"]["code"] == "by_kind_of_text"
    assert "chinese ×1.6" in document["cause"]["evidence"]


def test_random_noise_is_covered_by_the_interval(dify: str, tmp_path: Path) -> None:
    """Billed tokens scatter around 1.1 times the true ones, the same in every run of this test."""
    places = iter(range(10_000))

    def billed(prompt: str, given: int, answered: int) -> tuple[int, int]:
        scatter = ((next(places) * 7919) % 101 - 50) / 1000
        return round(given * (1.1 + scatter)), answered

    # Spaced, so that equal questions do not run at the same time: then nobody could tell whose bill is whose.
    document = found(dify, tmp_path, Factors(billed=billed), "--every", "0.06")
    assert (
        holds(document["ratios"]["dify_vendor"], 1 / 1.1)
        or abs(document["ratios"]["dify_vendor"]["mean"] - 1 / 1.1) < 0.01
    )


def test_without_the_vendor_dify_is_held_against_our_own_count(dify: str, tmp_path: Path) -> None:
    estimated = Factors(recorded=lambda prompt, given, answered: (round(given * 1.3), answered))
    document = found(dify, tmp_path, estimated, with_log=False)
    assert (document["judged"], document["standing"], document["cause"]["code"]) == (
        0,
        "out",
        "constant_ratio",
    )
    assert "vendor was not heard" in document["cause"]["words"]


def test_own_prompts_and_a_question_that_fails_do_not_stop_the_others(dify: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("What is the capital of France?\n\n北京有多少人口？\n", "utf-8")
    log = tmp_path / "vendor.jsonl"
    log.touch()
    with ServiceApiTwin(dify, log, Factors()) as twin:
        twin.fails_at = {2}
        done = calibrate(
            dify, tmp_path, twin, "--json", "--yes", "-n", "2", "--prompts", str(prompts), log=log
        )
    document = json.loads(done.stdout)
    assert (document["asked"], document["judged"], len(document["failures"])) == (4, 3, 1)
    assert "500" in document["failures"][0]["why"]


def test_a_question_whose_answer_broke_off_is_shown_with_its_id_and_its_bill(
    dify: str, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("What is the capital of France?\nAnd that of Spain?\n", "utf-8")
    log = tmp_path / "vendor.jsonl"
    log.touch()
    with ServiceApiTwin(dify, log, Factors()) as twin:
        twin.breaks_off_at = {2}
        asked = ["--yes", "-n", "1", "--prompts", str(prompts), "--every", "0.6"]
        document = json.loads(calibrate(dify, tmp_path, twin, "--json", *asked, log=log).stdout)
        twin.asked.clear()
        spoken = calibrate(dify, tmp_path, twin, *asked, log=log)
    (failure,) = document["failures"]
    assert (failure["prompt"], "broke off" in failure["why"]) == ("prompt 2", True)
    assert (document["asked"], document["read"], document["judged"]) == (2, 2, 2)
    (run,) = [item for item in document["runs"] if item["record_id"] == failure["record_id"]]
    assert run["vendor"][0] > 0
    assert "`dify-exporter explain " in spoken.stderr


def test_a_dry_run_says_what_it_would_cost_and_asks_nothing(dify: str, tmp_path: Path) -> None:
    with ServiceApiTwin(dify, None, Factors()) as twin:
        done = calibrate(
            dify, tmp_path, twin, "--dry-run", "--json", "-n", "2", "--model", "openai/gpt-4o-mini"
        )
        assert twin.asked == []
    document = json.loads(done.stdout)
    assert (done.returncode, document["requests"], document["model"]) == (0, 24, "gpt-4o-mini")
    assert document["input"] > 1000


def test_a_cost_that_is_tiny_is_shown_with_its_digits(dify: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Hello?\n", "utf-8")
    with ServiceApiTwin(dify, None, Factors()) as twin:
        done = calibrate(
            dify,
            tmp_path,
            twin,
            "--dry-run",
            "-n",
            "1",
            "--model",
            "openai/gpt-4o-mini",
            "--prompts",
            str(prompts),
        )
    # gpt-4o-mini: 0.15 and 0.60 USD per million; 9 tokens in (as OpenAI's cookbook counts), 10 tokens out
    assert "about 0.0000074 USD" in done.stdout, done.stdout


def test_without_a_yes_or_a_key_nothing_is_asked(dify: str, tmp_path: Path) -> None:
    with ServiceApiTwin(dify, None, Factors()) as twin:
        refused = calibrate(dify, tmp_path, twin, "--json")
        assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
        no_key = calibrate(dify, tmp_path, twin, "--yes", key="")
        assert (no_key.returncode, "DIFY_APP_KEY" in no_key.stderr) == (2, True)
        wrong = calibrate(dify, tmp_path, twin, "--yes", key="app-WRONGSECRET")
        assert (wrong.returncode, "not accepted" in wrong.stderr) == (3, True)
        assert "WRONGSECRET" not in wrong.stderr + wrong.stdout
        assert twin.asked == []


def test_neither_a_password_in_the_address_nor_a_copied_example_key_gets_out(
    dify: str, tmp_path: Path
) -> None:
    with ServiceApiTwin(dify, None, Factors()) as twin:
        copied = calibrate(dify, tmp_path, twin, "--yes", key="app-…")
        assert (copied.returncode, "not a key" in copied.stderr) == (2, True)
        away = calibrate(
            dify, tmp_path, twin, "--yes", "--url", "http://someone:SECRETWORD@127.0.0.1:1/v1", key=KEY
        )
        assert (away.returncode, "127.0.0.1:1/v1/info does not answer" in away.stderr) == (3, True)
        assert "SECRETWORD" not in away.stderr + away.stdout


def test_an_entry_of_netrc_does_not_take_the_place_of_the_apps_key(
    dify: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ServiceApiTwin(dify, None, Factors()) as twin:
        done = calibrate(dify, tmp_path, twin, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
