-- Statements that take away what is made from the other tables: views, macros, rollups, what waits for them.
SELECT 'DROP VIEW "' || view_name || '"' FROM duckdb_views() WHERE NOT internal
UNION ALL
SELECT DISTINCT 'DROP MACRO "' || function_name || '"'
FROM duckdb_functions()
WHERE NOT internal AND function_type = 'macro'
UNION ALL
SELECT DISTINCT 'DROP MACRO TABLE "' || function_name || '"'
FROM duckdb_functions()
WHERE NOT internal AND function_type = 'table_macro'
UNION ALL
SELECT 'DROP TABLE "' || table_name || '"'
FROM duckdb_tables()
WHERE NOT internal AND (table_name LIKE 'settled\_%' ESCAPE '\' OR table_name = 'open_traces');
