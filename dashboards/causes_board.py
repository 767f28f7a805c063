"""Board 2: why vendor and Dify differ, as tokens and as money, and what was billed beside Dify's records."""

from __future__ import annotations

from dashboards import variables
from dashboards.panels import listing, number, ranking, series, words
from dashboards.parts import Board, Query, Row
from dashboards.queries import grown, named, now, or_zero, per_minute

FAILED = 'cause=~"retry_billed|recorded_nothing_.+|stream_cut|client_hung_up|process_died|agent_rounds_lost|rounds_not_in_message"'
"""Findings about calls that failed, were stopped, or were asked again."""

HIDDEN = 'cause=~"hidden_.+"'
INPUT, OUTPUT = 'direction="input"', 'direction="output"'
NO_EVIDENCE = "no vendor evidence in this range"

HOW_TO_READ = """**From Dify's number to the vendor's:** what Dify recorded for the calls with vendor evidence, plus what it did not record,
minus what it recorded too much, each by the *finding* that explains it, plus the rest that nothing explains, is what the vendor
billed, to the token. Calls that Dify makes on its own (titles, suggested questions, embeddings) are findings too, named *hidden_…*.
docs/readings.md says what each finding means and what to do. Requests that belong to no trace at all stand in the last row."""

COMPARED = grown("dify_compared_tokens_total")
VENDOR = grown("dify_vendor_tokens_total")
UNRECORDED = grown("dify_unrecorded_tokens_total", by="cause")
OVERRECORDED = grown("dify_overrecorded_tokens_total", by="cause")
FOUND = f"({or_zero(grown('dify_unrecorded_tokens_total'))}) - ({or_zero(grown('dify_overrecorded_tokens_total'))})"
REST = f"({VENDOR} - {COMPARED}) - ({FOUND})"
"""Signed: what remains of vendor − Dify after all findings."""


def _waterfall() -> str:
    """One series a step; the text of `step` begins with its place."""
    steps = (
        named(COMPARED, "step", "1  Dify recorded"),
        f"sum by (step) ({named(f'{UNRECORDED} > 0', 'step', '2  + $1', 'cause')})",
        f"sum by (step) (-1 * ({named(f'{OVERRECORDED} > 0', 'step', '3  − $1', 'cause')}))",
        named(REST, "step", "4  not explained"),
        named(VENDOR, "step", "5  vendor billed"),
    )
    return f"({' or '.join(steps)}) and on () {VENDOR} > 0"


def _column(expression: str) -> Query:
    return Query(expression, instant=True, as_table=True)


