"""The checklist that Dify's community gives its users by hand, each point answered from the data: fine, problem, or can't know,
with the number and the next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from exporter.compare.catalog import FINDINGS, Level
from exporter.doctor.facts import Facts
from exporter.doctor.unpriced import unpriced_words
from exporter.prices.sellers import vendor_named

_NO_EVIDENCE = "Without the vendor's own numbers this cannot be told; add a vendor source (docs/evidence.md)."
_UNMATCHED = (
    "A vendor source is set, but none of its requests is one of these calls; see `dify-exporter evidence`."
)
_ANOTHER_WINDOW = "Choose another window (--since, --until), or run `dify-exporter backfill`."
_NOT_HELD = "no call could be held against the vendor's number"
_LITTLE_PERCENT = 1.0
"""A cause below this share of the vendor's tokens is told and not called a problem."""


class State(StrEnum):
    """What a check found."""

    FINE = "fine"
    PROBLEM = "problem"
    UNKNOWN = "can't know"


@dataclass(frozen=True, slots=True)
class Answer:
    """One line: the question, the state, what was seen with its number, and what to do (empty when nothing)."""

    topic: str
    state: State
    seen: str
    next_step: str = ""


def _nothing(topic: str, seen: str = "no calls in this window, so nothing to judge") -> Answer:
    """Where there is nothing to look at, nothing is fine."""
    return Answer(topic, State.UNKNOWN, seen, _ANOTHER_WINDOW)


def _unheard(facts: Facts, topic: str, seen: str) -> Answer:
    """What only the vendor's numbers can tell, without any."""
    if not facts.total["calls"]:
        return _nothing(topic)
    return Answer(topic, State.UNKNOWN, seen, _UNMATCHED if facts.settings.vendor else _NO_EVIDENCE)


def walk(facts: Facts) -> list[Answer]:
    """Every check, in the order in which a person would look."""
    return [check(facts) for check in _CHECKS]


def _exporter(facts: Facts) -> Answer:
    if facts.problems:
        return Answer(
            "exporter",
            State.PROBLEM,
            f"{len(facts.problems)} problem(s): {facts.problems[0]}",
            "See `dify-exporter status`.",
        )
    completeness = facts.report["completeness"]
    if completeness["last_read"] is None and completeness["ledger_first"] is None:
        return Answer("exporter", State.UNKNOWN, "Dify was not read yet", "Start `dify-exporter run`.")
    return Answer("exporter", State.FINE, "reading and delivering")


def _completeness(facts: Facts) -> Answer:
    missing = facts.report["completeness"]
    waiting, aside = missing["waiting_records"], missing["set_aside_records"]
    seen = (
        f"{facts.total['calls']:,} calls in the ledger, {waiting:,} records wait, {aside:,} could not be read"
    )
    if aside:
        return Answer(
            "records", State.PROBLEM, seen, "See `dify-exporter status`, then `dify-exporter replay`."
        )
    if not facts.total["calls"]:
        return _nothing("records", seen)
    return Answer("records", State.FINE, seen)


def _evidence(facts: Facts) -> Answer:
    calls, verified = facts.total["calls"], facts.total["verified_calls"]
    seen = f"{verified:,} of {calls:,} calls have the vendor's own number"
    if not verified:
        return _unheard(facts, "vendor evidence", seen)
    if verified < 0.9 * calls:
        return Answer(
            "vendor evidence", State.PROBLEM, seen,
            "See `dify-exporter evidence` for what was not matched; a source with users and texts matches more.",
        )  # fmt: skip
    return Answer("vendor evidence", State.FINE, seen)


