-- traces and calls lie in the order they were stored and are found by id through an index: kept by id, each changed a page
-- of its own, filled it with little else, and what is of one time lay scattered
CREATE TABLE traces_in_order (
    trace_id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, record_id TEXT NOT NULL, created_at INTEGER NOT NULL,
    app_id TEXT NOT NULL, app_name TEXT NOT NULL, app_mode TEXT NOT NULL, name TEXT NOT NULL,
    message_id TEXT, workflow_run_id TEXT, status TEXT NOT NULL, verdict TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0,
    exported_at INTEGER, document TEXT NOT NULL, fingerprint BLOB, gap INTEGER
) STRICT;
INSERT INTO traces_in_order SELECT * FROM traces;
DROP TABLE traces;
ALTER TABLE traces_in_order RENAME TO traces;
CREATE INDEX traces_started ON traces (started_at, trace_id);
CREATE INDEX traces_message ON traces (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX traces_run ON traces (workflow_run_id) WHERE workflow_run_id IS NOT NULL;
CREATE INDEX traces_verdict ON traces (verdict, started_at, trace_id);
CREATE INDEX traces_app ON traces (app_id, verdict, started_at, trace_id);
CREATE INDEX traces_gap ON traces (gap, trace_id, app_id, verdict, started_at) WHERE gap != 0;

CREATE TABLE calls_in_order (
    call_id TEXT NOT NULL PRIMARY KEY, trace_id TEXT NOT NULL, position INTEGER NOT NULL,
    app_id TEXT NOT NULL, app_name TEXT NOT NULL, provider TEXT, model TEXT, verdict TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, has_vendor INTEGER NOT NULL,
    fingerprint BLOB NOT NULL, document TEXT NOT NULL
) STRICT;
INSERT INTO calls_in_order SELECT * FROM calls;
DROP TABLE calls;
ALTER TABLE calls_in_order RENAME TO calls;
CREATE INDEX calls_trace ON calls (trace_id, position);
CREATE INDEX calls_started ON calls (started_at);
CREATE INDEX calls_long ON calls (started_at) WHERE ended_at - started_at > 120000000;
CREATE INDEX calls_model ON calls (model, started_at, call_id, trace_id, app_id);

-- of records due at once the oldest come first, so that what is of one time is read and stored together
DROP INDEX records_due;
CREATE INDEX records_due ON records (due_at, created_at) WHERE state IN ('pending', 'watched');
