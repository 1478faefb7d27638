-- Every table of the database `whole`, and whether its rows are of traces.
SELECT table_name, bool_or(column_name = 'trace_id')
FROM duckdb_columns() AS columns
JOIN duckdb_tables() AS tables USING (database_name, table_name)
WHERE database_name = 'whole'
GROUP BY table_name;
