-- Rollups say up to which request they were made, in ascending order. They are made anew from the spans, each of
-- which says by which request it came.
UPDATE spans SET journal_seq = 0 WHERE journal_seq IS NULL;
