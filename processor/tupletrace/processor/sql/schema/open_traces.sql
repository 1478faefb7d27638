-- Traces that received spans lately: their rollups are computed live until they settle. One row a trace and
-- batch; first_seq: the journalled request of its first span, before which nothing of it need be looked for.
CREATE TABLE IF NOT EXISTS open_traces (trace_id VARCHAR, first_seq BIGINT, last_indexed TIMESTAMP WITH TIME ZONE);
