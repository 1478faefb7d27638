-- Traces with a span in which this column ($column) has this value.
SELECT DISTINCT trace_id FROM spans WHERE $column = ?;
