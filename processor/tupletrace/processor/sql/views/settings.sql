-- The thresholds of every question; `tupletrace settings KEY VALUE` changes one. `judge_score:NAME` and
-- `defect_score:NAME` are for the evaluations of that name alone, on whatever scale they are.
CREATE OR REPLACE VIEW settings AS
SELECT
    coalesce(defaults.key, own.key) AS key,
    coalesce(own.value, CAST(defaults.value AS DOUBLE)) AS value,
    CAST(defaults.value AS DOUBLE) AS default_value,
    coalesce(defaults.unit, 'score') AS unit,
    coalesce(defaults.meaning, 'as ' || split_part(own.key, ':', 1) || ', of this evaluation alone') AS meaning
FROM (
    VALUES
        ('drift_moderate', 0.1, 'PSI', 'drift from here on is moderate'),
        ('drift_significant', 0.25, 'PSI', 'drift from here on is significant'),
        ('error_rate', 0.05, 'share', 'more failed traces are a regression'),
        ('latency_factor', 2.0, 'times', 'a p95 duration of more times that before is a regression'),
        ('cost_factor', 2.0, 'times', 'a cost per trace of more times that before is a regression'),
        ('first_chunk_s', 2.0, 's', 'a longer median time to the first chunk is a regression'),
        ('judge_score', 0.7, 'score', 'a score (0..1) below it fails, and a lower mean is a regression'),
        ('grounding_score', 0.8, 'score', 'the same where the name says grounded or faithful'),
        ('defect_score', 0.3, 'score', 'a score (0..1) above it fails, where the name is of a defect: toxicity, hallucination'),
        ('evaluation_fail_rate', 0.3, 'share', 'more failed evaluations are a regression'),
        ('feedback_positive', 0.8, 'share', 'less positive feedback is a regression'),
        ('min_traces', 20.0, 'traces', 'of fewer nothing is said'),
        ('significance', 0.05, 'p', 'a smaller p-value, corrected for the number of tests, shows a difference')
) AS defaults(key, value, unit, meaning)
FULL JOIN own_settings AS own ON own.key = defaults.key;
