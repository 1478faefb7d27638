-- Traces with a span in which this column ($column) has this value, and the trace that is named.
CREATE OR REPLACE TEMPORARY TABLE due AS
SELECT trace_id FROM spans WHERE $column = $value
UNION
SELECT CAST($value AS VARCHAR) WHERE '$column' = 'trace_id';
