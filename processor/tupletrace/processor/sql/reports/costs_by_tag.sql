-- `tupletrace costs --by tag`: USD per tag; a call with several counts under each, the dearest first.
SELECT
    tag,
    count(*) AS llm_calls,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CAST(sum(cache_savings_usd) AS DECIMAL(24, 12)) AS cache_savings_usd,
    CAST(sum(CASE WHEN cost_status = 'unpriced' THEN 1 ELSE 0 END) AS BIGINT) AS unpriced_calls,
    CAST(sum(CASE WHEN cost_status = 'partly_priced' THEN 1 ELSE 0 END) AS BIGINT) AS partly_priced_calls,
    CAST(sum(CASE WHEN usage_status = 'absent' AND status_code <> 'ERROR' THEN 1 ELSE 0 END) AS BIGINT) AS calls_without_usage
FROM (SELECT *, unnest(tags) AS tag FROM llm_calls) AS tagged
GROUP BY tag
ORDER BY cost_usd DESC NULLS LAST, tag;
