-- when each counter began: it shows 0 for a while, so that whoever scrapes sees it grow
ALTER TABLE totals ADD COLUMN since INTEGER NOT NULL DEFAULT 0;

-- what the counters hold of a trace beyond its calls as they are now, because a correction took it back
CREATE TABLE overcounted (
    trace_id TEXT NOT NULL, metric TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, label TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (trace_id, metric, provider, model, label)
) STRICT, WITHOUT ROWID;

-- the last trace that fell into each bucket of the discrepancy histogram
CREATE TABLE exemplars (
    app TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, bucket TEXT NOT NULL,
    trace_id TEXT NOT NULL, value REAL NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (app, provider, model, bucket)
) STRICT, WITHOUT ROWID;

-- when something new of a source last arrived
CREATE INDEX evidence_seen ON evidence (source, seen_at);

INSERT INTO totals (metric, app, provider, model, label, value)
    SELECT 'judged_calls', c.app_name, coalesce(nullif(c.provider, ''), 'unknown'), coalesce(nullif(c.model, ''), 'unknown'),
        c.verdict, count(*)
    FROM calls c JOIN traces t USING (trace_id) WHERE t.revision > 0 GROUP BY 1, 2, 3, 4, 5;