def _scope(facts: Facts) -> Answer:
    bills = facts.report["bills"]
    if not bills:
        return Answer(
            "same scope",
            State.UNKNOWN,
            "no bill or usage report is read",
            "Add one (docs/bills.md), so that keys and projects can be compared.",
        )
    unmapped = [item for item in bills if not item["mapped"]]
    if unmapped:
        keys = sorted({key for item in unmapped for key in item["keys"]})
        named = f" ({', '.join(keys[:5])})" if keys else ""
        return Answer(
            "same scope", State.PROBLEM, f"{len(unmapped)} of {len(bills)} billed scopes belong to nobody{named}",
            "Say in report.scopes which key or project belongs to which app, and which is not Dify's.",
        )  # fmt: skip
    return Answer("same scope", State.FINE, f"all {len(bills)} billed scopes are mapped")


def _window(facts: Facts) -> Answer:
    report = facts.report
    cut = sum(sum(item["cut_by_border"].values()) for item in report["bills"])
    over = sum(report["borders"][side]["calls"] for side in ("since", "until"))
    if cut:
        return Answer(
            "same window", State.PROBLEM, f"{cut:,} billed tokens stand in stretches that the window cuts",
            f"Report in the vendor's days (report.time_zone, or report --zone); now it is {report['window']['time_zone']}.",
        )  # fmt: skip
    if not facts.total["calls"] and not report["bills"]:
        return _nothing("same window")
    return Answer(
        "same window",
        State.FINE,
        f"days of {report['window']['time_zone']}; {over:,} calls run over a border",
    )


def _shared_key(facts: Facts) -> Answer:
    others = [item for item in facts.report["foreign"] if item["under_difys_keys"]]
    if not facts.total["verified_calls"] and not others:
        return _unheard(facts, "own key", "no single vendor requests are known")
    requests, tokens = (sum(item[name] for item in others) for name in ("requests", "input"))
    tokens += sum(item["output"] for item in others)
    seen = f"{requests:,} requests ({tokens:,} tokens) under Dify's keys are nobody's here"
    if _share(facts, tokens) > _LITTLE_PERCENT:
        return Answer("own key", State.PROBLEM, seen, FINDINGS["foreign_traffic"].advice)
    return Answer("own key", State.FINE, seen)


def _models(facts: Facts) -> Answer:
    ways: dict[str, set[str | None]] = {}
    for row in facts.report["rows"]:
        if row["model"]:
            ways.setdefault(row["model"], set()).add(vendor_named(row["provider"]))
    if not ways:
        return _nothing("models and regions")
    several = sorted(model for model, vendors in ways.items() if len(vendors - {None}) > 1)
    seen = f"{len(ways)} models" + (
        f"; through more than one provider: {', '.join(several)}" if several else ""
    )
    if several:
        return Answer(
            "models and regions",
            State.PROBLEM,
            seen,
            "Compare each provider with its own bill: report --by provider,model.",
        )
    return Answer("models and regions", State.FINE, seen)


def _substituted(facts: Facts) -> Answer:
    return _cause(
        facts,
        "asked model answered",
        ("model_substituted",),
        "calls were answered by another model",
        by_calls=True,
    )


def _hidden(facts: Facts) -> Answer:
    codes = tuple(code for code in FINDINGS if code.startswith("hidden_") and code not in _RETRIEVAL)
    return _cause(facts, "hidden calls", codes, "of titles, suggestions and the like are recorded nowhere")


def _retrieval(facts: Facts) -> Answer:
    return _cause(
        facts, "embeddings and rerank", _RETRIEVAL, "of embeddings and reranks are recorded nowhere"
    )


_RETRIEVAL = ("hidden_embedding", "hidden_rerank", "hidden_indexing")
_LOST = (
    "recorded_nothing_stopped", "client_hung_up", "process_died", "recorded_nothing_abandoned", "stream_cut",
    "recorded_nothing_failed", "recorded_nothing_finished", "agent_rounds_lost", "rounds_not_in_message",
)  # fmt: skip


def _retries(facts: Facts) -> Answer:
    return _cause(facts, "retries", ("retry_billed",), "of retried requests were billed and not recorded")


def _stops(facts: Facts) -> Answer:
    return _cause(
        facts, "stops and failures", _LOST, "of stopped, cut and failed calls were billed and not recorded"
    )


