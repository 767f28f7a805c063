from __future__ import annotations

import re
import string

import pytest

from exporter.compare.catalog import FINDINGS
from exporter.model import Accuracy, Confidence, DifyKind, Finding, Status, StepKind, Verdict
from exporter.state.store import Store
from exporter.web.language import CHINESE, ENGLISH, LANGUAGES
from exporter.web.rendering import _HERE
from tests.web.conftest import Serve
from tests.web.traces_by_hand import build_trace, keep

HAN = re.compile(r"[\u4e00-\u9fff]")
PAGES = ("/", "/traces", "/reconciliation", "/status", "/nowhere", f"/traces/{1:032x}")


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_has_every_word_with_the_same_blanks() -> None:
    for language in LANGUAGES.values():
        assert language.texts.keys() == ENGLISH.texts.keys()
        for key, text in language.texts.items():
            assert text.strip(), key
            assert blanks(text) == blanks(ENGLISH.texts[key]), key


def test_every_finding_is_told_in_every_language() -> None:
    for language in LANGUAGES.values():
        assert language.findings.keys() == FINDINGS.keys()
    for code, words in CHINESE.findings.items():
        assert all(HAN.search(text) for text in (words.title, words.means, words.advice)), code


def test_every_code_that_a_document_can_hold_has_a_word() -> None:
    for prefix, codes in (
        ("verdict", Verdict), ("kind", DifyKind), ("accuracy", Accuracy), ("status", Status), ("step", StepKind),
        ("confidence", Confidence),
    ):  # fmt: skip
        assert all(f"{prefix}.{code.value}" in ENGLISH.texts for code in codes)


def test_every_word_that_a_page_asks_for_exists_and_none_is_left_over() -> None:
    sources = [path.read_text() for path in (*_HERE.glob("*.py"), *_HERE.glob("templates/*.html"))]
    text = "\n".join(sources)
    for key in re.findall(r'\bsay\("([\w. ]+)"[,)]', text):
        assert key in ENGLISH.texts, key
    made_up = {
        "verdict",
        "kind",
        "accuracy",
        "status",
        "step",
        "confidence",
        "state",
        "record",
        "match",
        "error",
    }
    for key in ENGLISH.texts:
        stem = re.sub(r"\.(one|many)$", "", key)
        if stem.partition(".")[0] not in made_up | {"part", "sums", "period", "chart", "reading"}:
            assert f'"{stem}"' in text, f"{key} is used nowhere"


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"), ("en-US,en;q=0.9,zh;q=0.8", "en"), ("zh", "zh-Hans"),
        ("fr,de;q=0.9", "en"), ("fr,zh-TW;q=0.5,en;q=0.4", "zh-Hans"), ("zh;q=0,en;q=0.1", "en"), ("zh;q=x", "en"),
        (";,;;q=", "en"),
    ],
)  # fmt: skip
def test_a_page_is_in_the_language_that_the_browser_prefers(serve: Serve, accepted: str, tag: str) -> None:
    answer = serve().get("/", Accept_Language=accepted)
    assert f'<html lang="{tag}">' in answer.text
    assert answer.headers["Content-Language"] == tag
    assert answer.headers["Vary"] == "Accept-Language"


def test_a_chosen_language_wins_and_every_link_and_form_keeps_it(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1))
    site = serve()
    for path in PAGES:
        source = site.get(f"{path}?lang=zh", Accept_Language="en").text
        assert '<html lang="zh-Hans">' in source, path
        links = re.findall(r'href="(/[^"]*)"', source)
        inside = [link for link in links if not link.startswith(("/static/", "/metrics", "/api/"))]
        assert inside
        assert all("lang=" in link for link in inside), [link for link in inside if "lang=" not in link]
        assert source.count("<form") == source.count('name="lang" value="zh"')
    assert "set-cookie" not in site.get("/?lang=zh").headers


def test_an_unknown_language_is_english_and_is_not_kept(serve: Serve) -> None:
    source = serve().get("/?lang=%22%3E%3Cscript%3E").text
    assert '<html lang="en">' in source
    assert "<script>" not in source
    assert 'href="/traces"' in source


def test_a_chinese_page_says_in_chinese_what_a_finding_means_and_marks_what_stays_english(
    store: Store, serve: Serve
) -> None:
    finding = Finding("retry_billed", 12, 0, Confidence.CERTAIN, "Two requests.", "Set `retries` lower.")
    call = {"vendor": (24, 7), "verdict": Verdict.EXPLAINED, "findings": (finding,)}
    keep(store, build_trace(1, calls=[call], verdict=Verdict.EXPLAINED))
    source = serve().get(f"/traces/{1:032x}?lang=zh").text
    assert "重试已计费" in source
    assert "每次重试都要付费" in source
    assert re.search(r'<p lang="en"[^>]*>Two requests\.</p>', source)
    assert "Set <code>" not in source


def test_a_chinese_page_holds_no_english_word_of_ours(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1))
    english = {text for text in ENGLISH.texts.values() if len(text) > 4 and not blanks(text)}
    english -= set(CHINESE.texts.values())
    for path in PAGES:
        source = re.sub(r"<[^>]*>", "\n", serve().get(f"{path}?lang=zh").text)
        lines = {line.strip() for line in source.splitlines()}
        assert not english & lines, path


def test_programs_get_english_whatever_the_browser_prefers(serve: Serve) -> None:
    answer = serve().get("/api/traces?limit=0", Accept_Language="zh")
    assert "limit" in answer.json()["error"]
    assert not HAN.search(answer.text)
