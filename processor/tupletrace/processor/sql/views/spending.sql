-- What a group of LLM calls spent, a struct to be unnested: tokens, USD, and how many calls are not in that sum.
CREATE OR REPLACE MACRO spending(calls) AS {
    'llm_calls': count(*),
    'input_tokens': CAST(sum(calls.input_tokens) AS BIGINT),
    'output_tokens': CAST(sum(calls.output_tokens) AS BIGINT),
    'cost_usd': CAST(sum(calls.cost_usd) AS DECIMAL(24, 12)),
    'cache_savings_usd': CAST(sum(calls.cache_savings_usd) AS DECIMAL(24, 12)),
    'unpriced_calls': CAST(sum(CASE WHEN calls.cost_status = 'unpriced' THEN 1 ELSE 0 END) AS BIGINT),
    'partly_priced_calls': CAST(sum(CASE WHEN calls.cost_status = 'partly_priced' THEN 1 ELSE 0 END) AS BIGINT),
    'calls_without_usage': CAST(
        sum(CASE WHEN calls.usage_status = 'absent' AND calls.status_code <> 'ERROR' THEN 1 ELSE 0 END) AS BIGINT
    )
};
