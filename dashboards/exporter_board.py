"""Board 5: the exporter itself: how far behind it is, what waits, what arrived, what failed, and what it costs."""

from __future__ import annotations

from dashboards import variables
from dashboards.panels import listing, number, series, words
from dashboards.parts import Board, Panel, Query, Row
from dashboards.queries import OWN, grown, now, or_zero, per_minute, select

IS_OURS = "and on (job, instance) dify_exporter_build_info"
"""Prometheus and other programs have the same process metrics."""

BAD_ABOVE_ZERO = ((None, "green"), (1, "red"))

HOW_TO_READ = """**Nothing is lost when this looks bad:** Dify's database is the buffer, and what waits stays in the state file. Read from left to
right: is Dify read, how far behind, what waits for each destination, what a destination refused. docs/runbooks.md says what to do."""


def _own(metric: str, **given: str) -> str:
    return grown(metric, selector=OWN, **given)


def _ours(metric: str) -> str:
    return f"{select(metric, selector=OWN)} {IS_OURS}"


def _times(title: str, said: str, unit: str, metric: str, by: str, how: str = "sum") -> Panel:
    return series(
        title,
        said,
        unit,
        Query(or_zero(now(metric, by=by, how=how), **{by: "none yet"}), "{{" + by + "}}"),
        width=8,
    )


def _rates(title: str, said: str, *metrics: tuple[str, str], by: str = "destination") -> Panel:
    queries = [
        Query(
            or_zero(per_minute(metric, by=by, selector=OWN), **{by: "none yet"}), "{{" + by + "}} " + legend
        )
        for metric, legend in metrics
    ]
    return series(title, said, "short", *queries, width=8)


