-- What this file is: schema_version, and journal_seq, the last journalled request that is indexed here.
CREATE TABLE IF NOT EXISTS meta (key VARCHAR, value BIGINT);
