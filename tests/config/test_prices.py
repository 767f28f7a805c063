"""The settings of prices: inline, in a file, and what makes them impossible."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from exporter import config
from exporter.errors import Misconfigured
from exporter.model import Tokens
from exporter.prices.book import price_book
from tests.prices.books import NOW, cost

FILE = """
entries:
  - provider: tongyi
    model: qwen-plus*
    currency: CNY
    from: 2026-01-01
    time_zone: Asia/Shanghai
    input: 0.8
    output: 2
    tiers:
      - {above: 128000, input: 2.4, output: 20}
rates:
  - {currency: CNY, per: USD, rate: 7.1, date: 2026-11-01}
"""


def load(tmp_path: Path, text: str) -> config.Settings:
    file = tmp_path / "dify-exporter.yaml"
    file.write_text(text, "utf-8")
    return config.load(file, {}).settings


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(Misconfigured) as raised:
        load(tmp_path, text)
    return "\\n".join(raised.value.problems)


def test_a_price_file_adds_to_the_entries_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(FILE, "utf-8")
    settings = load(
        tmp_path,
        f"prices: {{file: {tmp_path}/prices.yaml, list_prices: false, entries: [{{model: a, currency: USD, input: 0.1}}]}}",
    )
    book = price_book(settings.prices)
    assert cost(book, "a", Tokens(1_000_000, 0))[0] == Decimal("0.1")  # as written, no binary fraction
    long = book.price((("tongyi", "qwen-plus"),), NOW, Tokens(200_000, 0))
    assert "prices.yaml: entries[0], over 128000 input tokens" in str(long)
    assert [rate.per for rate in settings.prices.of_file.rates] == ["USD"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{currency: USD, input: 1}", "prices.entries.0.model: is required"),
        ("{model: m, currency: dollars, input: 1}", "prices.entries.0.currency"),
        ("{model: m, currency: USD}", "one of input, output, per_request and per_character is needed"),
        ("{model: m, currency: USD, input: -1}", "prices.entries.0.input"),
        ("{model: m, currency: USD, input: 1, inptu: 2}", "prices.entries.0.inptu: no such setting"),
        ("{model: m, currency: USD, input: 1, hours: ['9-12']}", "expected hours such as 08:30-18:00"),
        ("{model: m, currency: USD, input: 1, hours: ['09:00-09:00']}", "begin and end at the same time"),
        ("{model: m, currency: USD, input: 1, time_zone: Mars}", "no zone name"),
        ("{model: m, currency: USD, input: 1, from: soon}", "expected a day or a time"),
        ("{model: m, currency: USD, input: 1, tiers: [{above: 5}, {above: 5}]}", "same number of tokens"),
    ],
)
def test_an_entry_that_cannot_work_is_refused_at_start(tmp_path: Path, entry: str, told: str) -> None:
    assert told in problems(tmp_path, f"prices: {{entries: [{entry}]}}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("entries: [", "is not valid YAML"),
        ("- a", "entries: or rates: are missing"),
        ("entries: [{model: m, currency: USD}]", "entries.0: one of input"),
    ],
)
def test_a_price_file_that_cannot_work_is_refused_at_start(
    tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "prices.yaml"
    if text is not None:
        file.write_text(text, "utf-8")
    found = problems(tmp_path, f"prices: {{file: {file}}}")
    assert "prices.yaml" in found
    assert told in found


def test_a_rate_between_a_currency_and_itself_is_refused(tmp_path: Path) -> None:
    assert "are the same" in problems(tmp_path, "prices: {rates: [{currency: USD, per: USD, rate: 1}]}")
