"""The last audit of each destination as metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from exporter.state import health
from exporter.state.store import Store
from tests.web.conftest import Serve


def test_the_last_audit_of_each_destination_is_shown_and_nothing_before_the_first(
    store: Store, serve: Serve
) -> None:
    assert _values(serve().get("/metrics").text) == {}
    with store.transaction("test") as connection:
        health.remember(
            connection,
            "audit.langfuse",
            '{"at": 1700000000500000, "since": 0, "until": 1, "missing": 3, "doubled": 2}',
        )
    assert _values(serve().get("/metrics").text) == {
        ("dify_exporter_audit_missing", "langfuse"): 3,
        ("dify_exporter_audit_doubled", "langfuse"): 2,
        ("dify_exporter_audit_last_timestamp_seconds", "langfuse"): 1700000000.5,
    }


def _values(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["destination"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("dify_exporter_audit_")
    }