BOARD = Board(
    uid="dify-exporter-health",
    title="Dify exporter: the exporter itself",
    description="Lag, backlog, deliveries, errors, evidence, memory and disk of the exporter.",
    variables=variables.EXPORTER,
    since="now-6h",
    rows=(
        Row(
            "Now",
            (
                words("How to read this", HOW_TO_READ, height=3),
                number(
                    "Scraped",
                    "Exporters that Prometheus reaches. Red: none.",
                    "short",
                    Query(
                        f"sum(up{{{OWN}}} and on (job, instance) last_over_time(dify_exporter_build_info[$__range]))",
                        "up",
                        instant=True,
                    ),
                    none="never scraped in this range",
                    steps=((None, "red"), (1, "green")),
                    width=3,
                ),
                number(
                    "Reading Dify",
                    "1 while Dify is read, 0 when that is stopped, fails or has gone quiet (red).",
                    "short",
                    Query(now("dify_exporter_reading", how="min"), "reading", instant=True),
                    steps=((None, "red"), (1, "green")),
                    width=3,
                ),
                number(
                    "Behind Dify",
                    "How long something that should have been read has not been. Orange from a minute, red from five.",
                    "s",
                    Query(now("dify_exporter_source_lag_seconds", how="max"), "lag", instant=True),
                    none="not known: Dify was not read yet",
                    steps=((None, "green"), (60, "orange"), (300, "red")),
                    width=3,
                ),
                number(
                    "Traces waiting",
                    "Traces that wait for a destination, all destinations together.",
                    "short",
                    Query(or_zero(now("dify_exporter_backlog_traces")), "traces", instant=True),
                    width=3,
                ),
                number(
                    "Oldest waiting",
                    "How long the oldest trace has waited for a destination. Orange from five minutes, red from fifteen.",
                    "s",
                    Query(
                        or_zero(now("dify_exporter_backlog_oldest_seconds", how="max")),
                        "oldest",
                        instant=True,
                    ),
                    steps=((None, "green"), (300, "orange"), (900, "red")),
                    width=3,
                ),
                number(
                    "Dead letters",
                    "Traces a destination refused for their content; kept until replayed. Red: some.",
                    "short",
                    Query(or_zero(now("dify_exporter_dead_letters")), "traces", instant=True),
                    steps=BAD_ABOVE_ZERO,
                    width=3,
                ),
                number(
                    "In doubt",
                    "Traces that were sent and whose answer was never stored; settled by themselves.",
                    "short",
                    Query(or_zero(now("dify_exporter_in_doubt_traces")), "traces", instant=True),
                    steps=((None, "green"), (1, "orange")),
                    width=3,
                ),
                number(
                    "Destinations on hold",
                    "Destinations that wait for a person: wrong keys, address or rights. Red: some.",
                    "short",
                    Query(or_zero(now("dify_exporter_destination_on_hold")), "destinations", instant=True),
                    steps=BAD_ABOVE_ZERO,
                    width=3,
                ),
            ),
        ),
        Row(
            "Reading",
            (
                series(
                    "Behind Dify",
                    "Seconds that something due has not been read.",
                    "s",
                    Query(
                        or_zero(
                            now("dify_exporter_source_lag_seconds", by="instance", how="max"),
                            instance="not read yet",
                        ),
                        "{{instance}}",
                    ),
                    width=8,
                ),
                _times(
                    "Records by state",
                    "Dify's records ever met, by what became of them.",
                    "short",
                    "dify_exporter_records",
                    "state",
                ),
                _rates(
                    "Runs of the jobs",
                    "Runs a minute, failed ones too.",
                    ("dify_exporter_job_runs_total", ""),
                    by="job",
                ),
            ),
        ),
        Row(
            "Delivering",
            (
                _times(
                    "Traces waiting",
                    "Traces that wait, by destination.",
                    "short",
                    "dify_exporter_backlog_traces",
                    "destination",
                ),
                _times(
                    "Oldest waiting",
                    "How long the oldest waiting trace has waited, by destination.",
                    "s",
                    "dify_exporter_backlog_oldest_seconds",
                    "destination",
                    "max",
                ),
                _times(
                    "Bytes kept for destinations",
                    "Waiting, in doubt, acknowledged but not confirmed, and dead letters. At state.max_backlog reading stops.",
                    "bytes",
                    "dify_exporter_backlog_bytes",
                    "destination",
                ),
                _rates(
                    "Delivered and confirmed",
                    "Traces a minute that a destination acknowledged, and that were found there when read back.",
                    ("dify_exporter_delivered_traces_total", "delivered"),
                    ("dify_exporter_confirmed_traces_total", "confirmed"),
                ),
                _rates(
                    "Requests and failures",
                    "Requests a minute, and those that failed and are made again.",
                    ("dify_exporter_requests_total", "requests"),
                    ("dify_exporter_request_failures_total", "failed"),
                ),
                _rates(
                    "Refused, sent again, already there",
                    "Traces a minute that a destination refused, that had to be sent again because they were not found there, and that it "
                    "said it already had.",
                    ("dify_exporter_refused_traces_total", "refused"),
                    ("dify_exporter_resent_traces_total", "sent again"),
                    ("dify_exporter_duplicate_traces_total", "already there"),
                ),
                listing(
                    "Destinations",
                    "Every destination in this range. Missing and doubled are what its last audit found; a dash: never audited.",
                    "short",
                    *(
                        Query(expression, instant=True, as_table=True)
                        for expression in (
                            now("dify_exporter_backlog_traces", by="destination"),
                            now("dify_exporter_acked_traces", by="destination"),
                            now("dify_exporter_in_doubt_traces", by="destination"),
                            now("dify_exporter_dead_letters", by="destination"),
                            _own("dify_exporter_delivered_traces_total", by="destination"),
                            now("dify_exporter_audit_missing", by="destination"),
                            now("dify_exporter_audit_doubled", by="destination"),
                        )
                    ),
                    none="no destination is configured: readings go to the page, the metrics and the ledger only",
                    shown=(
                        ("destination", "Destination"),
                        ("Value #A", "Waiting"),
                        ("Value #B", "Not confirmed yet"),
                        ("Value #C", "In doubt"),
                        ("Value #D", "Dead letters"),
                        ("Value #E", "Delivered in range"),
                        ("Value #F", "Missing"),
                        ("Value #G", "Doubled"),
                    ),
                    height=7,
                ),
            ),
        ),
        Row(
            "Vendor evidence",
            (
                _times(
                    "Evidence kept",
                    "Vendor requests kept, by source.",
                    "short",
                    "dify_exporter_evidence_records",
                    "source",
                ),
                _times(
                    "Evidence matched",
                    "Of these, matched to a call of Dify.",
                    "short",
                    "dify_exporter_evidence_matched",
                    "source",
                ),
                series(
                    "Silence of evidence sources",
                    "Seconds since something new of the source arrived here.",
                    "s",
                    Query(
                        or_zero(
                            f"time() - {now('dify_exporter_evidence_last_seen_timestamp_seconds', by='source', how='max')}",
                            source="no source yet",
                        ),
                        "{{source}}",
                    ),
                    width=8,
                ),
            ),
        ),
        Row(
            "Machine",
            (
                series(
                    "Memory",
                    "Resident memory of the exporter.",
                    "bytes",
                    Query(_ours("process_resident_memory_bytes"), "{{instance}}"),
                    width=6,
                ),
                series(
                    "CPU",
                    "Share of one core.",
                    "percentunit",
                    Query(
                        or_zero(
                            f"rate({select('process_cpu_seconds_total', selector=OWN)}[$__rate_interval]) {IS_OURS}",
                            instance="not known yet",
                        ),
                        "{{instance}}",
                    ),
                    Query(
                        or_zero(
                            f"sum(rate({select('dify_exporter_tokenizer_seconds_total', selector=OWN)}[$__rate_interval]))"
                        ),
                        "of which counting tokens",
                    ),
                    width=6,
                ),
                series(
                    "Disk",
                    "Size of the state, and what is free where it lies. Below state.min_free_disk (256 MiB) reading stops.",
                    "bytes",
                    Query(now("dify_exporter_state_bytes", by="instance"), "state {{instance}}"),
                    Query(
                        now("dify_exporter_state_disk_free_bytes", by="instance", how="min"),
                        "free {{instance}}",
                    ),
                    width=6,
                ),
                series(
                    "Scrape",
                    "How long answering Prometheus takes.",
                    "s",
                    Query(or_zero(now("dify_exporter_scrape_duration_seconds", how="max")), "answering"),
                    width=6,
                ),
            ),
        ),
    ),
)
