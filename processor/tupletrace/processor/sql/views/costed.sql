-- Calls (a relation like settled_llm_calls) with their cost at the price valid when they started.
CREATE OR REPLACE MACRO costed(calls_of_traces) AS TABLE
WITH priced AS (
    SELECT
        calls.*,
        price.input_usd,
        price.cache_read_usd,
        price.cache_write_usd,
        price.output_usd,
        price.reasoning_usd,
        price.request_usd,
        price.cache_write_1h_usd,
        price.audio_input_usd,
        price.audio_cache_read_usd,
        price.image_input_usd,
        price.audio_output_usd,
        price.image_output_usd,
        price.second_usd,
        price.image_usd,
        coalesce(price.input_usd, price.output_usd) IS NULL AS free_of_tokens,
        price.source AS price_source,
        price.valid_from AS price_valid_from
    FROM query_table(calls_of_traces) AS calls
    LEFT JOIN price_book AS price
        ON coalesce(price.provider_name, '') = coalesce(calls.provider_name, '')
        AND price.model = coalesce(calls.response_model, calls.request_model)
        AND coalesce(price.service_tier, '') = coalesce(calls.service_tier, '')
        AND coalesce(price.input_usd, price.output_usd, price.request_usd, price.second_usd, price.image_usd) IS NOT NULL
        AND (price.route IS NULL OR regexp_full_match(calls.route, price.route))
        AND (price.other_routes IS NULL OR NOT coalesce(regexp_full_match(calls.route, price.other_routes), FALSE))
        AND (price.valid_from IS NULL OR calls.start_time >= price.valid_from)
        AND (price.valid_to IS NULL OR calls.start_time < price.valid_to)
        AND (price.daily_from IS NULL OR CAST(calls.start_time AT TIME ZONE 'UTC' AS TIME) >= price.daily_from)
        AND (price.daily_to IS NULL OR CAST(calls.start_time AT TIME ZONE 'UTC' AS TIME) < price.daily_to)
        AND (
            price.above_input_tokens IS NULL
            OR coalesce(calls.input_tokens, calls.estimated_input_tokens) > price.above_input_tokens
        )
        AND (
            price.up_to_input_tokens IS NULL
            OR coalesce(calls.input_tokens, calls.estimated_input_tokens, 0) <= price.up_to_input_tokens
        )
),
costed AS (
    SELECT
        priced.*,
        token_cost(input_uncached_tokens, input_usd)
            + token_cost(cache_read_tokens - coalesce(audio_cache_read_tokens, 0), cache_read_usd)
            + token_cost(audio_cache_read_tokens, audio_cache_read_usd)
            + token_cost(cache_write_tokens - coalesce(cache_write_1h_tokens, 0), cache_write_usd)
            + token_cost(cache_write_1h_tokens, cache_write_1h_usd)
            + token_cost(audio_input_tokens, audio_input_usd)
            + token_cost(image_input_tokens, image_input_usd)
            + token_cost(output_text_tokens, output_usd)
            + token_cost(reasoning_tokens, reasoning_usd)
            + token_cost(audio_output_tokens, audio_output_usd)
            + token_cost(image_output_tokens, image_output_usd)
            + coalesce(request_usd, 0)
            + token_cost(images, image_usd)
            + seconds_cost(duration_ns, second_usd) AS cost,
        -- What cached tokens would have cost as others, less what they did.
        token_cost(cache_read_tokens, input_usd) - token_cost(cache_read_tokens, cache_read_usd)
            + token_cost(cache_write_tokens, input_usd)
            - token_cost(cache_write_tokens - coalesce(cache_write_1h_tokens, 0), cache_write_usd)
            - token_cost(cache_write_1h_tokens, cache_write_1h_usd) AS saved,
        token_cost(estimated_input_tokens, input_usd)
            + token_cost(estimated_output_tokens, output_usd)
            + coalesce(request_usd, 0)
            + seconds_cost(duration_ns, second_usd) AS estimated_cost,
        usage_status = 'reported' OR free_of_tokens AS countable,
        estimated_by IS NOT NULL AND NOT free_of_tokens AS guessed,
        (input_uncached_tokens > 0 AND input_usd IS NULL)
            OR (cache_read_tokens > 0 AND cache_read_usd IS NULL)
            OR (cache_write_tokens > 0 AND cache_write_usd IS NULL)
            OR (output_tokens > 0 AND output_usd IS NULL) AS partly_known
    FROM priced
)
SELECT
    * EXCLUDE (
        input_usd, cache_read_usd, cache_write_usd, output_usd, reasoning_usd, request_usd, cache_write_1h_usd,
        audio_input_usd, audio_cache_read_usd, image_input_usd, audio_output_usd, image_output_usd, second_usd, image_usd,
        free_of_tokens, cost, estimated_cost, saved, countable, guessed, partly_known
    )
        REPLACE (
            CASE WHEN countable OR guessed THEN price_source END AS price_source,
            CASE WHEN estimated_by IS NOT NULL THEN 'estimated' ELSE usage_status END AS usage_status
        ),
    CASE WHEN countable AND price_source IS NOT NULL THEN CAST(cost AS DECIMAL(24, 12)) END AS cost_usd,
    CASE WHEN guessed AND price_source IS NOT NULL THEN CAST(estimated_cost AS DECIMAL(24, 12)) END
        AS estimated_cost_usd,
    CASE
        WHEN guessed AND price_source IS NOT NULL THEN 'estimated'
        WHEN NOT countable OR price_source IS NULL THEN 'unpriced'
        WHEN partly_known AND NOT free_of_tokens THEN 'partly_priced'
        ELSE 'priced'
    END AS cost_status,
    CASE WHEN countable AND price_source IS NOT NULL THEN CAST(saved AS DECIMAL(24, 12)) END AS cache_savings_usd
FROM costed;
