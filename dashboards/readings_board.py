"""Board 1: what Dify recorded, what we count, what the vendor billed, and how far they are apart."""

from __future__ import annotations

from dashboards import variables
from dashboards.panels import listing, number, ranking, series, spread, words
from dashboards.parts import Board, Query, Row
from dashboards.queries import CALL, grown, now, or_zero, per_minute, select

NO_EVIDENCE = "no vendor evidence in this range"
GAP = f"{grown('dify_vendor_tokens_total')} - {grown('dify_compared_tokens_total')}"
"""Vendor − Dify over the calls that a vendor was heard of: all others say nothing about a difference."""

JUDGED = 'verdict=~"agree|explained|unexplained"'
TO_APP = (
    (
        "The app's traces, the largest gap first",
        "${page}/traces?sort=gap&app=${__field.labels.app:percentencode}",
    ),
)
TO_MODEL = (
    (
        "The model's traces, the largest gap first",
        "${page}/traces?sort=gap&model=${__field.labels.model:percentencode}",
    ),
)

HOW_TO_READ = """**Three readings of the same calls:** what *Dify* recorded, what a *local* tokenizer counts, what the *vendor* billed.
Dify's and the local sums cover **all** calls; the vendor's only those that evidence of the vendor
was found for (docs/evidence.md). So never subtract the totals: the **gap** is vendor − Dify over the calls that have evidence, and
*Calls with evidence* says how many those are. Counters move when a trace is exported: a backfill shows up here today, whenever
its calls were made. For the calls of a certain day ask `dify-exporter report`."""


def _gap_by(label: str, number_of: str) -> str:
    gap = f"{grown('dify_vendor_tokens_total', by=label)} - {grown('dify_compared_tokens_total', by=label)}"
    return f"topk({number_of}, abs({gap}) > 0)"


def _table_of(label: str) -> tuple[Query, ...]:
    def column(expression: str) -> Query:
        return Query(expression, instant=True, as_table=True)

    calls = grown("dify_calls_total", by=label)
    judged = grown("dify_calls_total", by=label, where=JUDGED)
    compared = grown("dify_compared_tokens_total", by=label)
    vendor = grown("dify_vendor_tokens_total", by=label)
    return (
        column(f"{calls} > 0"),
        column(f"{judged} and {calls} > 0"),
        column(f"{grown('dify_recorded_tokens_total', by=label)} and {calls} > 0"),
        column(f"{grown('dify_local_tokens_total', by=label)} and {calls} > 0"),
        column(f"{vendor} and {vendor} > 0"),
        column(f"({vendor} - {compared}) and {vendor} > 0"),
        column(f"({vendor} - {compared}) / ({compared} > 0) and {vendor} > 0"),
    )


def _columns(label: str, heading: str) -> list[tuple[str, str]]:
    headings = ("Calls", "With evidence", "Dify", "Local", "Vendor", "Gap", "Gap of Dify's number")
    return [
        (label, heading),
        *((f"Value #{letter}", name) for letter, name in zip("ABCDEFG", headings, strict=True)),
    ]


