"""Board 3: how each model's numbers relate: Dify's to the vendor's, ours to the vendor's, and what kind of number Dify keeps."""

from __future__ import annotations

from dashboards import variables
from dashboards.panels import listing, number, ranking, series, spread, words
from dashboards.parts import Board, Panel, Query, Row
from dashboards.queries import grown, now, or_zero, per_minute, select

NO_EVIDENCE = "no vendor evidence in this range"
AT_MOST_0_95, AT_MOST_1_05 = 'le="0.95"', 'le="1.05"'
UNPROVEN = 'verdict=~"unverified|pending"'
NEAR_ONE = ((None, "red"), (0.8, "orange"), (0.95, "green"), (1.05, "orange"), (1.2, "red"))

HOW_TO_READ = """A ratio of **1** is equal. *Dify ÷ vendor* is taken over the calls with vendor evidence; *local ÷ vendor* is shown for
models all whose calls had evidence. Bands: within
5 % green, within 20 % orange, beyond red. A steady ratio beside 1 is a wrong tokenizer or a chat format that is counted differently; a ratio
that wanders is failed, retried or cached calls: the board *why they differ* names them. `dify-exporter models` says how each model is
counted and how far that count can be trusted."""


def _ratio(counted: str, label: str = "model") -> str:
    """Of the calls with evidence; so `counted` is a counter of those alone."""
    return f"{grown(counted, by=label)} / ({grown('dify_vendor_tokens_total', by=label)} > 0)"


def _local_ratio(label: str = "model") -> str:
    """Local counts are summed over all calls, so a ratio is honest only where all of them have evidence."""
    unproven = grown("dify_calls_total", by=label, where=UNPROVEN)
    return f"{_ratio('dify_local_tokens_total', label)} unless {unproven} > 0"


def _moving(counted: str) -> str:
    vendor = f"({per_minute('dify_vendor_tokens_total', by='model')} > 0)"
    return f"{per_minute(counted, by='model')} / {vendor}"


def _moving_local() -> str:
    unproven = per_minute("dify_calls_total", by="model", where=UNPROVEN)
    return f"{_moving('dify_local_tokens_total')} unless {unproven} > 0"


def _column(expression: str) -> Query:
    return Query(expression, instant=True, as_table=True)


UNPROVEN_CALLS = grown("dify_calls_total", by="model", where=UNPROVEN)


def _shares(title: str, said: str, metric: str, label: str) -> tuple[Panel, Panel]:
    over_time = series(
        title,
        said,
        "short",
        Query(or_zero(per_minute(metric, by=label), **{label: "no calls yet"}), "{{" + label + "}}"),
        bars=True,
        stacked=True,
    )
    by_model = listing(
        f"{title}, by model",
        f"Calls in this range, by model. {said}",
        "short",
        _column(f"{grown(metric, by=f'model, {label}')} > 0"),
        none="no calls in this range",
        shown=(("model", "Model"), (label, label.capitalize()), ("Value", "Calls")),
        sort="Calls",
        bar="Calls",
        width=12,
        height=9,
    )
    return over_time, by_model


KINDS = _shares(
    "Kind of Dify's number",
    "vendor_passed: the vendor's usage, passed on; estimate: the plugin counted by itself; price_weighted: cached tokens weighted by "
    "price; zero: nothing although there was an answer; unknown: cannot be told; none: Dify keeps no number.",
    "dify_calls_by_kind_total",
    "kind",
)
ACCURACIES = _shares(
    "Accuracy of our count",
    "exact: to the token; template: exact but for the chat format; near and approximate: another model's vocabulary; lower_bound: a part "
    "could not be counted; none: not counted.",
    "dify_calls_by_accuracy_total",
    "accuracy",
)

