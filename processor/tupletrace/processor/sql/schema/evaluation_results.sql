-- Evaluations as they came, one row an id: of a span, a trace, a conversation, or whatever gave this response.
-- A trace that is known by its response alone is filled in when its span comes. `evaluations` says who passed.
CREATE TABLE IF NOT EXISTS evaluation_results (
    evaluation_id VARCHAR,
    trace_id VARCHAR,
    span_id VARCHAR,
    conversation_id VARCHAR,
    response_id VARCHAR,
    name VARCHAR,
    evaluator_name VARCHAR,
    evaluator_version VARCHAR,
    source VARCHAR,
    score_value DOUBLE,
    score_label VARCHAR,
    said_passed BOOLEAN,
    explanation VARCHAR USING COMPRESSION zstd,
    error_type VARCHAR,
    time TIMESTAMP WITH TIME ZONE,
    journal_seq BIGINT
);
