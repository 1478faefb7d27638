-- What a group of LLM calls spent, a struct to be unnested. `cost_usd` is of the tokens that were reported,
-- `estimated_cost_usd` of those that were only estimated; the calls that are in neither are counted beside them.
-- Vendors' own figures: `reported_cost_usd`; `above_reported_usd`: how much ours is above, for the same calls.
CREATE OR REPLACE MACRO spending(calls) AS {
    'llm_calls': count(*),
    'input_tokens': CAST(sum(calls.input_tokens) AS BIGINT),
    'cache_read_tokens': CAST(sum(calls.cache_read_tokens) AS BIGINT),
    'cache_write_tokens': CAST(sum(calls.cache_write_tokens) AS BIGINT),
    'output_tokens': CAST(sum(calls.output_tokens) AS BIGINT),
    'cost_usd': CAST(sum(calls.cost_usd) AS DECIMAL(24, 12)),
    'estimated_cost_usd': CAST(sum(calls.estimated_cost_usd) AS DECIMAL(24, 12)),
    'cache_savings_usd': CAST(sum(calls.cache_savings_usd) AS DECIMAL(24, 12)),
    'reported_cost_usd': CAST(sum(calls.reported_cost_usd) AS DECIMAL(24, 12)),
    'above_reported_usd': CAST(sum(calls.cost_usd - calls.reported_cost_usd) AS DECIMAL(24, 12)),
    'estimated_calls': CAST(sum(CASE WHEN calls.cost_status = 'estimated' THEN 1 ELSE 0 END) AS BIGINT),
    'partly_priced_calls': CAST(sum(CASE WHEN calls.cost_status = 'partly_priced' THEN 1 ELSE 0 END) AS BIGINT),
    'unpriced_calls': CAST(sum(CASE WHEN calls.cost_status = 'unpriced' THEN 1 ELSE 0 END) AS BIGINT),
    'calls_without_usage': CAST(
        sum(CASE WHEN calls.usage_status = 'absent' AND calls.status_code <> 'ERROR' THEN 1 ELSE 0 END) AS BIGINT
    )
};