BOARD = Board(
    uid="dify-exporter-models",
    title="Dify tokens: models and tokenizers",
    description="Ratios of Dify's and local counts to the vendor's per model, kinds of Dify's number, accuracy of local counts, prices.",
    variables=variables.CALLS,
    rows=(
        Row(
            "Ratios to the vendor in this range",
            (
                words("How to read this", HOW_TO_READ),
                number(
                    "Dify ÷ vendor",
                    "Dify's tokens per vendor token, over the calls with evidence. Green within 5 %, orange within 20 %, red beyond.",
                    "short",
                    Query(
                        f"{grown('dify_compared_tokens_total')} / ({grown('dify_vendor_tokens_total')} > 0)",
                        "ratio",
                        instant=True,
                    ),
                    none=NO_EVIDENCE,
                    steps=NEAR_ONE,
                    decimals=3,
                ),
                number(
                    "Local ÷ vendor",
                    "Local tokens per vendor token, over the models all whose calls in the range have evidence. Bands: green within "
                    "5 %, orange within 20 %, red beyond.",
                    "short",
                    Query(
                        f"sum({grown('dify_local_tokens_total', by='model')} unless {UNPROVEN_CALLS} > 0)"
                        f" / (sum({grown('dify_vendor_tokens_total', by='model')} unless {UNPROVEN_CALLS} > 0) > 0)",
                        "ratio",
                        instant=True,
                    ),
                    none=NO_EVIDENCE,
                    steps=NEAR_ONE,
                    decimals=3,
                ),
                number(
                    "Calls without a price",
                    "Calls in this range whose tokens are known and whose money is not, by the reading that lacks it. Orange: some.",
                    "short",
                    Query(
                        or_zero(grown("dify_unpriced_calls_total", by="reading"), reading="none"),
                        "{{reading}}",
                        instant=True,
                    ),
                    none="no calls yet",
                    steps=((None, "text"), (1, "orange")),
                ),
                number(
                    "Models folded into other",
                    "Model names without a label of their own, because web.top_models is reached; their sums are in other.",
                    "short",
                    Query(
                        or_zero(now("dify_exporter_folded_labels", where='label="model"')),
                        "models",
                        instant=True,
                    ),
                ),
                listing(
                    "By model",
                    "Every model of the range. A dash: for Dify ÷ vendor no call had vendor evidence, for local ÷ vendor not all had.",
                    "short",
                    _column(f"{grown('dify_calls_total', by='provider, model')} > 0"),
                    _column(f"{grown('dify_recorded_tokens_total', by='provider, model')} > 0"),
                    _column(f"{grown('dify_local_tokens_total', by='provider, model')} > 0"),
                    _column(f"{grown('dify_vendor_tokens_total', by='provider, model')} > 0"),
                    _column(_ratio("dify_compared_tokens_total", "provider, model")),
                    _column(_local_ratio("provider, model")),
                    none="no calls in this range",
                    shown=(
                        ("provider", "Provider"),
                        ("model", "Model"),
                        ("Value #A", "Calls"),
                        ("Value #B", "Dify"),
                        ("Value #C", "Local"),
                        ("Value #D", "Vendor"),
                        ("Value #E", "Dify ÷ vendor"),
                        ("Value #F", "Local ÷ vendor"),
                    ),
                    sort="Calls",
                ),
            ),
        ),
        Row(
            "Ratios over time",
            (
                series(
                    "Dify ÷ vendor by model",
                    "Over the calls with evidence; dashed: 5 % below and above equal. No line where no call had evidence.",
                    "short",
                    Query(
                        or_zero(_moving("dify_compared_tokens_total"), model="no evidence here"), "{{model}}"
                    ),
                    steps=((None, "green"), (0.95, "green"), (1.05, "orange")),
                ),
                series(
                    "Local ÷ vendor by model",
                    "Where all calls had evidence; dashed: 5 % below and above equal. A step is a change of model, template or tokenizer.",
                    "short",
                    Query(
                        or_zero(_moving_local(), model="no evidence here"),
                        "{{model}}",
                    ),
                    steps=((None, "green"), (0.95, "green"), (1.05, "orange")),
                ),
                spread(
                    "Vendor ÷ Dify, call by call",
                    "How many calls had which ratio; 1 is equal. Dots are single traces. Calls that Dify recorded nothing of have no ratio.",
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
                ),
                ranking(
                    "Calls within 5 % of the vendor",
                    "Share of the calls with evidence whose Dify total lies within 5 % of the vendor's, by model. Calls that Dify recorded "
                    "nothing of are not among them.",
                    "percentunit",
                    Query(
                        or_zero(
                            f"({grown('dify_discrepancy_ratio_bucket', by='model', where=AT_MOST_1_05)}"
                            f" - {grown('dify_discrepancy_ratio_bucket', by='model', where=AT_MOST_0_95)})"
                            f" / ({grown('dify_discrepancy_ratio_count', by='model')} > 0)",
                            model="no evidence",
                        ),
                        "{{model}}",
                        instant=True,
                    ),
                    none=NO_EVIDENCE,
                ),
            ),
        ),
        Row("What kind of number Dify keeps", KINDS),
        Row("How well we can count", ACCURACIES),
    ),
)
