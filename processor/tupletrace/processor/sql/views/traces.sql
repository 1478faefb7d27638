-- One row a trace. `complete`: its root came and it has been quiet; `covered` is NULL where no layer took part.
CREATE OR REPLACE VIEW traces AS
WITH rollups AS (
    SELECT * EXCLUDE (settled_seq), has_root AS complete FROM settled_traces
    UNION ALL
    SELECT *, FALSE AS complete FROM live_traces
),
spend AS (
    SELECT
        trace_id,
        count(*) AS llm_calls,
        sum(input_tokens) AS input_tokens,
        sum(output_tokens) AS output_tokens,
        sum(cost_usd) AS cost_usd,
        sum(CASE WHEN cost_status = 'priced' THEN 0 ELSE 1 END) AS unpriced_calls,
        sum(CASE WHEN cost_usd IS NULL THEN 0 ELSE 1 END) AS calls_with_cost,
        sum(estimated_cost_usd) AS estimated_cost_usd
    FROM llm_calls
    GROUP BY trace_id
)
SELECT
    rollups.trace_id,
    rollups.route,
    rollups.service_name,
    rollups.start_time,
    rollups.day,
    rollups.duration_ns,
    rollups.spans,
    coalesce(spend.llm_calls, 0) AS llm_calls,
    CAST(spend.input_tokens AS BIGINT) AS input_tokens,
    CAST(spend.output_tokens AS BIGINT) AS output_tokens,
    CAST(spend.cost_usd AS DECIMAL(24, 12)) AS cost_usd,
    CASE
        WHEN spend.trace_id IS NULL THEN NULL
        WHEN spend.calls_with_cost = 0 AND spend.estimated_cost_usd IS NOT NULL THEN 'estimated'
        WHEN spend.calls_with_cost = 0 THEN 'unpriced'
        WHEN spend.unpriced_calls > 0 THEN 'partly_priced'
        ELSE 'priced'
    END AS cost_status,
    CAST(coalesce(spend.unpriced_calls, 0) AS BIGINT) AS unpriced_calls,
    CAST(spend.estimated_cost_usd AS DECIMAL(24, 12)) AS estimated_cost_usd,
    rollups.status_code,
    rollups.tuple_id,
    rollups.model_state,
    rollups.prompt_state,
    rollups.retriever_state,
    rollups.tools_state,
    rollups.evaluator_state,
    rollups.covered,
    rollups.complete
FROM rollups
LEFT JOIN spend ON spend.trace_id = rollups.trace_id;
