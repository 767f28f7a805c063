"""Board 4: day by day against the vendor's bill, and call by call from the ledger's copy in PostgreSQL."""

from __future__ import annotations

from dashboards import variables
from dashboards.panels import listing, number, series, words
from dashboards.parts import Board, Query, Row, Sql
from dashboards.queries import grown, or_zero

NO_EVIDENCE = "no vendor evidence in this range"
CURRENCY = 'currency=~"$currency"'
DAY = "1d"

HOW_TO_READ = """**Against the bill.** Set the range on screen to the bill's (mind its time zone), choose its currency, and type its amount into *Bill*
above. What remains between the bill and the vendor's evidence was billed beside everything that we were told of. Counters move when a
trace is exported; for the calls that were *made* in a range `dify-exporter report --since … --until …` is exact, day by day, and reconciles
with vendors that tell only sums.

**Call by call.** A destination of kind `postgresql` keeps a copy of the ledger in a PostgreSQL of yours (docs/destinations.md). The last row
of this board asks it; it stays closed, and asks nothing, until you open it."""

CHOSEN = r"""$__timeFilter(started_at)
  AND coalesce(app_name, '') ~ $re$^(?:${app:regex})$$re$
  AND coalesce(provider, '') ~ $re$^(?:${provider:regex})$$re$
  AND coalesce(model, '') ~ $re$^(?:${model:regex})$$re$"""
"""What the variables choose. They are regular expressions, also for all, and may hold quotes."""

HAS_EVIDENCE = "vendor_input IS NOT NULL"

PER_DAY = f"""SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
  count(*) AS calls,
  count(*) FILTER (WHERE {HAS_EVIDENCE}) AS with_evidence,
  sum(coalesce(dify_input, 0) + coalesce(dify_output, 0)) AS dify,
  sum(coalesce(local_input, 0) + coalesce(local_output, 0)) AS local,
  sum(coalesce(vendor_input, 0) + coalesce(vendor_output, 0)) FILTER (WHERE {HAS_EVIDENCE}) AS vendor,
  sum(coalesce(vendor_input, 0) + coalesce(vendor_output, 0) - coalesce(dify_input, 0) - coalesce(dify_output, 0))
    FILTER (WHERE {HAS_EVIDENCE}) AS gap,
  sum(abs(coalesce(unexplained_input, 0)) + abs(coalesce(unexplained_output, 0))) AS unexplained
FROM dify_exporter_calls
WHERE {CHOSEN}
GROUP BY 1 ORDER BY 1 DESC"""

MONEY_PER_DAY = f"""SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, said.currency,
  sum(said.amount) FILTER (WHERE said.reading = 'dify') AS dify,
  sum(said.amount) FILTER (WHERE said.reading = 'local') AS local,
  sum(said.amount) FILTER (WHERE said.reading = 'vendor') AS vendor
FROM dify_exporter_calls, LATERAL (VALUES
  ('dify', dify_cost, dify_currency), ('local', local_cost, local_currency), ('vendor', vendor_cost, vendor_currency)
) AS said (reading, amount, currency)
WHERE said.amount IS NOT NULL AND {CHOSEN}
GROUP BY 1, 2 ORDER BY 1 DESC, 2"""

PER_CALL = f"""SELECT started_at AS "time", app_name AS app, provider, model, kind, status, verdict,
  dify_input, dify_output, local_input, local_output, vendor_input, vendor_output,
  vendor_input + vendor_output - coalesce(dify_input, 0) - coalesce(dify_output, 0) AS gap,
  (SELECT string_agg(item ->> 'code', ', ') FROM jsonb_array_elements(findings) AS item) AS findings,
  trace_id AS trace
FROM dify_exporter_calls
WHERE {CHOSEN}
ORDER BY abs(coalesce(vendor_input + vendor_output - coalesce(dify_input, 0) - coalesce(dify_output, 0), 0)) DESC, started_at DESC
LIMIT 1000"""


def _money(metric: str) -> str:
    return grown(metric, by="currency", where=CURRENCY)


