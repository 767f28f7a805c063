-- usage per stretch of time as its source tells it now; `report`: which of the source's reports tells it
CREATE TABLE told_buckets (
    source TEXT NOT NULL, report TEXT NOT NULL, starts_at INTEGER NOT NULL, ends_at INTEGER NOT NULL,
    model TEXT NOT NULL, key TEXT NOT NULL, part TEXT NOT NULL, requests INTEGER, input INTEGER, output INTEGER,
    cache_read INTEGER, cache_write INTEGER, reasoning INTEGER, cost TEXT, currency TEXT, seen_at INTEGER NOT NULL,
    PRIMARY KEY (source, report, starts_at, ends_at, model, key, part)
) STRICT, WITHOUT ROWID;
INSERT INTO told_buckets
    SELECT source, '', starts_at, ends_at, model, key, part, requests, input, output, cache_read, cache_write, reasoning,
        cost, currency, seen_at
    FROM usage_buckets;
DROP TABLE usage_buckets;
ALTER TABLE told_buckets RENAME TO usage_buckets;
CREATE INDEX usage_buckets_at ON usage_buckets (starts_at);

-- what was told of a stretch before (from seen_at on) and is not told any more (since replaced_at)
CREATE TABLE usage_revisions (
    source TEXT NOT NULL, report TEXT NOT NULL, starts_at INTEGER NOT NULL, ends_at INTEGER NOT NULL,
    model TEXT NOT NULL, key TEXT NOT NULL, part TEXT NOT NULL, requests INTEGER, input INTEGER, output INTEGER,
    cache_read INTEGER, cache_write INTEGER, reasoning INTEGER, cost TEXT, currency TEXT, seen_at INTEGER NOT NULL,
    replaced_at INTEGER NOT NULL,
    PRIMARY KEY (source, report, starts_at, ends_at, model, key, part, seen_at, replaced_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_revisions_at ON usage_revisions (starts_at);
