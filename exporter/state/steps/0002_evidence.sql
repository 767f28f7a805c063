-- what is kept of a vendor request has more to say: files are read again from their start
DROP TABLE evidence;
DROP TABLE evidence_files;
CREATE TABLE evidence_positions (source TEXT PRIMARY KEY, position TEXT NOT NULL, read_at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;

-- vendor requests, texts already dropped, and what became of each
CREATE TABLE evidence (
    source TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, ends_at INTEGER NOT NULL,
    standing TEXT NOT NULL,       -- new | matched | copy | hidden | foreign
    call_id TEXT, trace_id TEXT, app_id TEXT, method TEXT, confidence REAL, original TEXT,
    purpose TEXT, model TEXT NOT NULL, key TEXT, users TEXT NOT NULL, input INTEGER, output INTEGER,
    seen_at INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_at ON evidence (at);
CREATE INDEX evidence_call ON evidence (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX evidence_trace ON evidence (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX evidence_original ON evidence (original) WHERE original IS NOT NULL;
CREATE INDEX evidence_standing ON evidence (source, standing, purpose, model, key, input, output);

-- stretches of time in which calls or requests are new, so that matching must look there (again)
CREATE TABLE unmatched_times (since INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;

-- how far the clock of a source is behind ours (micros to add), from that time on
CREATE TABLE clock_shifts (
    source TEXT NOT NULL, since INTEGER NOT NULL, shift INTEGER NOT NULL, pairs INTEGER NOT NULL,
    PRIMARY KEY (source, since)
) STRICT, WITHOUT ROWID;

-- usage that a vendor tells only per stretch of time
CREATE TABLE usage_buckets (
    source TEXT NOT NULL, starts_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, model TEXT NOT NULL,
    key TEXT NOT NULL, part TEXT NOT NULL, requests INTEGER, input INTEGER, output INTEGER, cache_read INTEGER,
    cache_write INTEGER, reasoning INTEGER, cost TEXT, currency TEXT, seen_at INTEGER NOT NULL,
    PRIMARY KEY (source, starts_at, ends_at, model, key, part)
) STRICT, WITHOUT ROWID;

-- what Dify's requests are known by: user:<hash> of its end users, app:<id>, key:<key> of matched requests
CREATE TABLE familiar (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

ALTER TABLE traces ADD COLUMN fingerprint BLOB;
CREATE INDEX calls_long ON calls (started_at) WHERE ended_at - started_at > 120000000;
