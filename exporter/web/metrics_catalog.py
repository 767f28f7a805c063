"""Every metric family that /metrics serves: name, type, labels, and the words that say what it means.

Names and labels are part of our interface (dashboards, alerts): none is renamed and none changes its meaning. The table
of docs/metrics.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Kind = Literal["counter", "gauge", "histogram"]
Values = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `name` is without the `_total` that a counter's samples end with."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The name that queries use."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def of(self, values: Values) -> Metric:
        """The family with these values by label values; not for histograms."""
        make = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        metric = make(self.name, self.help, labels=self.labels)
        for key, value in values.items():
            metric.add_metric(key, value)
        return metric

    def histogram(self) -> HistogramMetricFamily:
        """The histogram, still empty."""
        return HistogramMetricFamily(self.name, self.help, labels=self.labels)


CALL = ("app", "provider", "model")
AT_EXPORT = (
    " Grows when traces are exported, so a backfill moves it at the time of the backfill; what was used when is told by"
    " `dify-exporter report`. A later correction adds what grew and never takes back."
)


def _counted(name: str, own: tuple[str, ...], text: str) -> Family:
    return Family(f"dify_{name}", "counter", text + AT_EXPORT, (*CALL, *own))


LEDGER = (
    _counted(
        "recorded_tokens", ("direction",),
        "Tokens that Dify recorded for model calls of exported traces; input includes cached, output reasoning tokens.",
    ),
    _counted(
        "local_tokens", ("direction",),
        "Tokens that the local tokenizer counts for the same calls: our own recount, not a bill.",
    ),
    _counted(
        "vendor_tokens", ("direction",),
        "Tokens that the vendor itself reported, all billed attempts of a call together; only calls with such evidence.",
    ),
    _counted(
        "compared_tokens", ("direction",),
        "Tokens that Dify recorded for those calls of which the vendor's number is known: what dify_vendor_tokens_total"
        " is to be compared with.",
    ),
    _counted("recorded_cost", ("currency",), "Money that Dify recorded for these calls, per currency."),
    _counted(
        "local_cost", ("currency",),
        "Money that the local count comes to by the price book, per currency; calls without a known price are in"
        " dify_unpriced_calls_total.",
    ),
    _counted(
        "vendor_cost", ("currency",),
        "Money that the vendor's evidence states for these calls, or that its tokens come to by the price book, per"
        " currency; calls without a known price are in dify_unpriced_calls_total.",
    ),
    _counted(
        "compared_cost", ("currency",),
        "Money that Dify recorded for those calls of which the vendor's money is known: what dify_vendor_cost_total is to be"
        " compared with.",
    ),
    _counted(
        "unrecorded_tokens", ("direction", "cause"),
        "Tokens that the vendor counted and Dify did not record, by the finding that explains them.",
    ),
    _counted(
        "overrecorded_tokens", ("direction", "cause"),
        "Tokens that Dify recorded and the vendor did not count, by the finding that explains them.",
    ),
    _counted(
        "unrecorded_cost", ("currency", "cause"),
        "Money that the vendor billed and Dify did not record, by the finding that explains it; only calls with the vendor's"
        " number and a known price.",
    ),
    _counted(
        "overrecorded_cost", ("currency", "cause"),
        "Money that Dify recorded and the vendor did not bill, by the finding that explains it; only calls with the vendor's"
        " number and a known price.",
    ),
    _counted(
        "unexplained_tokens", ("direction",),
        "Tokens by which vendor and Dify differ and that no finding explains: amounts without sign, so that what is too"
        " much in one call does not hide what is too little in another.",
    ),
    _counted(
        "calls", ("verdict",),
        "Model calls of exported traces, by verdict. A call whose verdict changes later counts once under each verdict"
        " that it had; dify_judged_calls has each call once.",
    ),
    _counted(
        "calls_by_kind", ("kind",),
        "Model calls by what kind of number Dify recorded: vendor_passed, estimate, price_weighted, zero, unknown, or none."
        " A call whose record changes later counts once under each kind that it had.",
    ),
    _counted(
        "calls_by_accuracy", ("accuracy",),
        "Model calls by how far the local count can be trusted: exact, template, near, approximate, lower_bound, or none."
        " A call that is counted anew later counts once under each.",
    ),
    _counted(
        "unpriced_calls", ("reading",),
        "Model calls whose tokens by this reading (dify, local, vendor) are known and whose money is not: they are missing"
        " from the cost of that reading.",
    ),
)  # fmt: skip
RATIO = Family(
    "dify_discrepancy_ratio",
    "histogram",
    "Vendor total / Dify total of model calls, once a call, when the vendor's number is first known. Left out: calls without"
    " an independent vendor number (verdicts unverified and pending), and calls for which Dify recorded nothing (kinds zero"
    " and none; their tokens are in dify_unrecorded_tokens_total)." + AT_EXPORT,
    CALL,
)
JUDGED = Family(
    "dify_judged_calls",
    "gauge",
    "Model calls of exported traces by the verdict that they have now, each call once; follows corrections. Calls that the"
    " ledger forgot when they were old stay counted.",
    (*CALL, "verdict"),
)

_KEPT = " Of the evidence that is kept: old evidence is forgotten (state.keep)."
EVIDENCE_REQUESTS = Family(
    "dify_evidence_requests",
    "gauge",
    "Vendor requests by what became of them: matched to a call; copy of a request that another source logged; hidden (Dify's"
    " own, in no message or run); unrecorded (Dify's own, of which Dify has no row); foreign (not Dify's); new (not looked"
    " at yet)." + _KEPT,
    ("source", "standing"),
)
EVIDENCE_TOKENS = Family(
    "dify_evidence_tokens",
    "gauge",
    "Tokens of these requests; a request whose usage is unknown adds nothing." + _KEPT,
    ("source", "standing", "direction"),
)
FOREIGN_TOKENS = Family(
    "dify_foreign_tokens",
    "gauge",
    "Tokens of requests at the vendor that are not Dify's, by model: somebody else uses the same account."
    + _KEPT,
    ("source", "model", "direction"),
)


def _own(kind: Kind, name: str, text: str, *labels: str) -> Family:
    return Family(f"dify_exporter_{name}", kind, text, labels)


OWN = (
    _own("gauge", "folded_labels",
         "Names without a label of their own, counted under 'other'; web.top_apps and web.top_models set how many apps and"
         " models have one.", "label"),
    _own("gauge", "build_info", "Always 1; the labels name the versions.", "version", "python"),
    _own("gauge", "ready", "1 when /readyz answers 200."),
    _own("gauge", "reading", "1 while Dify is read; 0 when that is stopped, fails or has gone quiet."),
    _own("gauge", "source_lag_seconds",
         "How long something that should have been read from Dify has not been read; no sample while that is not known."),
    _own("gauge", "records",
         "Dify records ever met, by state: pending, watched, done, filtered, vanished, set_aside.", "state"),
    _own("counter", "job_runs", "Runs of the job, failed ones too; counted about twice a minute, failures at once.", "job"),
    _own("gauge", "job_last_success_timestamp_seconds", "When the job last ran to its end.", "job"),
    _own("gauge", "job_last_failure_timestamp_seconds", "When the job last failed.", "job"),
    _own("gauge", "backlog_traces", "Traces (or parts of split ones) that wait for the destination.", "destination"),
    _own("gauge", "backlog_spans", "Spans that wait for the destination.", "destination"),
    _own("gauge", "backlog_bytes",
         "Bytes kept for the destination: waiting, in doubt, acknowledged but not confirmed, and dead letters.",
         "destination"),
    _own("gauge", "backlog_oldest_seconds",
         "How long the oldest waiting trace has waited; 0 when none waits.", "destination"),
    _own("gauge", "in_doubt_traces",
         "Traces that were sent and whose answer was never stored; part of the backlog.", "destination"),
    _own("gauge", "acked_traces",
         "Traces that the destination acknowledged and that are kept until confirmed.", "destination"),
    _own("gauge", "dead_letters",
         "Traces (or parts) that the destination refused; kept with the reason until replayed.", "destination"),
    _own("counter", "delivered_traces",
         "Traces (or parts of split ones) that the destination acknowledged.", "destination"),
    _own("counter", "delivered_spans", "Spans that the destination acknowledged.", "destination"),
    _own("counter", "confirmed_traces", "Traces that were read back from the destination.", "destination"),
    _own("counter", "resent_traces",
         "Traces sent again because they were acknowledged and then not found there.", "destination"),
    _own("counter", "duplicate_traces", "Traces that the destination said it already had.", "destination"),
    _own("counter", "refused_traces",
         "Traces (or parts) that the destination refused for their content.", "destination"),
    _own("counter", "requests", "Requests made to the destination.", "destination"),
    _own("counter", "request_failures", "Requests that failed and are made again later.", "destination"),
    _own("gauge", "destination_on_hold", "1 while a person has to act (keys, address, rights).", "destination"),
    _own("gauge", "delivery_last_success_timestamp_seconds",
         "When the destination last acknowledged something.", "destination"),
    _own("gauge", "evidence_records", "Vendor requests kept as evidence.", "source"),
    _own("gauge", "evidence_matched", "Of these, matched to a call.", "source"),
    _own("gauge", "evidence_refused", "Vendor records that could not be read.", "source"),
    _own("gauge", "evidence_last_seen_timestamp_seconds",
         "When something new of the source last arrived here: old means that the source is quiet, or that it is cut off.",
         "source"),
    _own("gauge", "audit_missing",
         "Exported traces that the destination did not hold, or not whole, at its last audit.", "destination"),
    _own("gauge", "audit_doubled",
         "Traces of which the destination held more rows than the ledger at its last audit.", "destination"),
    _own("gauge", "audit_last_timestamp_seconds", "When the destination was last audited.", "destination"),
    _own("gauge", "state_bytes", "Size of the state file with its write-ahead log."),
    _own("gauge", "state_disk_free_bytes",
         "Free space where the state lies; below state.min_free_disk, reading Dify stops."),
    _own("counter", "tokenizer_seconds", "Time spent on counting tokens since the process started."),
    _own("gauge", "scrape_duration_seconds",
         "How long this answer took to make."),
)  # fmt: skip

FAMILIES = (*LEDGER, RATIO, JUDGED, EVIDENCE_REQUESTS, EVIDENCE_TOKENS, FOREIGN_TOKENS, *OWN)
_BY_NAME = {family.name: family for family in FAMILIES}


def own(name: str, values: Values) -> Metric:
    """One of the families of our own health, by its name without `dify_exporter_`."""
    return _BY_NAME[f"dify_exporter_{name}"].of(values)
