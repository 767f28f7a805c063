-- sums of the ledger per quarter of an hour, moved in the transaction that stores the calls: what reports add up
CREATE TABLE sum_groups (
    id INTEGER PRIMARY KEY, app_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL,
    kind TEXT NOT NULL, app_name TEXT NOT NULL, workspace_id TEXT NOT NULL,
    UNIQUE (app_id, provider, model, key, kind)
) STRICT;
CREATE TABLE sums (
    starts_at INTEGER NOT NULL, group_id INTEGER NOT NULL, measure TEXT NOT NULL, value INTEGER NOT NULL,
    PRIMARY KEY (starts_at, group_id, measure)
) STRICT, WITHOUT ROWID;

-- requests that belong to no trace, for reports over a long ledger
CREATE INDEX evidence_lone ON evidence (at) WHERE trace_id IS NULL AND standing IN ('hidden', 'foreign');

-- vendor − dify tokens over the calls that a vendor was heard of; NULL where there is none
ALTER TABLE traces ADD COLUMN gap INTEGER;
