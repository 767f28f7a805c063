-- what a parcel holds lies apart from what becomes of it: in one row, every change of its state wrote the spans anew
CREATE TABLE outbox_spans (seq INTEGER PRIMARY KEY, spans BLOB NOT NULL) STRICT;
INSERT INTO outbox_spans SELECT seq, spans FROM outbox;
ALTER TABLE outbox ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET size_bytes = length(spans);
ALTER TABLE outbox DROP COLUMN spans;
CREATE TRIGGER outbox_forgotten AFTER DELETE ON outbox BEGIN DELETE FROM outbox_spans WHERE seq = old.seq; END;
