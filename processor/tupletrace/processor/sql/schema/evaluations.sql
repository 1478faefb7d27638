-- Evaluation results joined to the span or trace they judge.
CREATE TABLE IF NOT EXISTS evaluations (
    trace_id VARCHAR,
    span_id VARCHAR,
    name VARCHAR,
    evaluator_name VARCHAR,
    evaluator_version VARCHAR,
    score_value DOUBLE,
    score_label VARCHAR,
    passed BOOLEAN,
    explanation VARCHAR,
    time TIMESTAMP WITH TIME ZONE
);
