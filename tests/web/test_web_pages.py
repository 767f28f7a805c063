from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from exporter.model import (
    AssessedTrace,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    RecordKind,
    RecordRef,
    Status,
    Step,
    StepKind,
    Sums,
    Tokens,
    Verdict,
)
from exporter.state import health, outbox, records
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from exporter.web.readiness import Readiness
from tests.web.conftest import Serve, Site
from tests.web.traces_by_hand import NOON, SECOND, SECRET, build_trace, keep

HOSTILE = '<script>alert("app")</script>&\'"'
RETRY = Finding(
    "retry_billed", 12, 0, Confidence.CERTAIN, "Two requests carry the same prompt.", "Set `retries` lower."
)
VOID = {"meta", "link", "br", "input"}


class Page(HTMLParser):
    """A page as a reader has it: text by element class, links, and whether every element is closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.depth_of_call: list[int] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(source)
        self.close()
        assert self.open == [], "elements left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"script", "noscript"} & set(self.open):
            self.words.append(" ".join(data.split()))
            if "ul" in self.open:
                self.depth_of_call.append(self.open.count("ul"))

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read(site: Site, path: str) -> Page:
    answer = site.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def rows(site: Site, path: str = "/traces") -> list[str]:
    """Trace ids in the order of the list."""
    return re.findall(r'<tr id="t([0-9a-f]{32})"', site.get(path).text)


def trace_id(number: int) -> str:
    return f"{number:032x}"


def test_an_empty_ledger_says_what_will_happen(serve: Serve) -> None:
    page = read(serve(lambda: Readiness(("Dify was not read yet.",))), "/")
    assert "No traces yet" in page.text
    assert "Dify was not read yet." in page.text


def test_the_list_shows_three_readings_the_difference_and_the_cause(store: Store, serve: Serve) -> None:
    differing = {
        "dify": (1000, 20),
        "local": (1001, 21),
        "vendor": (1012, 20),
        "verdict": Verdict.EXPLAINED,
        "findings": (RETRY,),
    }
    keep(store, build_trace(1, calls=[differing], verdict=Verdict.EXPLAINED))
    page = read(serve(), "/traces")
    row = page.text.split("2026-11-23")[-1]
    assert (
        row.index("explained") < row.index("1,000 → 20") < row.index("1,001 → 21") < row.index("1,012 → 20")
    )
    assert "+12 in 0 out Retry billed" in row
    assert f"/traces/{trace_id(1)}" in page.links
    assert "+12 in 0 out tokens, in 1 call that both counted" in page.text


def test_sums_name_the_calls_they_leave_out(store: Store, serve: Serve) -> None:
    calls = [
        {"dify": (10, 1), "vendor": (13, 1)},
        {"dify": (20, 2), "vendor": None},
        {"dify": None, "local": (5, 5), "vendor": None},
    ]
    keep(store, build_trace(1, calls=calls, verdict=Verdict.UNVERIFIED))
    row = read(serve(), "/traces").text.split("2026-11-23")[-1]
    assert "30 → 3 2 of 3 calls" in row
    assert "13 → 1 1 of 3 calls" in row
    assert "+3 in 0 out" in row, "the difference is over the one call that both counted"


def test_of_a_call_that_dify_did_not_record_the_whole_is_the_difference(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, calls=[{"dify": None}], verdict=Verdict.UNEXPLAINED))
    site = serve()
    assert "unexplained 1 – 12 → 7 12 → 7 +12 in +7 out" in read(site, "/traces").text
    text = read(site, f"/traces/{trace_id(1)}").text
    assert "Dify recorded no tokens for this call" in text


def test_unknown_is_a_dash_and_zero_is_zero(store: Store, serve: Serve) -> None:
    keep(
        store,
        build_trace(1, calls=[{"dify": (0, 0), "local": None, "vendor": None}], verdict=Verdict.UNVERIFIED),
    )
    row = read(serve(), "/traces").text.split("2026-11-23")[-1]
    assert "unverified 1 0 → 0 – – –" in row


def test_a_relayed_number_is_shown_and_never_compared(store: Store, serve: Serve) -> None:
    keep(
        store,
        build_trace(
            1, calls=[{"independent": False, "verdict": Verdict.UNVERIFIED}], verdict=Verdict.UNVERIFIED
        ),
    )
    site = serve()
    assert "12 → 7 12 → 7 – –" in read(site, "/traces").text
    text = read(site, f"/traces/{trace_id(1)}").text
    assert "relayed" in text
    assert "no second proof" in text
    assert "Vendor − Dify: " not in text


def test_newest_stand_first_and_filters_narrow_the_list(store: Store, serve: Serve) -> None:
    keep(
        store,
        build_trace(1, started_at=NOON),
        build_trace(2, started_at=NOON + SECOND, app="KB chat", verdict=Verdict.UNEXPLAINED),
        build_trace(3, started_at=NOON + 2 * SECOND, verdict=Verdict.UNEXPLAINED),
    )
    site = serve()
    assert rows(site) == [trace_id(3), trace_id(2), trace_id(1)]
    assert rows(site, "/traces?verdict=unexplained") == [trace_id(3), trace_id(2)]
    assert rows(site, "/traces?verdict=unexplained&app=KB+chat") == [trace_id(2)]
    assert rows(site, "/traces?app=app-of-KB%20chat") == [trace_id(2)]
    assert rows(site, "/traces?verdict=pending") == []
    assert "No such trace among the 0 looked at" in read(site, "/traces?verdict=pending").text


def test_paging_shows_every_trace_once_even_when_many_began_in_the_same_second(
    store: Store, serve: Serve
) -> None:
    keep(
        store, *(build_trace(number, started_at=NOON + (number // 120) * SECOND) for number in range(1, 251))
    )
    site, path, seen = serve(), "/traces", []
    while path:
        page = read(site, path)
        seen += rows(site, path)
        path = next((link for link in page.links if "before=" in link and "lang=" not in link), "")
    assert len(seen) == 250
    assert set(seen) == {trace_id(number) for number in range(1, 251)}


def test_a_rare_verdict_in_a_long_history_is_found_at_once(store: Store, serve: Serve) -> None:
    others = [build_trace(number, started_at=NOON + number * SECOND) for number in range(2, 1103)]
    keep(store, build_trace(1, started_at=NOON, verdict=Verdict.UNEXPLAINED), *others)
    assert rows(serve(), "/traces?verdict=unexplained") == [trace_id(1)]


def test_hostile_names_are_shown_as_text(store: Store, serve: Serve) -> None:
    hostile = Finding("bad_<u>", 1, 0, Confidence.LIKELY, f"evidence {HOSTILE}", f"advice {HOSTILE} `<i>`")
    trace = build_trace(1, app=HOSTILE, calls=[{"model": HOSTILE, "provider": HOSTILE, "findings": (hostile,)}],
                        findings=(hostile,), notes=(f"note {HOSTILE}",))  # fmt: skip
    keep(store, trace)
    with store.transaction("test") as connection:
        health.remember(connection, "source.Dify", HOSTILE)
        health.undelivered(connection, HOSTILE, NOON, HOSTILE, hold=True)
        health.failed(connection, HOSTILE, NOON, HOSTILE)
    site = serve(lambda: Readiness((HOSTILE,), (HOSTILE,)))
    for path in (
        "/",
        f"/traces?app={HOSTILE.replace('&', '%26')}",
        f"/traces/{trace_id(1)}",
        "/reconciliation",
        "/status",
    ):
        source = site.get(path).text
        assert "alert(" in source
        assert "<script>alert" not in source
        assert not re.search(r"<(u|i)>", source)
        page = Page(source)
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_pages_need_nothing_from_elsewhere_and_nothing_inline(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, calls=[{"findings": (RETRY,)}]))
    site = serve()
    for path in ("/", "/traces", f"/traces/{trace_id(1)}", "/reconciliation", "/status", "/nowhere"):
        source = site.get(path).text
        page = Page(source)
        loaded = [
            value for tag, name, value in page.attributes if name in ("src", "href", "action") and value
        ]
        assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in loaded)
        assert not [name for _, name, _ in page.attributes if name == "style" or name.startswith("on")]
        assert not re.search(r"<style|<script(?![^>]*\ssrc=)", source)
        for address in {address for address in loaded if address.startswith("/static/")}:
            assert site.get(address).status_code == 200
    for name in ("style.css", "live.js"):
        assert not re.search(r"https?://|url\(|@import|import ", site.get(f"/static/{name}").text)


def test_no_text_of_a_prompt_or_answer_leaves_the_server(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1, calls=[{"findings": (RETRY,)}]))
    site = serve()
    paths = (
        "/",
        "/traces",
        f"/traces/{trace_id(1)}",
        "/reconciliation",
        "/status",
        "/metrics",
        "/readyz",
        "/api/traces",
        f"/api/traces/{trace_id(1)}",
    )
    for path in paths:
        assert SECRET not in site.get(path).text, path
    assert "texts of prompts and answers are not kept here" in read(site, f"/traces/{trace_id(1)}").text


def test_a_trace_opens_by_its_id_its_message_or_its_run(store: Store, serve: Serve) -> None:
    trace = build_trace(1)
    run = "0190f7c2-1111-7000-8000-00000000000a"
    keep(store, replace(trace, trace=replace(trace.trace, workflow_run_id=run)))
    site = serve()
    for name in (trace_id(1), trace_id(1).upper(), trace.trace.ref.id, run):
        assert trace_id(1) in read(site, f"/traces/{name}").text


def test_one_call_is_explained_in_words(store: Store, serve: Serve) -> None:
    call = {
        "dify": (1000, 20),
        "local": (1001, 20),
        "vendor": (1012, 20),
        "verdict": Verdict.EXPLAINED,
        "findings": (RETRY,),
    }
    keep(store, build_trace(1, calls=[call], verdict=Verdict.EXPLAINED, notes=("messages.message is cut",)))
    text = read(serve(), f"/traces/{trace_id(1)}").text
    for words in (
        "Vendor − Dify: +12 input, 0 output ; nothing remains unexplained",
        "the vendor's number, passed on by the plugin",
        "12 fewer input than the vendor",
        "output equal to the vendor's",
        "from messages",
        "exact: the vendor's own vocabulary and format",
        "11 fewer input than the vendor",
        "from tokenizer o200k_base",
        "matched by response text, confidence 99%",
        "from gateway:my-gateway",
        "chatcmpl-1 my-gateway ok 1,012 20",
        "Retry billed retry_billed +12 input, 0 output certain",
        "Two requests carry the same prompt.",
        "What to do: Set retries lower.",
        "messages.message is cut",
    ):
        assert words in text, words


def test_dify_s_three_sums_are_set_side_by_side(store: Store, serve: Serve) -> None:
    sums = Sums(leaves=Tokens(74, 296), message=Tokens(148, 592), run_total=370, containers_total=370)
    keep(store, build_trace(1, sums=sums))
    keep(store, build_trace(2, sums=Sums(leaves=Tokens(12, 7), message=Tokens(12, 7))))
    site = serve()
    text = read(site, f"/traces/{trace_id(1)}").text
    assert "Sum over the model calls 74 296 370 Message 148 592 740 Workflow run – – 370" in text
    assert "they differ" in text
    assert "repeat 370 tokens" in text
    assert "they ought to be equal, and they are" in read(site, f"/traces/{trace_id(2)}").text


def test_a_call_whose_total_alone_is_known_shows_that_total(store: Store, serve: Serve) -> None:
    trace = build_trace(1, calls=[{"vendor": None, "local": None, "verdict": Verdict.UNVERIFIED}])
    reading = DifyReading(Tokens(), "node.outputs.json", DifyKind.UNKNOWN, total=1369)
    keep(store, replace(trace, assessments=(replace(trace.assessments[0], dify=reading),)))
    site = serve()
    text = read(site, f"/traces/{trace_id(1)}").text
    assert "dify 1,369 in total Dify keeps no more of it" in text
    assert "o-mini 1,369 total – – unverified" in text
    assert "1 1,369 total – – –" in read(site, "/traces").text


def test_a_total_alone_is_never_added_to_inputs_or_outputs(store: Store, serve: Serve) -> None:
    trace = build_trace(1, calls=[{"vendor": None}, {"vendor": None}], verdict=Verdict.UNVERIFIED)
    reading = DifyReading(Tokens(), "node.outputs.json", DifyKind.UNKNOWN, total=1369)
    first, second = trace.assessments
    keep(store, replace(trace, assessments=(first, replace(second, dify=reading))))
    assert "12 → 7 1 of 2 calls, 1,369 more in total" in read(serve(), "/traces").text


def nested(depth: int, count: int = 1) -> AssessedTrace:
    """A trace of steps one inside the other, `count` at the innermost."""
    trace = build_trace(1, calls=[])
    steps = [trace.trace.steps[0]]
    for level in range(1, depth):
        inner = Step(
            f"{level:016x}",
            steps[-1].span_id,
            StepKind.NODE,
            f"level {level}",
            NOON,
            NOON + SECOND,
            Status.OK,
        )
        steps.append(inner)
    parent = steps[-1].span_id
    steps += [
        Step(f"{9_000_000 + n:016x}", parent, StepKind.TOOL, f"leaf {n}", NOON, NOON, Status.ERROR)
        for n in range(count)
    ]
    return replace(trace, trace=replace(trace.trace, steps=tuple(steps)))


def test_steps_are_nested_as_they_ran(store: Store, serve: Serve) -> None:
    keep(store, nested(3, count=2))
    source = serve().get(f"/traces/{trace_id(1)}").text
    depths = {}
    for name in ("Support chat", "level 1", "level 2", "leaf 0", "leaf 1"):
        before = source[: source.index(f'<span class="label">{name}</span>')]
        depths[name] = before.count("<ul") - before.count("</ul>")
    assert depths == {"Support chat": 1, "level 1": 2, "level 2": 3, "leaf 0": 4, "leaf 1": 4}
    assert source.index("leaf 0") < source.index("leaf 1")


@pytest.mark.parametrize(("depth", "leaves"), [(400, 1), (2, 5000)])
def test_a_monstrous_trace_still_makes_a_page(store: Store, serve: Serve, depth: int, leaves: int) -> None:
    keep(store, nested(depth, leaves))
    page = read(serve(), f"/traces/{trace_id(1)}")
    assert page.text.count("level ") == depth - 1
    assert ("more steps are in the JSON" in page.text) == (leaves > 2000)


def test_bars_stay_inside_the_time_line(store: Store, serve: Serve) -> None:
    trace = build_trace(1)
    early = Step(
        "00000000000000aa",
        trace.trace.steps[0].span_id,
        StepKind.NODE,
        "early",
        NOON - 9 * SECOND,
        NOON + 99 * SECOND,
        Status.OK,
    )
    keep(store, replace(trace, trace=replace(trace.trace, steps=(*trace.trace.steps, early))))
    source = serve().get(f"/traces/{trace_id(1)}").text
    bars = re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', source)
    assert len(bars) == 3
    for start, width in bars:
        assert float(start) >= 0
        assert float(width) > 0
        assert float(start) + float(width) <= 100.01


def test_a_child_run_is_linked(store: Store, serve: Serve) -> None:
    trace = build_trace(1)
    tool = Step(
        "00000000000000aa",
        trace.trace.steps[0].span_id,
        StepKind.TOOL,
        "inner",
        NOON,
        NOON,
        Status.OK,
        link=trace_id(2),
    )
    keep(store, replace(trace, trace=replace(trace.trace, steps=(*trace.trace.steps, tool))))
    assert f"/traces/{trace_id(2)}" in read(serve(), f"/traces/{trace_id(1)}").links


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/traces/{trace_id(99)}", 404),
        ("/traces/not-an-id", 400),
        ("/traces/" + "a" * 33, 400),
        ("/traces/a/b", 404),
        ("/nowhere", 404),
        ("/static/nothing.css", 404),
        ("/static/..%2f..%2fapp.py", 404),
        ("/traces?verdict=maybe", 400),
        ("/traces?sort=sideways", 400),
        ("/traces?since=yesterday", 400),
        ("/traces?since=2026-11-24&until=2026-11-23", 400),
        ("/reconciliation?since=2020-01-01&until=2026-01-01", 400),
        ("/?period=century", 400),
        ("/traces?before=yesterday", 400),
        ("/traces?before=x.1", 400),
    ],
)
def test_what_is_not_there_is_a_plain_page(store: Store, serve: Serve, path: str, status: int) -> None:
    keep(store, build_trace(1))
    answer = serve().get(path)
    assert answer.status_code == status
    page = Page(answer.text)
    assert "/" in page.links
    assert "Traceback" not in answer.text
    assert "not-an-id" not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/traces/{trace_id(99)}", 404),
        ("/api/traces/not-an-id", 400),
        ("/api/nothing", 404),
        ("/api/traces?limit=0", 400),
        ("/api/traces?limit=many", 400),
        ("/api/traces?limit=501", 400),
    ],
)
def test_programs_get_their_errors_as_json(store: Store, serve: Serve, path: str, status: int) -> None:
    answer = serve().get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_the_json_holds_the_documents_and_goes_on_page_by_page(store: Store, serve: Serve) -> None:
    keep(store, *(build_trace(number, started_at=NOON) for number in range(1, 6)))
    site = serve()
    path, seen = "/api/traces?limit=2", []
    while path:
        body = site.get(path).json()
        seen += [document["trace_id"] for document in body["traces"]]
        path = f"/api/traces?limit=2&before={body['older']}" if body["older"] else ""
    assert seen == [trace_id(number) for number in (5, 4, 3, 2, 1)]
    one = site.get(f"/api/traces/{trace_id(3)}").json()
    assert one["calls"][0]["readings"]["vendor"]["input"] == 12
    assert one["calls"][0]["verdict"] == "agree"
    assert json.dumps(one) == json.dumps(site.get("/api/traces?limit=3").json()["traces"][2])


def test_an_unchanged_page_is_not_sent_again(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1))
    site = serve()
    for path in ("/", f"/traces/{trace_id(1)}", "/api/traces", "/static/style.css"):
        first = site.get(path)
        again = site.get(path, If_None_Match=first.headers["ETag"])
        assert again.status_code == 304
        assert again.text == ""
    etag = site.get("/").headers["ETag"]
    keep(store, build_trace(2))
    assert site.get("/", If_None_Match=etag).status_code == 200


def test_the_list_renews_itself_with_and_without_a_script(store: Store, serve: Serve) -> None:
    source = serve().get("/traces").text
    assert '<script src="/static/live.js" defer></script>' in source
    assert '<noscript><meta http-equiv="refresh"' in source
    parts = re.findall(r'id="([\w-]+)"[^>]*\sdata-live', source)
    assert {"ready", "summary", "list", "paging"} == set(parts)


def test_the_status_page_says_what_stands_and_what_is_stuck(store: Store, serve: Serve) -> None:
    parcels = [Parcel("langfuse", trace_id(number), 1, b"x" * 2048, 3, NOON, NOON) for number in range(3)]
    ref = RecordRef(RecordKind.RUN, "run-1", NOON)
    with store.transaction("test") as connection:
        health.remember(connection, "source.Dify", "1.12.1 (migration 788d3099ae3a)")
        outbox.put(connection, parcels, NOON)
        outbox.bury(connection, outbox.take(connection, "langfuse", NOON, 1)[0], "HTTP 400: bad span")
        health.delivered(connection, "langfuse", NOON, traces=1200, spans=9000, confirmed=1100)
        health.undelivered(connection, "otlp", NOON, "HTTP 401", hold=True)
        records.meet(connection, [ref], NOON)
        records.settle(connection, [records.Outcome(ref, "set_aside", "no trace could be made of its rows")])
        health.failed(connection, "poll", NOON, "connection refused")
    site = serve(
        lambda: Readiness(("Dify cannot be read.",), ("Look.",), False, NOON - 60 * SECOND, 120.0),
        destinations=("langfuse", "langsmith"),
    )
    text = read(site, "/status").text
    for words in (
        "Not ready Dify cannot be read. To look at Look.",
        "Dify 1.12.1 (migration 788d3099ae3a)",
        "Last read 2 min 00 s ago Behind 2 min 00 s",
        "langfuse delivering Delivered traces 1,200 Delivered spans 9,000 Last delivery 1 min 00 s ago Waiting 2 oldest 1 min 00 s",
        "Confirmed read back 1,100",
        "Dead letters 1 Kept for it 6.0 KiB",
        "langsmith idle",
        "otlp on hold HTTP 401",
        f"langfuse {trace_id(0)} 3 HTTP 400: bad span",
        "run run-1 no trace could be made of its rows",
        "poll failing never 1 connection refused",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("readiness", "word"),
    [
        (Readiness(), "ready"),
        (Readiness(warnings=("a", "b")), "ready, with 2 to look at"),
        (Readiness(problems=("a",)), "not ready"),
    ],
)
def test_every_page_says_in_its_head_whether_all_is_well(
    store: Store, serve: Serve, readiness: Readiness, word: str
) -> None:
    keep(store, build_trace(1))
    site = serve(lambda: readiness)
    for path in ("/", "/traces", f"/traces/{trace_id(1)}", "/reconciliation", "/status"):
        head = re.search(r'id="ready".*?</a>', site.get(path).text, re.DOTALL)
        assert head is not None
        assert html.unescape(re.sub(r"<[^>]*>", "", head[0].split(">", 1)[1])).strip() == word
