CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (stream TEXT PRIMARY KEY, cursor TEXT NOT NULL, moved_at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;

-- every Dify record ever met; 'pending' ones are read (again) when due
CREATE TABLE records (
    kind TEXT NOT NULL, id TEXT NOT NULL, created_at INTEGER NOT NULL,
    state TEXT NOT NULL,          -- pending | watched | done | filtered | vanished | set_aside
    due_at INTEGER NOT NULL, checks INTEGER NOT NULL DEFAULT 0, reason TEXT, met_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX records_due ON records (due_at) WHERE state IN ('pending', 'watched');
CREATE INDEX records_set_aside ON records (met_at) WHERE state = 'set_aside';

CREATE TABLE traces (
    trace_id TEXT PRIMARY KEY, kind TEXT NOT NULL, record_id TEXT NOT NULL, created_at INTEGER NOT NULL,
    app_id TEXT NOT NULL, app_name TEXT NOT NULL, app_mode TEXT NOT NULL, name TEXT NOT NULL,
    message_id TEXT, workflow_run_id TEXT, status TEXT NOT NULL, verdict TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0,
    exported_at INTEGER, document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_started ON traces (started_at);
CREATE INDEX traces_message ON traces (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX traces_run ON traces (workflow_run_id) WHERE workflow_run_id IS NOT NULL;

CREATE TABLE calls (
    call_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, position INTEGER NOT NULL,
    app_id TEXT NOT NULL, app_name TEXT NOT NULL, provider TEXT, model TEXT, verdict TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, has_vendor INTEGER NOT NULL,
    fingerprint BLOB NOT NULL, document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_trace ON calls (trace_id, position);
CREATE INDEX calls_started ON calls (started_at);

-- vendor requests, texts already dropped
CREATE TABLE evidence (
    source TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, call_id TEXT, record BLOB NOT NULL,
    seen_at INTEGER NOT NULL, tried INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_at ON evidence (at);
CREATE INDEX evidence_call ON evidence (call_id) WHERE call_id IS NOT NULL;
CREATE TABLE evidence_files (path TEXT PRIMARY KEY, position TEXT NOT NULL, read_at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE refused_evidence (
    source TEXT NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL, seen_at INTEGER NOT NULL,
    PRIMARY KEY (source, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, destination TEXT NOT NULL, trace_id TEXT NOT NULL, part INTEGER NOT NULL,
    revision INTEGER NOT NULL, state TEXT NOT NULL,     -- ready | in_doubt | acked | dead
    span_count INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL, queued_at INTEGER NOT NULL,
    acked_at INTEGER, reason TEXT, spans BLOB NOT NULL,    -- last: what stands behind a blob is slow to read
    UNIQUE (destination, trace_id, part)
) STRICT;
CREATE INDEX outbox_next ON outbox (destination, state, next_at, seq);

CREATE TABLE deliveries (
    destination TEXT PRIMARY KEY, traces INTEGER NOT NULL DEFAULT 0, spans INTEGER NOT NULL DEFAULT 0,
    confirmed INTEGER NOT NULL DEFAULT 0, resent INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0, requests INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    succeeded_at INTEGER, failed_at INTEGER, failure TEXT, hold TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    name TEXT PRIMARY KEY, succeeded_at INTEGER, failed_at INTEGER, failure TEXT, runs INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- monotonic sums behind the counters; moved in the transaction that stores the calls they count
CREATE TABLE totals (
    metric TEXT NOT NULL, app TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, label TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (metric, app, provider, model, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE backfills (
    id TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL, state TEXT NOT NULL,
    found INTEGER NOT NULL DEFAULT 0, expected INTEGER, started_at INTEGER NOT NULL, cursors TEXT NOT NULL
) STRICT, WITHOUT ROWID;
