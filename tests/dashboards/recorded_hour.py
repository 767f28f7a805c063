"""An hour of an exporter's life as Prometheus would have scraped it: recorded traffic is processed page by page under a
simulated clock, and the exposition is taken at every step. Nothing waits and nothing depends on the time of day."""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter import calls, config
from exporter.daemon import App
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.state import ledger
from exporter.web import metrics
from exporter.web.readiness import Readiness
from tests.e2e.recorded import restore
from tests.vendor.convert_recording import canonical

SECOND = 1_000_000
STEP_SECONDS = 30
STEPS = 120
BEGIN = datetime(2026, 11, 24, 4, tzinfo=UTC)
END = BEGIN.timestamp() + STEPS * STEP_SECONDS
LABELS = {"job": "dify-exporter", "instance": "dify-exporter:9464"}
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_QUIET_STEPS = 6
"""Scrapes after the last change, so that every new series has left its zero behind."""

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Hour:
    """What was scraped, and what the ledger, and its copy in PostgreSQL, say in the end."""

    app: App
    ledger_url: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    scraped: dict[Series, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def exported(self) -> list[dict[str, Any]]:
        """The calls that belong to exported traces: those that counters count."""
        with self.app.store.read() as connection:
            rows = connection.execute("SELECT trace_id FROM traces WHERE exported_at IS NOT NULL")
            traces = {trace_id for (trace_id,) in rows}
        return [call for call in self.calls if call["trace_id"] in traces]

    def openmetrics(self) -> Iterator[str]:
        """All samples with their times, as `promtool tsdb create-blocks-from openmetrics` reads them."""
        for (name, labels), points in sorted(self.scraped.items()):
            text = ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels)
            for moment, value in points:
                yield f"{name}{{{text}}} {value!r} {moment:.3f}\n"
        yield "# EOF\n"


class _Recorder:
    """Takes a scrape whenever a page of traces was stored, and moves the clock on."""

    def __init__(self) -> None:
        self.step = 0
        self.registry: CollectorRegistry | None = None
        self.hour: Hour | None = None
        self._is_scraping = False
        self._thread = threading.get_ident()

    def now(self) -> int:
        return round((BEGIN.timestamp() + self.step * STEP_SECONDS) * SECOND)

    def boundary(self, name: str) -> None:
        if name == "after page" and not self._is_scraping and threading.get_ident() == self._thread:
            self.scrape()

    def scrape(self) -> None:
        assert self.registry is not None
        assert self.hour is not None
        self._is_scraping = True
        moment = self.now() / SECOND
        body, _ = metrics.exposition(self.registry, _OPENMETRICS)
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                labels = tuple(sorted({**sample.labels, **LABELS}.items()))
                self.hour.scraped[(sample.name, labels)].append((moment, float(sample.value)))
        self.hour.scraped[("up", tuple(sorted(LABELS.items())))].append((moment, 1.0))
        self.step += 1
        self._is_scraping = False


@contextmanager
def recorded_hour(folder: Path, shared: Path | None, *, one_record_of: int = 1) -> Iterator[Hour]:
    """The whole recorded Dify 1.12.1 with its vendor's log where it is, page by page; else the demo's recording, in one page,
    because its later pages correct earlier ones, and counters never take back. `one_record_of` leaves only so much of the
    vendor's log. The program stays open for the block."""
    log = folder / "vendor.jsonl"
    with dify_database() as url, _receiver() as endpoint:
        ledger_url = url.replace("/postgres?", "/ledger?")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE ledger")
        if shared is not None:
            restore(url, shared / "dify" / "dify-1.12.1.sql.gz")
            lines = (shared / "dify" / "vendor-calls.jsonl").read_text("utf-8").splitlines()
            log.write_text("".join(json.dumps(canonical(json.loads(line))) + "\n" for line in lines), "utf-8")
            url = url.replace("/postgres?", "/dify?")
        else:
            ended = round(BEGIN.timestamp() - 3600) * SECOND
            replay.play_at_once(url, recording.load("dashboards"), log, ended)
        kept = log.read_text("utf-8").splitlines(keepends=True)[::one_record_of]
        log.write_text("".join(kept), "utf-8")
        wanted = {
            "dify.database.url": url,
            "dify.page_size": 8 if shared is not None else 200,
            "vendor": [{"kind": "file", "path": str(log), "name": "log"}],
            "state.path": str(folder / "state.db"),
            "destinations": [
                {"kind": "otlp", "name": "sink", "endpoint": endpoint},
                {"kind": "postgresql", "name": "ledger", "url": ledger_url},
            ],
        }
        settings = config.load(Path(os.devnull), {}, wanted).settings
        recorder = _Recorder()
        with App(settings, boundary=recorder.boundary, now=recorder.now) as app:
            ready = Readiness(lag_seconds=0.0)
            recorder.hour = Hour(app, ledger_url)
            recorder.registry = metrics.build_registry(
                app.store, lambda: ready, settings.web, ["sink", "ledger"], recorder.now
            )
            recorder.scrape()
            report = app.run_once()
            assert (report.problems, report.waiting, report.dead) == ((), {}, {})
            assert recorder.step + _QUIET_STEPS < STEPS, (
                "more pages than the hour has scrapes: raise dify.page_size"
            )
            while recorder.step <= STEPS:
                recorder.scrape()
            with app.store.read() as connection:
                listed = calls.listing(connection, ledger.CallFilter(), settings.compare)
                recorder.hour.calls = [json.loads(line) for line in listed]
            yield recorder.hour


@contextmanager
def _receiver() -> Iterator[str]:
    """An OTLP receiver that takes everything."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
