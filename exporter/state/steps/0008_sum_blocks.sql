-- the same sums per four hours: what a report over months adds up instead of every quarter
CREATE TABLE sum_blocks (
    starts_at INTEGER NOT NULL, group_id INTEGER NOT NULL, measure TEXT NOT NULL, value INTEGER NOT NULL,
    PRIMARY KEY (starts_at, group_id, measure)
) STRICT, WITHOUT ROWID;
INSERT INTO sum_blocks
    SELECT starts_at - starts_at % 14400000000, group_id, measure, sum(value) FROM sums GROUP BY 1, 2, 3;
