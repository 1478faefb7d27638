-- Traces that received spans lately: their rollups are computed live until they settle.
CREATE TABLE IF NOT EXISTS open_traces (trace_id VARCHAR, first_day DATE, last_indexed TIMESTAMP WITH TIME ZONE);
