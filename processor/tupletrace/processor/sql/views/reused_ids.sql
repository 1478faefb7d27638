-- Ids that several spans have: programs that call random.seed() use the same ones in every run. All are kept.
CREATE OR REPLACE VIEW reused_ids AS
SELECT trace_id, span_id, count(*) AS spans, min(start_time) AS first_start, max(start_time) AS last_start
FROM spans
GROUP BY trace_id, span_id
HAVING count(*) > 1;
