-- The value of one of `settings`.
CREATE OR REPLACE MACRO setting(wanted) AS (SELECT max(value) FROM settings WHERE key = wanted);