BOARD = Board(
    uid="dify-exporter-readings",
    title="Dify tokens: three readings",
    description="Dify's, local and vendor tokens and money, the gap between them, and the calls behind it.",
    variables=variables.CALLS,
    rows=(
        Row(
            "In this range of time",
            (
                words("How to read this", HOW_TO_READ),
                number(
                    "Dify recorded",
                    "Input and output tokens of all exported calls, as Dify stored them. Input includes cached tokens, output "
                    "includes reasoning.",
                    "short",
                    Query(or_zero(grown("dify_recorded_tokens_total")), "Dify", instant=True),
                    width=4,
                ),
                number(
                    "Local count",
                    "What the local tokenizers count in the same calls: a recount of ours, not a bill.",
                    "short",
                    Query(or_zero(grown("dify_local_tokens_total")), "local", instant=True),
                    width=4,
                ),
                number(
                    "Vendor billed",
                    "What the vendor itself reported, all billed attempts together; only calls that evidence was found for.",
                    "short",
                    Query(f"{grown('dify_vendor_tokens_total')} > 0", "vendor", instant=True),
                    none=NO_EVIDENCE,
                    width=4,
                ),
                number(
                    "Gap",
                    "Vendor − Dify, over the calls with vendor evidence. Above zero: the vendor counted more than Dify recorded.",
                    "short",
                    Query(f"({GAP}) and {grown('dify_vendor_tokens_total')} > 0", "gap", instant=True),
                    none=NO_EVIDENCE,
                    steps=((None, "orange"), (0, "text"), (1, "orange")),
                    width=4,
                ),
                number(
                    "Gap, of Dify's number",
                    "The gap as a share of what Dify recorded for the same calls. Within 5 % it is in the usual tolerance, beyond "
                    "that orange, beyond 20 % red.",
                    "percentunit",
                    Query(
                        f"({GAP}) / ({grown('dify_compared_tokens_total')} > 0) and {grown('dify_vendor_tokens_total')} > 0",
                        "gap",
                        instant=True,
                    ),
                    none=NO_EVIDENCE,
                    steps=((None, "red"), (-0.2, "orange"), (-0.05, "green"), (0.05, "orange"), (0.2, "red")),
                    width=4,
                    decimals=1,
                ),
                number(
                    "Calls with evidence",
                    "Share of the calls that a vendor's own number was found for. Of the others nothing is proven. Red: none; "
                    "orange: less than nine of ten.",
                    "percentunit",
                    Query(
                        or_zero(
                            f"{grown('dify_calls_total', where=JUDGED)} / ({grown('dify_calls_total')} > 0)",
                        ),
                        "with evidence",
                        instant=True,
                    ),
                    steps=((None, "red"), (0.001, "orange"), (0.9, "green")),
                    width=4,
                    decimals=0,
                ),
            ),
        ),
        Row(
            "Tokens and money over time",
            (
                series(
                    "Tokens by reading",
                    "Tokens a minute. 'Dify, of calls with evidence' is the one line that can be held against the vendor's.",
                    "short",
                    Query(or_zero(per_minute("dify_recorded_tokens_total")), "Dify, all calls"),
                    Query(or_zero(per_minute("dify_local_tokens_total")), "local, all calls"),
                    Query(or_zero(per_minute("dify_compared_tokens_total")), "Dify, of calls with evidence"),
                    Query(or_zero(per_minute("dify_vendor_tokens_total")), "vendor, of calls with evidence"),
                ),
                series(
                    "Gap by direction",
                    "Vendor − Dify, tokens a minute, over the calls with vendor evidence; below zero Dify recorded more.",
                    "short",
                    Query(
                        or_zero(
                            f"{per_minute('dify_vendor_tokens_total', by='direction')}"
                            f" - {per_minute('dify_compared_tokens_total', by='direction')}",
                            direction="no calls yet",
                        ),
                        "{{direction}}",
                    ),
                    bars=True,
                    stacked=True,
                ),
                series(
                    "Money by reading",
                    "Money a minute and currency, as each reading states it. Dify's prices, our list prices and the vendor's own "
                    "numbers; the vendor's only for calls with evidence, beside Dify's for the same calls. Currencies are never added.",
                    "short",
                    Query(
                        or_zero(per_minute("dify_recorded_cost_total", by="currency"), currency="none yet"),
                        "Dify {{currency}}",
                    ),
                    Query(
                        or_zero(per_minute("dify_local_cost_total", by="currency"), currency="none yet"),
                        "local {{currency}}",
                    ),
                    Query(
                        or_zero(per_minute("dify_compared_cost_total", by="currency"), currency="none yet"),
                        "Dify, of calls with evidence {{currency}}",
                    ),
                    Query(
                        or_zero(per_minute("dify_vendor_cost_total", by="currency"), currency="none yet"),
                        "vendor {{currency}}",
                    ),
                ),
                series(
                    "Money in the gap",
                    "What the differences cost, a minute and currency: above zero billed and not recorded, below zero recorded "
                    "and not billed.",
                    "short",
                    Query(
                        or_zero(per_minute("dify_unrecorded_cost_total", by="currency"), currency="none"),
                        "not recorded {{currency}}",
                    ),
                    Query(
                        or_zero(
                            f"-1 * {per_minute('dify_overrecorded_cost_total', by='currency')}",
                            currency="none",
                        ),
                        "recorded too much {{currency}}",
                    ),
                    bars=True,
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Where the gap is",
            (
                ranking(
                    "Apps with the largest gap",
                    "The ten apps whose vendor and Dify tokens are furthest apart in this range, in either direction. A bar leads "
                    "to the app's traces.",
                    "short",
                    Query(or_zero(_gap_by("app", "10"), app="no gap"), "{{app}}", instant=True),
                    none=NO_EVIDENCE,
                    links=TO_APP,
                ),
                ranking(
                    "Models with the largest gap",
                    "The ten models whose vendor and Dify tokens are furthest apart in this range, in either direction.",
                    "short",
                    Query(or_zero(_gap_by("model", "10"), model="no gap"), "{{model}}", instant=True),
                    none=NO_EVIDENCE,
                    links=TO_MODEL,
                ),
                listing(
                    "By app",
                    "Every app in this range. Vendor and gap only where evidence was found; a dash means that nothing is "
                    "known. The name leads to the app's traces.",
                    "short",
                    *_table_of("app"),
                    none="no calls in this range",
                    shown=_columns("app", "App"),
                    sort="Gap",
                    units=(("Gap of Dify's number", "percentunit"),),
                    links=(
                        (
                            "App",
                            "Its traces, the largest gap first",
                            '${page}/traces?sort=gap&app=${__data.fields["App"]:percentencode}',
                        ),
                    ),
                ),
                listing(
                    "By model",
                    "Every model in this range, as above. The name leads to the model's traces.",
                    "short",
                    *_table_of("model"),
                    none="no calls in this range",
                    shown=_columns("model", "Model"),
                    sort="Gap",
                    units=(("Gap of Dify's number", "percentunit"),),
                    links=(
                        (
                            "Model",
                            "Its traces, the largest gap first",
                            '${page}/traces?sort=gap&model=${__data.fields["Model"]:percentencode}',
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "What can be said of the calls",
            (
                series(
                    "Verdicts",
                    "Calls a minute by verdict at export: agree (equal to the token), explained (the findings account for all of "
                    "it), unexplained (a rest remains), unverified (no vendor evidence), pending (evidence may still come). A "
                    "verdict that changes later counts again.",
                    "short",
                    Query(
                        or_zero(per_minute("dify_calls_total", by="verdict"), verdict="no calls yet"),
                        "{{verdict}}",
                    ),
                    bars=True,
                    stacked=True,
                    width=8,
                ),
                ranking(
                    "Verdicts now",
                    "All calls ever exported, each once, by the verdict it has now.",
                    "short",
                    Query(
                        or_zero(
                            now("dify_judged_calls", by="verdict", selector=CALL), verdict="no calls yet"
                        ),
                        "{{verdict}}",
                        instant=True,
                    ),
                    none="no calls yet",
                    width=8,
                ),
                spread(
                    "Vendor ÷ Dify, call by call",
                    "How many calls had which ratio of vendor to Dify tokens: 1 is equal. Each dot is a single trace: open it and "
                    "follow its trace id to the exporter's page or to Langfuse. Calls that Dify recorded nothing of have no ratio.",
                    "short",
                    Query(
                        or_zero(
                            f"sum by (le) (increase({select('dify_discrepancy_ratio_bucket')}[$__rate_interval]))",
                            le="+Inf",
                        ),
                        "{{le}}",
                        exemplar=True,
                        as_heatmap=True,
                    ),
                    width=8,
                ),
            ),
        ),
    ),
)
