-- Evaluation results that came as events of the span they judge.
INSERT INTO evaluations BY NAME
SELECT
    found.trace_id,
    found.span_id,
    found.event.attributes['gen_ai.evaluation.name'] AS name,
    found.event.attributes['tupletrace.evaluator.name'] AS evaluator_name,
    found.event.attributes['tupletrace.evaluator.version'] AS evaluator_version,
    finite_number(found.event.attributes['gen_ai.evaluation.score.value']) AS score_value,
    found.event.attributes['gen_ai.evaluation.score.label'] AS score_label,
    CASE lower(found.event.attributes['gen_ai.evaluation.score.label'])
        WHEN 'pass' THEN TRUE
        WHEN 'fail' THEN FALSE
    END AS passed,
    found.event.attributes['gen_ai.evaluation.explanation'] AS explanation,
    make_timestamptz(found.event.time_unix_nano // 1000) AS time
FROM (SELECT DISTINCT trace_id, span_id, unnest(events) AS event FROM batch) AS found
WHERE found.event.name = 'gen_ai.evaluation.result'
  AND NOT EXISTS (
      SELECT 1
      FROM evaluations AS stored
      WHERE stored.trace_id = found.trace_id
        AND stored.span_id = found.span_id
        AND stored.time = make_timestamptz(found.event.time_unix_nano // 1000)
        AND stored.name IS NOT DISTINCT FROM found.event.attributes['gen_ai.evaluation.name']
  );
