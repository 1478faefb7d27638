-- The last journalled request that is indexed here.
CREATE OR REPLACE MACRO indexed_seq() AS (SELECT max(value) FROM meta WHERE key = 'journal_seq');