BOARD = Board(
    uid="dify-exporter-reconciliation",
    title="Dify tokens: reconciliation with the bill",
    description="The three readings day by day, against what the vendor's bill says, and call by call from the ledger's copy.",
    variables=(*variables.CALLS, variables.CURRENCY, variables.BILL, variables.LEDGER),
    since="now-30d",
    rows=(
        Row(
            "Against the bill, in this range of time",
            (
                words("How to read this", HOW_TO_READ, height=6),
                number(
                    "Dify's money",
                    "What Dify recorded, per currency, over all calls of the range.",
                    "short",
                    Query(
                        or_zero(_money("dify_recorded_cost_total"), currency="no price"),
                        "{{currency}}",
                        instant=True,
                    ),
                    none="no calls yet",
                    decimals=4,
                ),
                number(
                    "Local money",
                    "What our counts cost at list prices, per currency, over all calls of the range.",
                    "short",
                    Query(
                        or_zero(_money("dify_local_cost_total"), currency="no price"),
                        "{{currency}}",
                        instant=True,
                    ),
                    none="no calls yet",
                    decimals=4,
                ),
                number(
                    "Vendor's money",
                    "What the vendor's evidence costs, per currency; only calls with evidence.",
                    "short",
                    Query(f"{_money('dify_vendor_cost_total')} > 0", "{{currency}}", instant=True),
                    none=NO_EVIDENCE,
                    decimals=4,
                ),
                number(
                    "Bill − vendor's evidence",
                    "The amount typed into Bill, less what the vendor's evidence costs in the chosen currency. Above zero: billed, and "
                    "no evidence of it reached us. Choose one currency; with several there is a number for each.",
                    "short",
                    Query(
                        f"${{bill}} - ({_money('dify_vendor_cost_total')} > 0)", "{{currency}}", instant=True
                    ),
                    none=NO_EVIDENCE,
                    decimals=4,
                ),
            ),
        ),
        Row(
            "The last 24 hours, at every moment",
            (
                series(
                    "Tokens of 24 hours",
                    "Every point is the sum of the 24 hours before it; at midnight that is the day. The vendor's line covers only calls "
                    "with evidence and is to be held against 'Dify, of calls with evidence'.",
                    "short",
                    Query(or_zero(grown("dify_recorded_tokens_total", over=DAY)), "Dify, all calls"),
                    Query(or_zero(grown("dify_local_tokens_total", over=DAY)), "local, all calls"),
                    Query(
                        or_zero(grown("dify_compared_tokens_total", over=DAY)), "Dify, of calls with evidence"
                    ),
                    Query(
                        or_zero(grown("dify_vendor_tokens_total", over=DAY)), "vendor, of calls with evidence"
                    ),
                ),
                series(
                    "Money of 24 hours",
                    "Every point is the sum of the 24 hours before it, per reading and currency.",
                    "short",
                    Query(
                        or_zero(
                            grown("dify_recorded_cost_total", by="currency", where=CURRENCY, over=DAY),
                            currency="no price",
                        ),
                        "Dify {{currency}}",
                    ),
                    Query(
                        or_zero(
                            grown("dify_local_cost_total", by="currency", where=CURRENCY, over=DAY),
                            currency="no price",
                        ),
                        "local {{currency}}",
                    ),
                    Query(
                        or_zero(
                            grown("dify_compared_cost_total", by="currency", where=CURRENCY, over=DAY),
                            currency="no price",
                        ),
                        "Dify, of calls with evidence {{currency}}",
                    ),
                    Query(
                        or_zero(
                            grown("dify_vendor_cost_total", by="currency", where=CURRENCY, over=DAY),
                            currency="no price",
                        ),
                        "vendor {{currency}}",
                    ),
                ),
                series(
                    "Gap of 24 hours by model",
                    "Vendor − Dify over the calls with evidence, of the 24 hours before each point, by model.",
                    "short",
                    Query(
                        or_zero(
                            f"{grown('dify_vendor_tokens_total', by='model', over=DAY)}"
                            f" - {grown('dify_compared_tokens_total', by='model', over=DAY)}",
                            model="no calls yet",
                        ),
                        "{{model}}",
                    ),
                    width=24,
                ),
            ),
        ),
        Row(
            "Call by call, from the ledger's copy in PostgreSQL (open when you have one)",
            (
                listing(
                    "By day",
                    "Calls by the day (UTC) they were made. Vendor and gap only over calls with vendor evidence.",
                    "short",
                    Sql(PER_DAY),
                    none="no calls in this range",
                    shown=(
                        ("day", "Day"),
                        ("calls", "Calls"),
                        ("with_evidence", "With evidence"),
                        ("dify", "Dify"),
                        ("local", "Local"),
                        ("vendor", "Vendor"),
                        ("gap", "Gap"),
                        ("unexplained", "Not explained"),
                    ),
                    width=14,
                ),
                listing(
                    "Money by day",
                    "Money by the day (UTC) the calls were made, per currency; the vendor's only of calls with evidence.",
                    "short",
                    Sql(MONEY_PER_DAY),
                    none="no priced calls in this range",
                    shown=(
                        ("day", "Day"),
                        ("currency", "Currency"),
                        ("dify", "Dify"),
                        ("local", "Local"),
                        ("vendor", "Vendor"),
                    ),
                    width=10,
                ),
                listing(
                    "Calls, the largest gap first",
                    "The thousand calls furthest apart. The trace id leads to the exporter's page and to Langfuse.",
                    "short",
                    Sql(PER_CALL),
                    none="no calls in this range",
                    shown=(
                        ("time", "Time"),
                        ("app", "App"),
                        ("provider", "Provider"),
                        ("model", "Model"),
                        ("kind", "Kind"),
                        ("status", "Status"),
                        ("verdict", "Verdict"),
                        ("dify_input", "Dify in"),
                        ("dify_output", "Dify out"),
                        ("local_input", "Local in"),
                        ("local_output", "Local out"),
                        ("vendor_input", "Vendor in"),
                        ("vendor_output", "Vendor out"),
                        ("gap", "Gap"),
                        ("findings", "Findings"),
                        ("trace", "Trace"),
                    ),
                    units=(("Time", "dateTimeAsIso"),),
                    links=(
                        ("Trace", "Open on the exporter's page", '${page}/traces/${__data.fields["Trace"]}'),
                        ("Trace", "Open in Langfuse", '${langfuse}/traces/${__data.fields["Trace"]}'),
                    ),
                    height=14,
                ),
            ),
            collapsed=True,
        ),
    ),
)
