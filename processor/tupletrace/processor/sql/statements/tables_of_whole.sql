-- Every table of the database `whole`, and its columns.
SELECT table_name, list(column_name)
FROM duckdb_columns() AS columns
JOIN duckdb_tables() AS tables USING (database_name, table_name)
WHERE database_name = 'whole'
GROUP BY table_name;
