-- Log records that tell of a span: its messages, the details of its call, or how it was judged.
CREATE TABLE IF NOT EXISTS log_records (
    trace_id VARCHAR,
    span_id VARCHAR,
    time_unix_nano BIGINT,
    name VARCHAR,
    attributes MAP(VARCHAR, VARCHAR),
    journal_seq BIGINT
);
