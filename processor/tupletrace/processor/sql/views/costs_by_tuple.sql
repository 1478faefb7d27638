-- USD per tuple, the dearest first; NULL: traces without any layer.
CREATE OR REPLACE VIEW costs_by_tuple AS
SELECT *
FROM (
    SELECT
        served.tuple_id,
        min(served.route) AS route,
        unnest(spending(calls))
    FROM llm_calls AS calls
    JOIN traces AS served ON served.trace_id = calls.trace_id
    GROUP BY served.tuple_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, tuple_id;