BOARD = Board(
    uid="dify-exporter-causes",
    title="Dify tokens: why they differ",
    description="Findings by cause in tokens and money, from Dify's number to the vendor's, and requests outside Dify's records.",
    variables=variables.CALLS,
    rows=(
        Row(
            "In this range of time",
            (
                words("How to read this", HOW_TO_READ),
                number(
                    "Not recorded by Dify",
                    "Tokens that the vendor counted and Dify did not record, with a finding that says why.",
                    "short",
                    Query(or_zero(grown("dify_unrecorded_tokens_total")), "tokens", instant=True),
                    steps=((None, "text"), (1, "orange")),
                    width=4,
                ),
                number(
                    "Recorded too much",
                    "Tokens that Dify recorded and the vendor did not count, with a finding that says why.",
                    "short",
                    Query(or_zero(grown("dify_overrecorded_tokens_total")), "tokens", instant=True),
                    steps=((None, "text"), (1, "orange")),
                    width=4,
                ),
                number(
                    "Not explained",
                    "Tokens that vendor and Dify differ by and no finding accounts for; each call's rest counted as its size. Green: "
                    "none. Red: there are some; open the traces with verdict unexplained.",
                    "short",
                    Query(or_zero(grown("dify_unexplained_tokens_total")), "tokens", instant=True),
                    steps=((None, "green"), (1, "red")),
                    width=4,
                ),
                number(
                    "Failed, stopped or asked again",
                    "Tokens billed for calls that failed, were stopped, cut or retried, and that Dify did not record.",
                    "short",
                    Query(
                        or_zero(grown("dify_unrecorded_tokens_total", where=FAILED)), "tokens", instant=True
                    ),
                    steps=((None, "text"), (1, "orange")),
                    width=4,
                ),
                number(
                    "Hidden calls",
                    "Tokens of requests that Dify makes on its own and records nowhere: titles, suggested questions, embeddings, "
                    "reranking. Part of what Dify did not record.",
                    "short",
                    Query(
                        or_zero(grown("dify_unrecorded_tokens_total", where=HIDDEN)), "tokens", instant=True
                    ),
                    steps=((None, "text"), (1, "orange")),
                    width=4,
                ),
                number(
                    "Foreign traffic",
                    "Tokens of requests with the same vendor keys that no call of Dify accounts for: another program uses the key, or "
                    "Dify's rows are gone. All evidence that is kept.",
                    "short",
                    Query(or_zero(now("dify_foreign_tokens")), "tokens", instant=True),
                    steps=((None, "text"), (1, "orange")),
                    width=4,
                ),
            ),
        ),
        Row(
            "From Dify's number to the vendor's",
            (
                listing(
                    "Step by step",
                    "Tokens of the calls with vendor evidence. Line 1 plus lines 2, minus lines 3, plus line 4 is line 5.",
                    "short",
                    _column(_waterfall()),
                    none=NO_EVIDENCE,
                    shown=(("step", "Step"), ("Value", "Tokens")),
                    sort="+Step",
                    bar="Tokens",
                    width=12,
                ),
                listing(
                    "Money by cause",
                    "What each cause cost, per currency: above zero billed and not recorded, below zero recorded and not billed. A "
                    "cause without a price is missing here.",
                    "short",
                    _column(
                        f"{grown('dify_unrecorded_cost_total', by='cause, currency')} > 0"
                        f" or -1 * ({grown('dify_overrecorded_cost_total', by='cause, currency')} > 0)"
                    ),
                    none=NO_EVIDENCE,
                    shown=(("cause", "Cause"), ("currency", "Currency"), ("Value", "Money")),
                    sort="Money",
                    bar="Money",
                    width=12,
                ),
            ),
        ),
        Row(
            "Over time",
            (
                series(
                    "Findings by cause",
                    "Tokens a minute: above zero billed and not recorded, below zero recorded and not billed.",
                    "short",
                    Query(
                        or_zero(per_minute("dify_unrecorded_tokens_total", by="cause"), cause="none"),
                        "+ {{cause}}",
                    ),
                    Query(
                        or_zero(
                            f"-1 * {per_minute('dify_overrecorded_tokens_total', by='cause')}", cause="none"
                        ),
                        "− {{cause}}",
                    ),
                    bars=True,
                    stacked=True,
                ),
                series(
                    "Findings by cause, in money",
                    "Money a minute, cause and currency. Bars of different currencies stand on each other and must not be added.",
                    "short",
                    Query(
                        or_zero(per_minute("dify_unrecorded_cost_total", by="cause, currency"), cause="none"),
                        "+ {{cause}} {{currency}}",
                    ),
                    Query(
                        or_zero(
                            f"-1 * {per_minute('dify_overrecorded_cost_total', by='cause, currency')}",
                            cause="none",
                        ),
                        "− {{cause}} {{currency}}",
                    ),
                    bars=True,
                    stacked=True,
                ),
                series(
                    "Failed, stopped, cut or asked again",
                    "Tokens a minute that were billed and not recorded because the call failed, was stopped or retried.",
                    "short",
                    Query(
                        or_zero(
                            per_minute("dify_unrecorded_tokens_total", by="cause", where=FAILED), cause="none"
                        ),
                        "{{cause}}",
                    ),
                    bars=True,
                    stacked=True,
                ),
                series(
                    "Not explained",
                    "Tokens a minute that no finding accounts for, by model.",
                    "short",
                    Query(
                        or_zero(per_minute("dify_unexplained_tokens_total", by="model"), model="none"),
                        "{{model}}",
                    ),
                    bars=True,
                    stacked=True,
                    links=(("Traces with a rest", "${page}/traces?sort=gap&verdict=unexplained"),),
                ),
            ),
        ),
        Row(
            "Requests outside Dify's records",
            (
                series(
                    "What became of the vendor's requests",
                    "Requests in the evidence that is kept: matched to a call, hidden (Dify's own), unrecorded (Dify's, but its row is "
                    "gone), foreign, copy (told twice), new (not looked at yet).",
                    "short",
                    Query(
                        or_zero(now("dify_evidence_requests", by="standing"), standing="no evidence yet"),
                        "{{standing}}",
                    ),
                    stacked=True,
                ),
                ranking(
                    "Foreign tokens by model",
                    "Tokens that the keys paid for and no call of Dify accounts for, by evidence source and model.",
                    "short",
                    Query(
                        or_zero(
                            f"topk(10, {now('dify_foreign_tokens', by='source, model')} > 0)", model="none"
                        ),
                        "{{source}} {{model}}",
                        instant=True,
                    ),
                    none="no vendor evidence yet",
                ),
                listing(
                    "By evidence source",
                    "Requests and tokens of every source, by what became of them.",
                    "short",
                    _column(f"{now('dify_evidence_requests', by='source, standing')} > 0"),
                    _column(f"{now('dify_evidence_tokens', by='source, standing', where=INPUT)}"),
                    _column(f"{now('dify_evidence_tokens', by='source, standing', where=OUTPUT)}"),
                    none="no vendor evidence yet",
                    shown=(
                        ("source", "Source"),
                        ("standing", "Standing"),
                        ("Value #A", "Requests"),
                        ("Value #B", "Input"),
                        ("Value #C", "Output"),
                    ),
                    sort="Requests",
                ),
            ),
        ),
    ),
)
