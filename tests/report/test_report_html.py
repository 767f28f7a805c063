"""The HTML report in a real browser: the numbers of the JSON, readable on a phone and on paper, in both languages, from one file
that asks for nothing else."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter import clock, config
from exporter.model import Confidence, Finding, Verdict
from exporter.report import document as reports
from exporter.report.definitions import BY_LANGUAGE as DEFINITIONS
from exporter.report.html import html_text
from exporter.report.window import read_window
from exporter.report.words import CHINESE, ENGLISH
from exporter.state.store import Store
from tests.web.chromium import Browser, needed
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

OUTPUT = Path(__file__).parents[1] / "output"
DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of two days, two apps, a cause, a rest, and prices."""
    store = Store(tmp_path_factory.mktemp("html") / "state.db")
    title = Finding("hidden_title", 400, 30, Confidence.CERTAIN, "seen", "do")
    calls: list[dict[str, object]] = [
        {"dify": (1000, 100), "vendor": (1000, 100), "cost": usd("0.01"), "vendor_cost": usd("0.012")},
        {"dify": (0, 0), "vendor": (400, 30), "findings": (title,), "verdict": Verdict.EXPLAINED},
        {"dify": (500, 50), "vendor": (530, 50), "verdict": Verdict.UNEXPLAINED, "model": "qwen-plus"},
    ]
    for number, call in enumerate(calls, 1):
        app = "<b>Support</b> & co" if number % 2 else "Search"
        keep(store, build_trace(number, app=app, started_at=NOON + number * DAY // 2, calls=[call]))
    wanted = config.load(Path(os.devnull), {}, {}).settings
    window = read_window(clock.rfc3339(NOON - DAY), clock.rfc3339(NOON + 3 * DAY), "UTC", NOON)
    with store.read() as connection:
        return reports.build(connection, wanted, reports.Question(window, ("app", "model"), 1.0, NOON))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(needed(), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def opened(
    browser: Browser, document: dict[str, Any], tmp_path: Path, language: str = "en", **shape: Any
) -> Any:
    file = tmp_path / f"report-{language}.html"
    file.write_text(html_text(document, language), "utf-8")
    page = browser.page(script_policy=False, **shape)
    page.go(file.as_uri())
    return page


def number(page: Any, selector: str) -> int:
    text = page.value(f"document.querySelector({json.dumps(selector)}).textContent")
    return int(re.sub("[,+]", "", text).replace("−", "-"))


def test_its_totals_are_those_of_the_json(browser: Browser, document: dict[str, Any], tmp_path: Path) -> None:
    page = opened(browser, document, tmp_path)
    total = document["total"]
    for name in ("dify", "local", "vendor", "difference"):
        assert number(page, f"#{name}-total") == total[name]["input"] + total[name]["output"]
    assert number(page, "#unexplained-total") == total["unexplained"]["size"] == 30
    steps = page.value(
        "[...document.querySelectorAll('#way tbody tr')].map(r => r.cells[3].textContent.trim())"
    )
    values = [int(step.replace(",", "").replace("+", "").replace("−", "-")) for step in steps]
    assert values == [1650, 430, 30, 2110]
    assert values[0] + sum(values[1:-1]) == values[-1]
    assert "Above tolerance" in page.value("document.querySelector('.banner').textContent")


def test_names_from_dify_are_text_and_nothing_is_loaded_from_elsewhere(
    browser: Browser, document: dict[str, Any], tmp_path: Path
) -> None:
    page = opened(browser, document, tmp_path)
    assert "<b>Support</b> & co" in page.value("document.body.innerText")
    assert page.value("performance.getEntriesByType('resource').length") == 0
    assert not re.search(r"""(?:src|href)=|url\(|<script""", html_text(document, "en"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_fits_a_phone_and_paper(
    browser: Browser, document: dict[str, Any], tmp_path: Path, language: str
) -> None:
    page = opened(browser, document, tmp_path, language, width=360, height=740)
    assert page.value("document.documentElement.scrollWidth") <= 360
    OUTPUT.mkdir(exist_ok=True)
    paper = base64.b64decode(
        page.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
    )
    (OUTPUT / f"report-{language}.pdf").write_bytes(paper)
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) <= 5
    box = re.search(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", paper)
    assert box is not None
    assert float(box[1]) > float(box[2]), "landscape, so that the tables fit"


def test_it_speaks_chinese_and_explains_its_numbers(
    browser: Browser, document: dict[str, Any], tmp_path: Path
) -> None:
    page = opened(browser, document, tmp_path, "zh")
    text = page.value("document.body.innerText")
    assert page.value("document.documentElement.lang") == "zh-Hans"
    assert CHINESE["way"] in text
    assert ENGLISH["way"] not in text
    assert all(item.made in text for item in DEFINITIONS["zh"])


def test_both_languages_have_every_word_with_the_same_places() -> None:
    assert ENGLISH.keys() == CHINESE.keys()
    for key, words in ENGLISH.items():
        assert set(re.findall(r"{(\w+)}", words)) == set(re.findall(r"{(\w+)}", CHINESE[key])), key
    assert len(DEFINITIONS["en"]) == len(DEFINITIONS["zh"])
