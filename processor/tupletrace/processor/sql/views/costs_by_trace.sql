-- USD per trace, the dearest first.
CREATE OR REPLACE VIEW costs_by_trace AS
SELECT *
FROM (
    SELECT
        trace_id,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY trace_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, trace_id;
