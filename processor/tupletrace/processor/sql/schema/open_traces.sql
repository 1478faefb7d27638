-- Traces that received something since their rollups were written. One row a trace and batch; first_seq: a journalled
-- request before which nothing of it need be looked for.
CREATE TABLE IF NOT EXISTS open_traces (trace_id VARCHAR, first_seq BIGINT);
