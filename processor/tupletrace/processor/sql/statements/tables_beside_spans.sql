-- Tables, beside spans, whose rows are of traces.
SELECT table_name
FROM duckdb_columns()
WHERE database_name = current_database()
  AND column_name = 'trace_id'
  AND table_name IN (SELECT table_name FROM duckdb_tables() WHERE database_name = current_database())
  AND table_name <> 'spans';
