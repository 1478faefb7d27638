-- `tupletrace costs --by prompt`: USD per prompt version, the dearest first.
SELECT
    prompt_name,
    prompt_version,
    prompt_provenance,
    count(*) AS llm_calls,
    CAST(sum(cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CAST(sum(CASE WHEN cost_status = 'priced' THEN 0 ELSE 1 END) AS BIGINT) AS unpriced_calls
FROM llm_calls
WHERE operation_name <> 'embeddings'
GROUP BY prompt_name, prompt_version, prompt_provenance
ORDER BY cost_usd DESC NULLS LAST, prompt_name, prompt_version;
