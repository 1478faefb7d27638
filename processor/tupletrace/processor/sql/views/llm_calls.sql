-- Every LLM call once, with its tokens in disjoint buckets and its cost at the price valid when it started.
CREATE OR REPLACE VIEW llm_calls AS
WITH calls AS (
    SELECT * EXCLUDE (is_root, settled_seq) FROM settled_llm_calls
    UNION ALL BY NAME
    SELECT * EXCLUDE (is_root) FROM live_llm_calls
),
priced AS (
    SELECT
        calls.*,
        price.input_usd,
        price.cache_read_usd,
        price.cache_write_usd,
        price.output_usd,
        price.reasoning_usd,
        price.request_usd,
        price.source AS price_source,
        price.valid_from AS price_valid_from
    FROM calls
    LEFT JOIN price_book AS price
        ON coalesce(price.provider_name, '') = coalesce(calls.provider_name, '')
        AND price.model = coalesce(calls.response_model, calls.request_model)
        AND coalesce(price.service_tier, '') = coalesce(calls.service_tier, '')
        AND coalesce(price.input_usd, price.output_usd, price.request_usd) IS NOT NULL
        AND (price.valid_from IS NULL OR calls.start_time >= price.valid_from)
        AND (price.valid_to IS NULL OR calls.start_time < price.valid_to)
        AND (price.daily_from IS NULL OR CAST(calls.start_time AT TIME ZONE 'UTC' AS TIME) >= price.daily_from)
        AND (price.daily_to IS NULL OR CAST(calls.start_time AT TIME ZONE 'UTC' AS TIME) < price.daily_to)
        AND (price.above_input_tokens IS NULL OR calls.input_tokens > price.above_input_tokens)
        AND (price.up_to_input_tokens IS NULL OR coalesce(calls.input_tokens, 0) <= price.up_to_input_tokens)
),
costed AS (
    SELECT
        priced.*,
        token_cost(input_uncached_tokens, input_usd)
            + token_cost(cache_read_tokens, cache_read_usd)
            + token_cost(cache_write_tokens, cache_write_usd)
            + token_cost(output_tokens - coalesce(reasoning_tokens, 0), output_usd)
            + token_cost(reasoning_tokens, reasoning_usd)
            + coalesce(request_usd, 0) AS cost,
        (input_uncached_tokens > 0 AND input_usd IS NULL)
            OR (cache_read_tokens > 0 AND cache_read_usd IS NULL)
            OR (cache_write_tokens > 0 AND cache_write_usd IS NULL)
            OR (output_tokens > 0 AND output_usd IS NULL) AS partly
    FROM priced
)
SELECT
    * EXCLUDE (input_usd, cache_read_usd, cache_write_usd, output_usd, reasoning_usd, request_usd, cost, partly)
        REPLACE (CASE WHEN usage_status = 'reported' THEN price_source END AS price_source),
    CASE WHEN usage_status = 'reported' AND price_source IS NOT NULL THEN CAST(cost AS DECIMAL(24, 12)) END AS cost_usd,
    CASE
        WHEN usage_status <> 'reported' OR price_source IS NULL THEN 'unpriced'
        WHEN partly THEN 'partly_priced'
        ELSE 'priced'
    END AS cost_status
FROM costed;
