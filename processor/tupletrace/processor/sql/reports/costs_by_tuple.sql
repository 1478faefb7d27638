-- `tupletrace costs --by tuple`: USD per tuple, the dearest first.
SELECT *
FROM (
    SELECT
        traces.tuple_id,
        min(traces.route) AS route,
        unnest(spending(calls))
    FROM llm_calls AS calls
    JOIN traces ON traces.trace_id = calls.trace_id
    GROUP BY traces.tuple_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, tuple_id;
