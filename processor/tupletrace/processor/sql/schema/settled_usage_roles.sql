-- What each span that tells of tokens is (see usage_roles_of).
CREATE TABLE IF NOT EXISTS settled_usage_roles (
    trace_id VARCHAR,
    span_id VARCHAR,
    start_unix_nano BIGINT,
    usage_role VARCHAR,
    duplicate_of VARCHAR,
    duplicate_of_trace_id VARCHAR,
    settled_seq BIGINT
);
