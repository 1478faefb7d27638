-- `live_traces` of settled traces; settled_seq: the journal's last indexed request when they settled, ascending.
CREATE TABLE IF NOT EXISTS settled_traces (
    trace_id VARCHAR,
    day DATE,
    route VARCHAR,
    service_name VARCHAR,
    start_time TIMESTAMP WITH TIME ZONE,
    duration_ns BIGINT,
    spans BIGINT,
    status_code VARCHAR,
    tuple_id VARCHAR,
    model_state VARCHAR,
    prompt_state VARCHAR,
    retriever_state VARCHAR,
    tools_state VARCHAR,
    evaluator_state VARCHAR,
    covered BOOLEAN,
    has_root BOOLEAN,
    first_seq BIGINT,
    settled_seq BIGINT
);
