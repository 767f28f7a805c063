"""Send or enrich: asked seldom, decided once a trace, and unchanged by a Dify or a platform that does not answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from exporter import audit, config, printing
from exporter.destinations import registry
from exporter.destinations.base import Home, Way
from exporter.errors import Misconfigured, Unreachable
from exporter.existing import Existing, may_be_here
from exporter.model import App, RecordKind, RecordRef, Trace
from exporter.sources.tracing import TracedApp, Tracing
from exporter.state import sent_as
from exporter.state.prune import prune
from exporter.state.store import Store
from tests.contract.langfuse_twin import LangfuseTwin
from tests.destinations.destination_units import langfuse
from tests.spans.assessed_traces import APP, START, one_call
from tests.web.traces_by_hand import NOON, build_trace, keep

MINUTE = 60_000_000
KEYS = {"public_key": "pk", "secret_key": "sk", "endpoint": "http://127.0.0.1:1"}
TRACED = TracedApp(APP, "langfuse")


@dataclass
class Source:
    """Tells of Dify's own tracing what it is given."""

    answers: list[Tracing | Unreachable]
    asked: int = 0

    def tracing(self) -> Tracing:
        self.asked += 1
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer


@dataclass
class Chooser:
    """The choice with a clock that tests move."""

    store: Store
    entry: dict[str, Any]
    source: object
    now: int = START
    existing: Existing = field(init=False)

    def __post_init__(self) -> None:
        wanted = {"kind": "langfuse", **KEYS, **self.entry}
        settings = config.load(Path(os.devnull), {}, {"destinations": [wanted]}).settings
        built = registry.build(settings)
        self.existing = Existing(settings, built, self.source, self.store, lambda: self.now)
        self.destinations = {item.name: item for item in built}

    def ways(self, *traces: Trace) -> list[Way]:
        """How the traces go, the same for the scores; kept, as the pipeline does."""
        self.existing.look()
        found = self.existing.ways(traces)
        with self.store.transaction("page") as connection:
            sent_as.put(connection, found.items())
        chosen = [self.existing.way(found, self.destinations["langfuse"], trace) for trace in traces]
        scores = self.destinations["langfuse scores"]
        assert [self.existing.way(found, scores, trace) for trace in traces] == chosen
        return chosen


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "s.db")
    yield opened
    opened.close()


def trace(number: int = 1, **changes: Any) -> Trace:
    return replace(one_call(number).trace, **changes)


def test_dify_is_asked_once_a_minute(store: Store) -> None:
    source = Source([Tracing()])
    chooser = Chooser(store, {"existing": "auto"}, source)
    for _ in range(3):
        chooser.ways(trace())
    assert source.asked == 1
    chooser.now += MINUTE
    chooser.ways(trace())
    assert source.asked == 2


def test_without_langfuse_or_langsmith_nobody_is_asked(store: Store) -> None:
    source = Source([Tracing()])
    settings = config.load(
        Path(os.devnull), {}, {"destinations": [{"kind": "otlp", "endpoint": "http://o:1"}]}
    ).settings
    existing = Existing(settings, registry.build(settings), source, store, lambda: START)
    existing.look()
    assert existing.ways([trace()]) == {}
    assert source.asked == 0


@pytest.mark.parametrize("silence", [Unreachable("down"), Tracing(unknown="may not read apps")])
def test_what_was_known_stays_while_dify_does_not_tell(store: Store, silence: Tracing | Unreachable) -> None:
    chooser = Chooser(store, {"existing": "auto"}, Source([Tracing((TRACED,)), silence]))
    assert chooser.ways(trace(1)) == [Way.ENRICHED]
    chooser.now += MINUTE
    assert chooser.ways(trace(20)) == [Way.ENRICHED]


@pytest.mark.parametrize(
    ("existing", "traced", "expected"),
    [
        ("send", (TRACED,), Way.OWN),
        ("send", (), Way.OWN),
        ("auto", (TRACED,), Way.ENRICHED),
        ("auto", (), Way.OWN),
        ("enrich", (TRACED,), Way.ENRICHED),
        ("enrich", (), Way.SKIPPED),
        ("auto", None, Way.OWN),
        ("enrich", None, Way.ENRICHED),
    ],
)
def test_the_table_of_the_documentation(
    store: Store, existing: str, traced: tuple[TracedApp, ...] | None, expected: Way
) -> None:
    told = Tracing(unknown="no right") if traced is None else Tracing(traced)
    chooser = Chooser(store, {"existing": existing}, Source([told]))
    assert chooser.ways(trace()) == [expected]


def test_a_source_that_knows_nothing_of_it_is_as_one_that_may_not_tell(store: Store) -> None:
    assert Chooser(store, {"existing": "auto"}, object()).ways(trace()) == [Way.OWN]
    assert Chooser(store, {"existing": "enrich"}, object()).ways(trace(9)) == [Way.ENRICHED]


