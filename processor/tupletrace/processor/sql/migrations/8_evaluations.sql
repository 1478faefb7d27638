-- Evaluations by id, whatever they are of, apart from what log records tell of spans.
CREATE TABLE evaluation_results (
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
-- The first version had none.
CREATE TABLE IF NOT EXISTS log_records (
    trace_id VARCHAR, span_id VARCHAR, time_unix_nano BIGINT, name VARCHAR, attributes MAP(VARCHAR, VARCHAR), journal_seq BIGINT
);
INSERT INTO evaluation_results BY NAME
SELECT DISTINCT ON (evaluation_id)
    left(
        sha256(concat_ws(chr(9), trace_id, span_id, NULL, response_id, name, evaluator_name, evaluator_version, 1000 * epoch_us(time))), 32
    ) AS evaluation_id,
    * EXCLUDE (passed)
FROM (
    -- They came with their trace, or later.
    SELECT evaluations.*, CAST(NULL AS VARCHAR) AS response_id, coalesce(brought.journal_seq, 0) AS journal_seq
    FROM evaluations
    LEFT JOIN (SELECT trace_id, min(journal_seq) AS journal_seq FROM spans GROUP BY trace_id) AS brought
        ON brought.trace_id = evaluations.trace_id
    UNION ALL BY NAME
    SELECT
        attributes['gen_ai.response.id'] AS response_id,
        attributes['gen_ai.evaluation.name'] AS name,
        attributes['tupletrace.evaluator.name'] AS evaluator_name,
        attributes['tupletrace.evaluator.version'] AS evaluator_version,
        TRY_CAST(attributes['gen_ai.evaluation.score.value'] AS DOUBLE) AS score_value,
        attributes['gen_ai.evaluation.score.label'] AS score_label,
        attributes['gen_ai.evaluation.explanation'] AS explanation,
        make_timestamptz(time_unix_nano // 1000) AS time,
        journal_seq
    FROM log_records
    WHERE name = 'gen_ai.evaluation.result' AND trace_id IS NULL AND attributes['gen_ai.response.id'] IS NOT NULL
      AND attributes['gen_ai.response.id'] NOT IN (SELECT response_id FROM spans WHERE response_id IS NOT NULL)
) AS stored;
DROP TABLE evaluations;
DELETE FROM log_records WHERE name = 'gen_ai.evaluation.result';
