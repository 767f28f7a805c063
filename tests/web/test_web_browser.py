"""The pages as a reader has them: a real headless Chromium on the recorded demo traffic. Pictures: tests/output/pages/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest

from exporter import clock, config
from exporter.daemon import App
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.conftest import RecordedDify
from tests.web import chromium
from tests.web.chromium import Browser, Page

PICTURES = Path(__file__).parents[1] / "output" / "pages"
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PHONE = (390, 844)
SITUATIONS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"dark": True},
    "chinese": {"language": "zh-CN"},
    "phone": {"width": PHONE[0], "height": PHONE[1]},
    "phone-dark-chinese": {"width": PHONE[0], "height": PHONE[1], "dark": True, "language": "zh-CN"},
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here."""
    opened = Browser(chromium.needed(), tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def address(recorded_dify: RecordedDify, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo's traffic, read and compared by the whole program, as a site."""
    state = tmp_path_factory.mktemp("state") / "state.db"
    vendor = [{"kind": "file", "path": str(recorded_dify.vendor_log), "name": "gateway"}]
    flags = {"dify.database.url": recorded_dify.url, "state.path": str(state), "vendor": vendor}
    settings = config.load(Path("/dev/null"), {}, flags).settings
    with App(settings) as app:
        app.run_once()
        now = clock.now()
        ready = Readiness(
            read_at=now, lag_seconds=0.0, warnings=("Look here. `dify-exporter check` says more.",)
        )
        server = WebServer(
            build_app(
                app.store, lambda: ready, settings.web, ("langfuse",), lambda: now,
                links=lambda trace_id: [("langfuse", f"http://127.0.0.1:3000/trace/{trace_id}")],
            )
        )  # fmt: skip
        yield f"http://127.0.0.1:{server.start('127.0.0.1', 0)}"
        server.stop()


@pytest.fixture(scope="module")
def pages(address: str) -> dict[str, str]:
    """Every kind of page; the trace is the one with the largest difference."""
    import requests

    found = requests.get(f"{address}/api/traces?sort=gap&limit=1", timeout=30).json()["traces"]
    return {
        "overview": "/",
        "traces": "/traces?limit=15",
        "traces-by-gap": "/traces?sort=gap&verdict=explained&limit=15",
        "trace": f"/traces/{found[0]['trace_id']}",
        "reconciliation": "/reconciliation",
        "health": "/status",
        "error": "/nowhere",
    }


NAMES = ("overview", "traces", "traces-by-gap", "trace", "reconciliation", "health", "error")


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_accessible_fits_its_screen_and_breaks_no_rule(
    browser: Browser, address: str, pages: dict[str, str], name: str, situation: str
) -> None:
    page = browser.page(**SITUATIONS[situation], script_policy=False)
    page.go(address + pages[name])
    page.value("for (const details of document.querySelectorAll('details')) details.open = true")
    page.picture(PICTURES / f"{name}-{situation}.png")
    width = SITUATIONS[situation].get("width", 1280)
    assert page.value("document.documentElement.scrollWidth") <= width, "it can be scrolled sideways"
    assert not [words for words in page.complaints() if name != "error"]
    page.value(f"{AXE}; 0")
    found, looked_at = page.value("axe.run().then((result) => [result.violations, result.passes.length])")
    serious = [
        f"{item['id']} ({item['impact']}): {item['help']}: {[node['html'][:160] for node in item['nodes'][:3]]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
    assert not serious
    assert looked_at > 15, "axe did look"


def test_the_policy_of_the_site_forbids_foreign_and_inline_script(browser: Browser, address: str) -> None:
    page = browser.page()
    page.go(address + "/")
    page.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    blocked = page.value(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; "
        "document.body.append(s); return window.ran === undefined })()"
    )
    assert blocked
    assert page.value("fetch('http://127.0.0.1:1/').then(() => 'loaded', () => 'refused')") == "refused"
    assert any("Content Security Policy" in words for words in page.complaints())


def test_a_reader_filters_the_list_and_opens_a_trace_without_any_script(
    browser: Browser, address: str
) -> None:
    page = browser.page(script=False)
    page.go(f"{address}/traces")
    rows = "document.querySelectorAll('tr.trace').length"
    whole = page.value(rows)
    page.submit(
        "(() => { const form = document.querySelector('form.filter'); form.model.value = 'qwen-plus'; "
        "form.sort.value = 'gap'; form.querySelector('button').click() })()"
    )
    assert page.value("location.search").startswith("?app=&model=qwen-plus")
    assert 0 < page.value(rows) < whole
    assert page.value("document.querySelector('form.filter').model.value") == "qwen-plus"
    page.submit("document.querySelector('tr.trace td.app a').click()")
    assert page.value("location.pathname").startswith("/traces/")
    assert page.value("document.querySelectorAll('.reading h3 .of').length") >= 3
    assert page.value("document.querySelectorAll('.finding .advice').length") > 0
    assert page.value("document.querySelector('.elsewhere a').textContent") == "Open in langfuse"


def focused(page: Page, what: str) -> Any:
    return page.value(f"document.activeElement.{what}")


def test_the_keyboard_alone_leads_from_the_list_into_a_call_and_focus_is_always_seen(
    browser: Browser, address: str
) -> None:
    page = browser.page()
    page.go(f"{address}/traces?sort=gap")
    page.press("Tab")
    assert focused(page, "className") == "skip"
    assert page.value("document.activeElement.getBoundingClientRect().left") >= 0, "the skip link is seen"
    page.press("Enter")
    for _ in range(40):
        page.press("Tab")
        assert page.value("document.activeElement.closest('main') !== null"), "the head was skipped"
        assert page.value(
            "(() => { const of = (e, part) => getComputedStyle(e, part).outlineStyle; const e = document.activeElement;"
            " return of(e) !== 'none' || of(e, '::after') !== 'none' })()"
        ), focused(page, "outerHTML")
        if focused(page, "closest('tr.trace') !== null"):
            break
    else:
        pytest.fail("no trace was reached")
    page.press("Enter", leads_on=True)
    assert page.value("location.pathname").startswith("/traces/")
    for _ in range(40):
        page.press("Tab")
        if focused(page, "tagName") == "SUMMARY":
            break
    was_open = focused(page, "parentElement.open")
    page.press("Enter")
    assert focused(page, "parentElement.open") is not was_open


def test_what_is_focused_stands_in_the_order_of_the_page(browser: Browser, address: str) -> None:
    page = browser.page()
    page.go(f"{address}/")
    tops = []
    for _ in range(30):
        page.press("Tab")
        tops.append(
            page.value(
                "(() => { const e = document.activeElement; return [...document.querySelectorAll('*')].indexOf(e) })()"
            )
        )
    assert tops == sorted(tops)
    assert page.value("document.querySelectorAll('[tabindex]:not([tabindex=\"-1\"])').length") == 0


def test_the_language_link_turns_this_very_page(
    browser: Browser, address: str, pages: dict[str, str]
) -> None:
    page = browser.page()
    page.go(address + pages["traces-by-gap"])
    page.submit("document.querySelector('a.language').click()")
    assert page.value("document.documentElement.lang") == "zh-Hans"
    assert "verdict=explained" in page.value("location.search")
    assert "已解释" in page.value("document.querySelector('tr.trace').innerText")
    page.submit("document.querySelector('tr.trace td.app a').click()")
    assert page.value("document.documentElement.lang") == "zh-Hans", "the next page keeps it"


def test_dark_is_dark_and_light_is_light(browser: Browser, address: str) -> None:
    def brightness(dark: bool) -> int:
        page = browser.page(dark=dark)
        page.go(f"{address}/")
        colour = page.value("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    assert brightness(dark=True) < 120 < 600 < brightness(dark=False)


def test_an_open_page_is_renewed_in_place_and_keeps_what_the_reader_opened(
    browser: Browser, address: str
) -> None:
    page = browser.page()
    page.go(f"{address}/")
    page.value(
        "document.querySelector('#chart-table').open = true; window.same = true; document.querySelector('#newest').remove()"
    )
    page.value(
        "new Promise((done) => { const look = () => document.querySelector('#newest') ? done() : setTimeout(look, 50);"
        " shown.clear(); etag = null; ask().then(look) })"
    )
    assert page.value("window.same && document.querySelector('#chart-table').open")
