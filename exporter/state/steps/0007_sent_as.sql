-- how a trace went to a destination where Dify's own tracing may have written it already: a correction goes the same way
CREATE TABLE sent_as (
    trace_id TEXT NOT NULL, entry TEXT NOT NULL,   -- of the settings' destinations
    way TEXT NOT NULL,                             -- own | enriched | skipped
    PRIMARY KEY (trace_id, entry)
) STRICT, WITHOUT ROWID;
