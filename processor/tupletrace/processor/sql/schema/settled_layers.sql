-- `live_layers` of settled traces: which layers took part in which trace.
CREATE TABLE IF NOT EXISTS settled_layers (
    trace_id VARCHAR,
    layer VARCHAR,
    name VARCHAR,
    version VARCHAR,
    provenance VARCHAR,
    reason VARCHAR,
    settled_seq BIGINT
);