def test_a_trace_goes_the_way_it_went_whatever_is_switched_since(store: Store) -> None:
    on, off = Source([Tracing((TRACED,))]), Source([Tracing()])
    assert Chooser(store, {"existing": "auto"}, on).ways(trace(1)) == [Way.ENRICHED]
    assert Chooser(store, {"existing": "auto"}, off).ways(trace(1), trace(20)) == [Way.ENRICHED, Way.OWN]
    assert Chooser(store, {"existing": "auto"}, on).ways(trace(1), trace(20)) == [Way.ENRICHED, Way.OWN]
    assert Chooser(store, {}, off).ways(trace(1), trace(20), trace(40)) == [Way.ENRICHED, Way.OWN, Way.OWN]
    assert Chooser(store, {"existing": "enrich"}, on).ways(trace(20), trace(40)) == [Way.OWN, Way.ENRICHED]


def test_a_trace_that_was_counted_twice_is_corrected_in_both(store: Store) -> None:
    on = Source([Tracing((TRACED,))])
    assert Chooser(store, {}, on).ways(trace(1)) == [Way.OWN]
    assert Chooser(store, {"existing": "auto"}, on).ways(trace(1)) == [Way.OWN]


def test_where_there_is_no_choice_nothing_is_kept(store: Store) -> None:
    Chooser(store, {}, Source([Tracing()])).ways(trace(1), trace(20))
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM sent_as").fetchone() == (0,)


def test_what_the_ledger_forgets_is_forgotten_here_too(store: Store) -> None:
    old, new = build_trace(1), build_trace(2)
    keep(store, old, new)
    with store.transaction("test") as connection:
        sent_as.put(connection, [((item.trace.trace_id, "langfuse"), Way.ENRICHED) for item in (old, new)])
        connection.execute(
            "INSERT INTO records SELECT kind, record_id, created_at, 'done', 0, 1, NULL, 0 FROM traces WHERE trace_id = ?",
            (old.trace.trace_id,),
        )
        assert prune(connection, NOON + 365 * 1440 * MINUTE) == 1
        left = sent_as.of(connection, [old.trace.trace_id, new.trace.trace_id])
    assert set(left) == {(new.trace.trace_id, "langfuse")}


def test_the_audit_leaves_to_dify_what_is_difys(store: Store) -> None:
    enriched, skipped = build_trace(1), build_trace(2)
    keep(store, enriched, skipped)
    with store.transaction("test") as connection:
        sent_as.put(connection, [((enriched.trace.trace_id, "langfuse"), Way.ENRICHED)])
        sent_as.put(connection, [((skipped.trace.trace_id, "langfuse"), Way.SKIPPED)])
    with LangfuseTwin() as twin:
        question = audit.Question(0, NOON * 2, NOON * 2, 50, repair=True)
        (day,) = audit.audit(store, [langfuse(twin)], question)
    assert (day.exported, day.there, day.missing, day.without_spans) == (2, 0, [], 2)
    assert (audit.exit_code([day]), day.queued_again) == (0, 0)
    console = Console(width=200, record=True)
    printing.audit(console, [audit.document(day)])
    assert "2 left to Dify's own tracing, not audited" in console.export_text()


def test_a_single_step_is_always_sent(store: Store) -> None:
    step = trace(ref=RecordRef(RecordKind.NODE, one_call(1).trace.ref.id, START))
    for existing in ("auto", "enrich"):
        assert Chooser(store, {"existing": existing}, Source([Tracing((TRACED,))])).ways(step) == [Way.OWN]


def test_what_began_before_the_settings_were_made_was_not_traced(store: Store) -> None:
    began = trace().started_at
    since = Source([Tracing((replace(TRACED, since=began + 1),))])
    assert Chooser(store, {"existing": "auto"}, since).ways(trace()) == [Way.OWN]
    just = Source([Tracing((replace(TRACED, since=trace(20).started_at),))])
    assert Chooser(store, {"existing": "auto"}, just).ways(trace(20)) == [Way.ENRICHED]


def entry(**more: Any) -> Any:
    known = {"langfuse": KEYS, "langsmith": {"api_key": "k"}}[more.get("kind", "langfuse")]
    wanted = {"kind": "langfuse", **known, **more}
    return config.load(Path(os.devnull), {}, {"destinations": [wanted]}).settings.destinations[0]


def test_only_a_known_other_project_rules_a_double_count_out() -> None:
    known = replace(TRACED, project="clx1")
    assert may_be_here(entry(), "dify", known, Home("clx1"))
    assert may_be_here(entry(), "dify", known, Home())
    assert may_be_here(entry(), "dify", TRACED, Home("clx1"))
    assert not may_be_here(entry(), "dify", known, Home("clx2"))
    assert not may_be_here(entry(), "dify", known, Home("clx1", takes_dify=False))


def test_at_langsmith_projects_are_compared_by_the_name_that_this_app_gets() -> None:
    app = App(APP.id, "Bot", "chat", "t")
    named = TracedApp(app, "langsmith", project="dify-Bot")
    smith = entry(kind="langsmith", project="dify-{app}")
    assert may_be_here(smith, "dify", named, Home())
    assert not may_be_here(smith, "dify", replace(named, project="dify"), Home())


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({"kind": "otlp", "endpoint": "http://o:1", "existing": "auto"}, "works with langfuse and langsmith"),
        ({"kind": "langfuse", **KEYS, "existing": "enrich", "scores": False}, "needs scores: true"),
        ({"kind": "langfuse", **KEYS, "existing": "maybe"}, "destinations.0.existing"),
    ],
)
def test_settings_that_cannot_work_are_refused(wanted: dict[str, Any], word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        config.load(Path(os.devnull), {}, {"destinations": [wanted]})