def _cache(facts: Facts) -> Answer:
    return _cause(
        facts, "prompt cache", ("cache_price_weighted", "cache_left_out", "cached_at_full_price"),
        "differ because of cached input", by_calls=True,
    )  # fmt: skip


def _estimates(facts: Facts) -> Answer:
    kinds = dict.fromkeys(("vendor_passed", "estimate", "price_weighted", "zero", "unknown"), 0)
    for model in facts.models:
        for kind, count in model["dify_kinds"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    total, estimated = sum(kinds.values()), kinds["estimate"]
    if not total:
        return _nothing("Dify's tokenizer", "no numbers of Dify's in this window, so nothing to judge")
    seen = f"{estimated:,} of {total:,} numbers of Dify's are estimates of a plugin"
    if estimated:
        return Answer(
            "Dify's tokenizer", State.PROBLEM, seen,
            "Let the endpoint send usage in streams (stream_include_usage in the plugin, or forced by the gateway).",
        )  # fmt: skip
    return Answer("Dify's tokenizer", State.FINE, seen)


def _recount(facts: Facts) -> Answer:
    if not facts.models:
        return _nothing("our own count")
    loose = sorted(
        model["model"]
        for model in facts.models
        if model["accuracy"] in ("approximate", "lower_bound", "none")
    )
    if loose:
        return Answer(
            "our own count", State.UNKNOWN, f"only roughly for {', '.join(loose[:5])}{' …' if len(loose) > 5 else ''}",
            "See `dify-exporter models`; name a family in `models`, or install the extra it asks for.",
        )  # fmt: skip
    return Answer("our own count", State.FINE, "every model is counted with its own vocabulary")


def _prices(facts: Facts) -> Answer:
    codes = ("price_differs", "price_tier", "price_hours", "price_missing", "charge_differs")
    unpriced = unpriced_words(facts)
    found = facts.finding(*codes)
    if found["calls"]:
        return Answer(
            "prices", State.PROBLEM, "; ".join((f"Dify's price is not the book's in {found['calls']:,} calls", *unpriced)),
            "See the findings of `dify-exporter report`; docs/prices.md says how to write your contract's prices down.",
        )  # fmt: skip
    if unpriced:
        return Answer(
            "prices", State.UNKNOWN, "; ".join(unpriced), "Write them down in `prices` (docs/prices.md)."
        )
    if not facts.total["money"]:
        seen = "no call has a price of Dify's and one of the vendor's in the same currency"
        if not facts.total["verified_calls"]:
            return _unheard(facts, "prices", seen)
        return Answer(
            "prices",
            State.UNKNOWN,
            seen,
            "Give the models prices in Dify, or write them down in `prices` (docs/prices.md).",
        )
    return Answer("prices", State.FINE, "Dify's prices are the book's")


def _currencies(facts: Facts) -> Answer:
    mixed = facts.trace_findings["mixed_currencies"]
    found = facts.finding("currency_differs")["calls"]
    if mixed or found:
        return Answer(
            "currency",
            State.PROBLEM,
            f"{mixed:,} traces add up different currencies, {found:,} calls are billed in another",
            FINDINGS["mixed_currencies"].advice,
        )
    if not any(facts.total[name]["cost"] for name in ("dify", "vendor")):
        return _nothing("currency", "no call of this window has a price, so nothing to judge")
    return Answer("currency", State.FINE, "one currency a trace")


def _version(facts: Facts) -> Answer:
    version = next((words for name, words in facts.source if name == "Dify"), "a Dify that was not read yet")
    codes = [
        code for code, words in FINDINGS.items() if words.level is Level.TRACE and code != "mixed_currencies"
    ]
    wrong = {code: facts.trace_findings[code] for code in codes if facts.trace_findings[code]}
    if wrong:
        seen = ", ".join(
            f"{FINDINGS[code].title.lower()} in {count:,} traces" for code, count in wrong.items()
        )
        return Answer(
            "Dify's own sums",
            State.PROBLEM,
            f"{version}: {seen}",
            "Use the sum of the model calls, not Dify's totals.",
        )
    if not facts.has_traces:
        return _nothing("Dify's own sums", f"{version}; no traces in this window, so nothing to judge")
    return Answer("Dify's own sums", State.FINE, version)


def _gateway(facts: Facts) -> Answer:
    return _cause(
        facts, "gateway between", ("gateway_estimate", "gateway_cache_hit", "request_changed"),
        "were counted, answered or changed by a gateway", by_calls=True,
    )  # fmt: skip


def _rest(facts: Facts) -> Answer:
    rest = facts.total["unexplained"]
    if rest is None:
        return _unheard(facts, "unexplained", _NOT_HELD)
    seen = f"{rest['size']:,} tokens in {rest['calls']:,} calls ({_percent(rest['percent'])})"
    if facts.total["verdict"] == "above":
        return Answer(
            "unexplained", State.PROBLEM, seen, "`dify-exporter calls --verdict unexplained` lists them."
        )
    return Answer("unexplained", State.FINE, seen)


def _bill(facts: Facts) -> Answer:
    bills = [item for item in facts.report["bills"] if not item["foreign"]]
    if not bills:
        return Answer(
            "the bill", State.UNKNOWN, "no bill or usage report is read", "docs/bills.md says how to add one."
        )
    verdicts = [item["verdict"] for item in bills]
    worst = max(bills, key=lambda item: item["rest_percent"] or 0.0)
    seen = f"{verdicts.count('within')} of {len(bills)} are accounted for; {worst['source']}: {_percent(worst['rest_percent'])} are not"
    if "above" in verdicts:
        return Answer("the bill", State.PROBLEM, seen, "`dify-exporter report` shows the rest by model.")
    if "within" not in verdicts:
        return Answer("the bill", State.UNKNOWN, seen, "docs/bills.md says what a bill must tell.")
    return Answer("the bill", State.FINE, seen)


def _percent(share: float | None) -> str:
    """Unknown is a share of nothing, never 0."""
    return "– %" if share is None else f"{share:g} %"


def _cause(facts: Facts, topic: str, codes: tuple[str, ...], what: str, *, by_calls: bool = False) -> Answer:
    """A cause by its findings: how much it is, and whether that is much."""
    if not facts.total["verified_calls"]:
        return _unheard(facts, topic, _NOT_HELD)
    found = facts.finding(*codes)
    tokens = abs(found["input"]) + abs(found["output"])
    share = _share(facts, tokens)
    amount = (
        f"{found['calls']:,} calls ({tokens:,} tokens, {share:.1f} %)"
        if by_calls
        else f"{tokens:,} tokens ({share:.1f} %)"
    )
    is_much = share > _LITTLE_PERCENT or (by_calls and found["calls"] > 0 and not tokens)
    if not found["calls"]:
        return Answer(topic, State.FINE, "none seen")
    largest = max(
        (item for item in facts.total["findings"] if item["code"] in codes),
        key=lambda item: (abs(item["input"]) + abs(item["output"]), item["calls"]),
    )
    return Answer(
        topic, State.PROBLEM if is_much else State.FINE, f"{amount} {what}", FINDINGS[largest["code"]].advice
    )


def _share(facts: Facts, tokens: int) -> float:
    vendor = facts.total["verified"]["vendor"]
    whole = vendor["input"] + vendor["output"]
    return 100 * tokens / whole if whole else 0.0


_CHECKS: tuple[Callable[[Facts], Answer], ...] = (
    _exporter, _completeness, _evidence, _scope, _window, _shared_key, _models, _substituted, _hidden, _retrieval, _retries,
    _stops, _cache, _estimates, _recount, _prices, _currencies, _version, _gateway, _rest, _bill,
)  # fmt: skip
